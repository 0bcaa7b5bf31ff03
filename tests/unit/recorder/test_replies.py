"""Which process an answer is from where two have one name, and which pool a worker has that does not say."""

from __future__ import annotations

from typing import Any

import pytest

from webapp.recorder.replies import pool_of, whose
from webapp.runs.actions import can_terminate

FIRST, SECOND = ("celery@box", 10), ("celery@box", 20)


@pytest.mark.parametrize(
    ("before", "told", "expected"),
    [
        ({FIRST: None}, ["a"], {FIRST: "a"}),
        ({FIRST: None}, ["a", "b"], {}),
        ({FIRST: None, SECOND: None}, ["a", "a"], {FIRST: "a", SECOND: "a"}),
        ({FIRST: None, SECOND: None}, ["a", "b"], {}),
        ({FIRST: None, SECOND: None}, ["a"], {}),
        ({FIRST: "a", SECOND: None}, ["b", "a"], {FIRST: "a", SECOND: "b"}),
        ({FIRST: "a", SECOND: "b"}, ["b", "a"], {FIRST: "a", SECOND: "b"}),
        ({FIRST: "x", SECOND: "y"}, ["b", "a"], {}),
        ({FIRST: "a", SECOND: "b"}, ["a"], {}),
    ],
    ids="alone two-of-one same-twice unknown one-answer newcomer both-known both-changed one-of-two".split(),
)
def test_an_answer_is_given_to_a_process_only_where_that_is_certain(
    before: dict[tuple[str, int], Any], told: list[str], expected: dict[tuple[str, int], str]
) -> None:
    assert whose(before, told, str) == expected


@pytest.mark.parametrize(
    ("stats", "pool", "terminates"),
    [
        ({"pool": {"implementation": "celery.concurrency.prefork:TaskPool"}}, "prefork", True),
        ({"pid": 1, "pool": {"max-concurrency": 2, "processes": [2, 3], "writes": "N/A"}}, "prefork", True),
        ({"pid": 1, "pool": {"max-concurrency": 1, "processes": [1], "timeouts": []}}, "solo", False),
        ({"pid": 1, "pool": {"max-concurrency": 4, "threads": 2}}, "thread", False),
        ({"pid": 1, "pool": {"max-concurrency": 4, "free-threads": 4}}, None, False),
        ({"pid": 1}, None, False),
    ],
    ids="today prefork-5.2 solo-5.2 threads-5.2 gevent-5.2 nothing".split(),
)
def test_the_pool_of_a_worker_of_celery_5_2_follows_from_what_it_tells(
    stats: dict[str, Any], pool: str | None, terminates: bool
) -> None:
    found = pool_of(stats)
    assert (found is None) if pool is None else (found is not None and pool in found)
    assert can_terminate(found) is terminates
