"""With millions of runs nothing that the recorder does by the clock looks through all of them."""

from __future__ import annotations

import time

import pytest
from flask import Flask

from tests.unit.history.plans import scans
from webapp.actions import bulk, cancel
from webapp.extensions import db
from webapp.history.queries import bump
from webapp.history.retention import count, prune_some, rules
from webapp.outbox.relay import claim, mark_sent, take
from webapp.outbox.submit import submit
from webapp.recorder.backfill import Backfill
from webapp.recorder.live_runs import LiveRunWatcher
from webapp.recorder.verdicts import Judge
from webapp.search.query import Filter
from webapp.tasks import divide

pytestmark = pytest.mark.sqlite_only


def test_the_outbox_is_found_by_its_index(app: Flask) -> None:
    first = submit(app, divide.name, [1, 2]).task_id
    now = time.time() + 60
    with scans(db.engine) as found:
        claim(db.engine)
        claim(db.engine, impatient=True)
        take(db.engine, first)
        with db.engine.begin() as connection:
            mark_sent(connection, [first], now)
    assert found == []


def test_live_runs_are_found_by_their_index(app: Flask) -> None:
    submit(app, divide.name, [1, 2])
    with scans(db.engine) as found:
        for running_only in (True, False):
            LiveRunWatcher(running_only)._next(db.engine)
        Judge(6.0)._next(db.engine, time.time())
        Backfill()._lacking(db.engine, {"a", "b"})
    assert found == []


def test_old_runs_are_found_by_their_index(app: Flask) -> None:
    submit(app, divide.name, [1, 2])
    days = {"success": 1.0, "failure": 1.0, "other": 1.0}
    with scans(db.engine) as found, db.engine.connect() as connection:
        for rule in list(rules(connection, days, 0, time.time())):
            count(connection, rule)
            prune_some(db.engine, rule)
    assert found == []


@pytest.mark.parametrize("kind", ["retry", "cancel"])
@pytest.mark.parametrize("query", ["", "state:live", "task:divide", "state:success worker:a"])
def test_the_runs_of_a_bulk_action_are_found_by_an_index(app: Flask, kind: str, query: str) -> None:
    submit(app, divide.name, [1, 2])
    with db.engine.begin() as connection:
        connection.execute(bulk.bulk_actions.insert().values(**action(kind, query)))
    with scans(db.engine) as found:
        bulk.carry_out(app, db.engine, time.time() + 10)
    assert found == []


def action(kind: str, query: str) -> dict[str, object]:
    asked = Filter.parse({"q": query}).to_params()
    return {
        "kind": kind,
        "state": "running",
        "query": "&".join(f"{name}={value}" for name, value in asked.items()),
        "created_at": time.time(),
        "low": -1,
        "cursor": 2**62,
        "total": 1,
        "more": False,
        "rate": 100.0,
        "done": 0,
        "failed": 0,
    }


def test_cancels_touch_their_runs_alone(app: Flask) -> None:
    first = submit(app, divide.name, [1, 2]).task_id
    with scans(db.engine) as found, db.engine.begin() as connection:
        cancel.request(connection, [first], bump(connection), time.time())
        cancel.revoke_unsent(connection, [first], bump(connection), time.time())
    assert found == []
