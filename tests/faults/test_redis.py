"""Redis is restarted, emptied, stopped and full; what was accepted runs, or its fate is named as unknown."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable

import pytest
from celery import Celery

from tests.faults.checker import Checker
from tests.faults.conftest import Experiment
from tests.support import wait_until
from webapp.actions.give_back import give_back_by_hand
from webapp.errors import ActionNotAllowedError, BrokerError


def begin_and_queue(checker: Checker, waiting: int) -> list[str]:
    """Let two runs of four seconds begin; more wait in the worker, which takes eight, and in the queue."""
    begun = [checker.submit("late", 1, 4.0), checker.submit("early", 2, 4.0)]
    checker.started(*begun)
    return begun + checker.submit_many("late", waiting)


def settle_with_workers_revived(checker: Checker, timeout: float = 90.0, unknowable: tuple[str, ...] = ()) -> None:
    """Settle while workers that end by themselves are started again, as bin/keep does."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        checker.stack.revive("worker")
        if not give_back_what_was_lost(checker) and not checker.complaints(unknowable):
            break
        time.sleep(0.5)
    checker.settle(5, unknowable)


def give_back_what_was_lost(checker: Checker) -> bool:
    """Press the button of each run whose page says that Redis gives its message back in an hour; say whether any was.

    A living worker lost these with its connection. That it does not know of them any more is no proof that none of its
    processes is about to begin them, so nobody gives them back by itself.
    """
    said = "SELECT task_id FROM vase_task_runs WHERE state = 'UNCERTAIN' AND doubt LIKE '%Redis gives it back%'"
    task_ids = [task_id for (task_id,) in checker.stack.query(said)]
    with checker.app.app_context():
        for task_id in task_ids:
            with contextlib.suppress(ActionNotAllowedError, BrokerError):
                give_back_by_hand(checker.app, task_id)
    return bool(task_ids)


@pytest.mark.slow
def test_redis_killed_and_started_again_with_its_file(experiment: Experiment) -> None:
    checker = experiment("kill -9 of Redis with append-only file", "redis", "worker", "recorder")
    begin_and_queue(checker, 20)
    checker.stack.stop("redis", number=signal.SIGKILL)
    checker.submit_many("late", 3)
    checker.stack.start("redis")
    settle_with_workers_revived(checker)
    # A worker takes a message from the queue in one step and notes that it has it in the next. What was between the two
    # is gone, and the row says so.
    assert checker.states()["SUCCESS"] + checker.states()["UNCERTAIN"] == 25
    assert checker.states()["UNCERTAIN"] <= 1


@pytest.mark.slow
def test_redis_killed_and_started_again_without_a_file(experiment: Experiment) -> None:
    """What waited is gone; no message, and no result, can tell of it."""
    checker = experiment("kill -9 of Redis without append-only file")
    checker.stack.extra["redis"] = ["--appendonly", "no"]
    checker.stack.start("redis")
    checker.stack.start("worker", "recorder")
    task_ids = begin_and_queue(checker, 20)
    checker.stack.stop("redis", number=signal.SIGKILL)
    checker.stack.start("redis")
    settle_with_workers_revived(checker, 120, tuple(task_ids))
    assert checker.states()["UNCERTAIN"] >= 10
    wait_until(lambda: checker.stack.query("SELECT why FROM vase_gaps"), "the gap is noted")


def test_redis_emptied(experiment: Experiment) -> None:
    checker = experiment("FLUSHALL with runs begun, taken and waiting", "redis", "worker", "recorder")
    begun = begin_and_queue(checker, 20)
    wait_until(lambda: checker.states()["RECEIVED"] >= 6, "the worker has taken what it takes")
    checker.redis.flushall()
    states = checker.settle(90)
    assert states["SUCCESS"] == 22 - states["UNCERTAIN"]
    assert states["UNCERTAIN"] >= 12
    assert {checker.stack.row(task_id)["state"] for task_id in begun[:2]} == {"SUCCESS"}
    assert checker.stack.query("SELECT why FROM vase_gaps"), "the gap is noted"


def seconds_of(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


@pytest.mark.slow
def test_redis_hung_for_ten_seconds(experiment: Experiment) -> None:
    checker = experiment(
        "SIGSTOP of Redis for 10 s", "redis", "worker", "recorder", "web", WEB_WORKERS="1", DOUBT_SECONDS="20"
    )
    task_id = checker.attempt()
    checker.post(task_id)
    checker.submit_many("late", 4, 2.0)
    checker.stack.send_signal("redis", signal.SIGSTOP)
    stopped = time.monotonic()
    assert seconds_of(lambda: checker.post(checker.attempt())) < 3.0
    for _ in range(3):
        assert seconds_of(lambda: checker.post(checker.attempt())) < 0.6, "the breaker is open"
    for page in ("/", f"/runs/{task_id}", "/recording"):
        assert seconds_of(lambda page=page: checker.stack.get(page)) < 2.0
    assert "Waiting for the broker" in checker.stack.get("/")[1]
    time.sleep(max(stopped + 10 - time.monotonic(), 0))
    checker.stack.send_signal("redis", signal.SIGCONT)
    settle_with_workers_revived(checker)
    assert set(checker.states()) == {"SUCCESS"}


@pytest.mark.slow
def test_redis_out_of_memory(experiment: Experiment) -> None:
    """Celery itself fails a run whose result it cannot store."""
    checker = experiment("Redis out of memory for 8 s", "redis", "worker", "recorder", "web", DOUBT_SECONDS="9")
    checker.admitted = ("OutOfMemoryError",)
    begun = checker.submit_many("late", 2, 3.0)
    checker.started(*begun)
    checker.submit_many("early", 4, 1.0)
    checker.redis.config_set("maxmemory-policy", "noeviction")
    checker.redis.config_set("maxmemory", 1)
    assert "Waiting for the broker" in checker.post(checker.attempt())
    time.sleep(8)
    checker.redis.config_set("maxmemory", 0)
    restart_a_worker_that_lost_a_process(checker)
    settle_with_workers_revived(checker)
    # Those at work may not be able to store their results, and a message may vanish between the two steps in which a
    # worker takes it, which has a name then. All others succeed, whatever happened to these.
    rows = checker.stack.query("SELECT task_id, state FROM vase_task_runs")
    others = [state for task_id, state in rows if task_id not in begun and state != "UNCERTAIN"]
    assert set(others) == {"SUCCESS"}
    assert len(others) >= 4


def restart_a_worker_that_lost_a_process(checker: Checker, patience: float = 25.0) -> None:
    """Restart the worker should it say for long that it works on runs whose side files say that they have ended.

    Its main process, begun anew several times a second while Redis refuses everything, may miss what a process of its
    pool has to say, and then believes for ever that this one is busy. Nobody else can know better than the worker.
    """
    end = time.monotonic() + patience
    while checker.complaints() and time.monotonic() < end:
        checker.stack.revive("worker")
        time.sleep(0.5)
    active = Celery(broker=checker.stack.broker_url).control.inspect(timeout=2.0).active() or {}
    claimed = {run["id"] for runs in active.values() for run in runs}
    ended = {task_id for task_id, truth in checker.truth().items() if truth.results}
    if claimed & ended:
        checker.stack.stop("worker", number=signal.SIGKILL)
