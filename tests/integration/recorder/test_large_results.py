"""Results pass one by one, however many and however long they are."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import redis

from tests.support import Stack
from webapp.broker.redis_keys import STREAM
from webapp.recorder.result_facts import WHOLE_MAX
from webapp.worker.events import FIELD

# Which database remembers the runs plays no part.
pytestmark = pytest.mark.sqlite_only

MANY, LONG = 40, 3_000_000


def end(broker: redis.Redis, task_id: str, length: int) -> None:
    """Store a result of some length, and tell of its run's end as a worker of ours does."""
    now = time.time()
    date = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now))
    meta = {"status": "SUCCESS", "result": "x" * length, "traceback": None, "children": [], "date_done": date}
    broker.set(f"celery-task-meta-{task_id}", json.dumps(meta))
    event = {"type": "task-succeeded", "uuid": task_id, "timestamp": now, "hostname": "w@h", "result": "'xxx...'"}
    broker.xadd(STREAM, {FIELD: json.dumps([event])})


def test_many_long_results_and_one_that_is_too_long_are_recorded_in_little_memory(own_stack: Stack) -> None:
    own_stack.start("redis")
    with redis.Redis.from_url(own_stack.broker_url) as broker:
        for number in range(MANY):
            end(broker, f"long-{number}", LONG)
        end(broker, "too-long", WHOLE_MAX)
    own_stack.start("recorder")
    for task_id in (*(f"long-{number}" for number in range(MANY)), "too-long"):
        row = own_stack.row_once(task_id, state="SUCCESS", outcome_exact=1)
        assert "… [cut: " in row["result"]
    status = Path(f"/proc/{own_stack.parts['recorder'].pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    # All of them together have 180 MB, and a recorder at rest 90.
    assert peak < 150_000
