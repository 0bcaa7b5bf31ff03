"""Ended runs go when their time is over, with everything by which they could be found; live ones stay."""

from __future__ import annotations

import math
import time

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import select

from webapp.extensions import db
from webapp.history import retention
from webapp.history.queries import runs
from webapp.history.writer import write
from webapp.recorder.event_facts import facts_of
from webapp.search.pages import fetch_page
from webapp.search.query import Filter

pytestmark = pytest.mark.database

DAY = 86400.0
OLD, NEW = 40 * DAY, 10 * DAY
ENDS = {"success": "task-succeeded", "failure": "task-failed", "other": "task-revoked", "live": "task-started"}


def happened(name: str, kind: str, age: float) -> None:
    """Record a run whose last event is so old."""
    at = time.time() - age
    event = {"type": ENDS[kind], "timestamp": at, "name": "t", "hostname": "w@h", "exception": "Oops()", "result": "77"}
    facts = facts_of(event, at, 65536)
    assert facts is not None
    write(db.engine, {name: facts})


def left() -> set[str]:
    with db.engine.connect() as connection:
        return set(connection.execute(select(runs.c.task_id)).scalars())


def prune(app: Flask, *arguments: str) -> Result:
    """Type ``flask prune``."""
    return app.test_cli_runner().invoke(args=["prune", *arguments])


@pytest.mark.parametrize("kind", ["success", "failure", "other"])
def test_a_run_goes_when_its_outcomes_time_is_over(app: Flask, kind: str) -> None:
    happened("old", kind, OLD)
    happened("new", kind, NEW)
    prune(app)
    assert left() == {"new"}


def test_a_success_goes_before_a_failure_of_the_same_age(app: Flask) -> None:
    happened("good", "success", 20 * DAY)
    happened("bad", "failure", 20 * DAY)
    prune(app)
    assert left() == {"bad"}


def test_a_run_that_has_not_ended_never_goes(app: Flask) -> None:
    happened("live", "live", 1000 * DAY)
    prune(app)
    assert left() == {"live"}


def test_zero_days_keep_for_ever(app: Flask) -> None:
    happened("old", "success", 5000 * DAY)
    app.config["RETENTION_DAYS"] = {"success": 0.0, "failure": 0.0, "other": 0.0}
    prune(app)
    assert left() == {"old"}


def test_beyond_the_greatest_number_the_oldest_ended_runs_go(app: Flask) -> None:
    for number in range(6):
        happened(str(number), "success", DAY + number)
    happened("live", "live", 2 * DAY)
    app.config["RETENTION_MAX_RUNS"] = 4
    prune(app)
    assert left() == {"0", "1", "2", "3", "live"}


def test_a_dry_run_says_what_would_go_and_removes_nothing(app: Flask) -> None:
    happened("old", "success", OLD)
    assert "1 runs would go: success, older than 14 days" in prune(app, "--dry-run").output
    assert left() == {"old"}


def test_more_runs_than_fit_a_batch_go_in_several(app: Flask) -> None:
    facts = facts_of({"type": "task-failed", "timestamp": time.time() - OLD}, time.time() - OLD, 4096)
    assert facts is not None
    write(db.engine, {str(number): facts for number in range(retention.BATCH + 10)})
    assert retention.prune(db.engine, {"failure": 30.0}, 0, seconds=math.inf) == retention.BATCH + 10


def test_a_run_that_is_gone_is_found_by_no_search(app: Flask) -> None:
    happened("old", "failure", OLD)
    happened("new", "failure", NEW)
    prune(app)
    with db.engine.connect() as connection:
        assert len(fetch_page(connection, Filter.parse({"q": "error:oops"})).keys) == 1
