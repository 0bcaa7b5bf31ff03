"""Bulk actions whose recorder is killed again and again: everything is done once, and nothing is forgotten."""

from __future__ import annotations

import json
import signal
import time
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import insert

from tests.faults.checker import Checker
from tests.faults.conftest import Experiment
from tests.support import wait_until

NAME = "tests.faults.witness.early"
RATE = "1000"


def ended_runs(checker: Checker, count: int) -> None:
    """Put so many runs of a witness task into the table as if they had ended yesterday, and into the side file."""
    from webapp.extensions import db
    from webapp.history import index
    from webapp.history.queries import runs
    from webapp.runs.ids import first_id
    from webapp.runs.merge import SUBMITTED
    from webapp.runs.states import SUCCESS

    at = time.time() - 86400
    task_ids = [str(uuid.uuid4()) for _ in range(count)]
    about = {"name": NAME, "state": "SUCCESS", "phase": SUCCESS, "queue": "vase", "kwargs": "{}", "outcome_exact": 1}
    about |= {"arguments_rank": SUBMITTED, "created_at": at, "state_at": at, "outcome_at": at, "clock": 0, "changed": 1}
    rows = [
        {"id": first_id(at) + number, "task_id": task_id, "args": f"[{number}, 0.0]", "result": str(number + 1)}
        for number, task_id in enumerate(task_ids)
    ]
    with checker.app.app_context():
        for start in range(0, count, 5_000):
            with db.engine.begin() as connection:
                connection.execute(insert(runs), [about | row for row in rows[start : start + 5_000]])
        with db.engine.begin() as connection:
            index.index_everything(connection)
    checker.accepted.update(task_ids)
    checker.witness(line for number, i in enumerate(task_ids) for line in ((i, "started", 0), (i, "ended", number + 1)))


def waiting(checker: Checker) -> Iterator[str]:
    """Yield the task id of every message in the queue."""
    for message in checker.redis.lrange("vase", 0, -1):
        yield json.loads(message)["headers"]["id"]


def finish(checker: Checker, number: int, count: int, kills: int, timeout: float) -> None:
    """Wait for the end of an action, and kill the recorder at so many places on the way."""
    stack = checker.stack

    def done() -> int:
        return int(stack.query("SELECT done FROM vase_bulk_actions WHERE id = ?", number)[0][0])

    for kill in range(1, kills + 1):
        wait_until(lambda place=count * kill // (kills + 1): done() >= place, "the action goes on", timeout)
        stack.stop("recorder", number=signal.SIGKILL)
        stack.start("recorder")
    ended = "SELECT state, done, failed FROM vase_bulk_actions WHERE id = ?"
    wait_until(lambda: stack.query(ended, number) == [("done", count, 0)], "the action has ended", timeout)


def ask(checker: Checker, kind: str, query: str) -> int:
    """Ask for an action on all that match, as the page does; return its number."""
    from webapp.actions import bulk
    from webapp.extensions import db
    from webapp.search.query import Filter

    with checker.app.app_context(), db.engine.begin() as connection:
        return bulk.create(connection, kind, Filter.parse({"q": query}), [], "a fault test", float(RATE))


@pytest.mark.parametrize(
    ("count", "kills"), [(1_000, 2), pytest.param(100_000, 5, marks=pytest.mark.slow)], ids=["quick", "all"]
)
def test_runs_are_run_again_and_cancelled_once_each(experiment: Experiment, count: int, kills: int) -> None:
    """All wait in a queue that no worker reads; when one comes in the end, it runs none of them."""
    tried = f"bulk retry and cancel of {count:,}, kill -9 of the recorder {2 * kills} times"
    checker = experiment(tried, "redis", "recorder")
    stack, patience = checker.stack, 60 + count / 100
    ended_runs(checker, count)

    finish(checker, ask(checker, "retry", "state:success"), count, kills, patience)
    sent = "SELECT count(*) FROM vase_task_runs WHERE publish_state = 'sent'"
    wait_until(lambda: stack.query(sent) == [(count,)], "all have been sent", patience)
    new = {row[0] for row in stack.query("SELECT task_id FROM vase_task_runs WHERE retry_of IS NOT NULL")}
    assert (len(new), Counter(waiting(checker)) - Counter(new)) == (count, Counter())

    finish(checker, ask(checker, "cancel", "state:live"), count, kills, patience)
    untold = "SELECT count(*) FROM vase_cancels WHERE due_at = 0 AND ended_at IS NULL"
    wait_until(lambda: stack.query(untold) == [(0,)], "the broker remembers all cancels", patience)
    stack.start("worker")
    # That a worker stored it is not enough: every message is dropped or taken back.
    wait_until(lambda: not checker.redis.exists("vase", "unacked"), "no message is left", patience)
    revoked = "SELECT count(*) FROM vase_task_runs WHERE state = 'REVOKED'"
    wait_until(lambda: stack.query(revoked) == [(count,)], "all have been revoked", patience)
    checker.attempted |= new
    assert checker.settle() == {"SUCCESS": count, "REVOKED": count}
    assert new.isdisjoint(checker.truth())
    # As if the ten minutes had passed after which they are looked at again.
    with stack.database() as database:
        database.execute("UPDATE vase_cancels SET due_at = 1, requested_at = requested_at - 601")
    still_open = "SELECT count(*) FROM vase_cancels WHERE ended_at IS NULL"
    wait_until(lambda: stack.query(still_open) == [(0,)], "all cancels have ended", 60 + patience)
    assert checker.redis.zcard("vase.cancelled") == 0
