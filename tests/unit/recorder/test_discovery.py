"""What workers say of themselves, read as far as it makes sense."""

from __future__ import annotations

from typing import Any

import pytest

from webapp.recorder.discovery import queue_names


@pytest.mark.parametrize(
    ("told", "names"),
    [
        ({"name": "celery", "exchange": {"name": "celery", "type": "direct"}}, '["celery"]'),
        ({"name": "orders", "exchange": {"name": "shop", "type": "topic"}}, '["orders"]'),
        ({"name": "plain"}, '["plain"]'),
        ({"name": "bcast.1f0c", "exchange": {"name": "bc", "type": "fanout"}}, "[]"),
        ("nonsense", "[]"),
    ],
)
def test_the_queues_that_a_worker_reads_are_those_a_run_can_be_sent_to(told: Any, names: str) -> None:
    """What is broadcast reaches workers by an exchange, and stands in no queue of that name."""
    assert queue_names([told]) == names
