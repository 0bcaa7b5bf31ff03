"""A submission whose sending was cut off may stand in its queue twice; workers of ours begin it once."""

from __future__ import annotations

import json
import uuid

import pytest
import redis

from tests.support import Stack, wait_until

# About brokers and workers; which database remembers the runs plays no part.
pytestmark = pytest.mark.sqlite_only


@pytest.fixture
def message(own_stack: Stack) -> tuple[redis.Redis, str, bytes]:
    """The broker, the task id of a submission that no worker has taken yet, and its message."""
    own_stack.start("redis", "recorder", "web")
    own_stack.submit("1", "4")
    broker = redis.Redis.from_url(own_stack.broker_url)
    (waiting,) = wait_until(lambda: broker.lrange("vase", 0, -1), "the message waits")
    return broker, json.loads(waiting)["headers"]["id"], waiting


def starts(stack: Stack, task_id: str) -> int:
    log = (stack.folder / "worker.log").read_text()
    return log.count(f"[{task_id}] succeeded")


def test_a_second_copy_is_dropped_and_the_run_says_so(
    own_stack: Stack, message: tuple[redis.Redis, str, bytes]
) -> None:
    broker, task_id, waiting = message
    copy = json.loads(waiting)
    copy["properties"]["delivery_tag"] = str(uuid.uuid4())
    broker.lpush("vase", json.dumps(copy))
    own_stack.start("worker")
    own_stack.row_once(task_id, state="SUCCESS", outcome_exact=1)
    wait_until(lambda: "dropped" in (own_stack.row(task_id)["steps"] or ""), "the copy is noted")
    wait_until(lambda: not broker.exists("vase", "unacked"), "nothing is left")
    assert starts(own_stack, task_id) == 1
    assert own_stack.row(task_id)["state"] == "SUCCESS"
    assert "A second copy was dropped" in own_stack.get(f"/runs/{task_id}")[1]


def test_a_message_that_is_delivered_again_runs_again(
    own_stack: Stack, message: tuple[redis.Redis, str, bytes]
) -> None:
    broker, task_id, waiting = message
    own_stack.start("worker")
    own_stack.row_once(task_id, state="SUCCESS", outcome_exact=1)
    broker.lpush("vase", waiting)
    wait_until(lambda: starts(own_stack, task_id) == 2, "it ran again")
