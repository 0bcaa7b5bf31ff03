"""Values at and beyond every limit: they are recorded, or passed over, and every page still opens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from webapp.extensions import db
from webapp.history.queries import dead_letters, runs
from webapp.history.writer import record_each, write
from webapp.recorder.batch import Batch
from webapp.recorder.event_facts import STATES_OF_EVENTS, facts_of, task_id_of
from webapp.recorder.result_facts import facts_of_stored
from webapp.recorder.worker_registry import WorkerRegistry
from webapp.text import NAME_MAX, tidy
from webapp.views.runs.presenters import run_path

pytestmark = pytest.mark.database

NOW = 5000.0
MAX = 65536
HUGE = int("9" * 400)

NUMBERS = st.floats() | st.integers() | st.sampled_from([HUGE, -HUGE, 2**31, 2**63, True])
TEXTS = st.sampled_from(["", "\x00", "\ud800" * 300, "<script>alert(1)</script>", "x" * 100_000, "\u202eabc", "[[["])
VALUES = (
    st.none() | NUMBERS | TEXTS | st.lists(NUMBERS | TEXTS, max_size=2) | st.dictionaries(TEXTS, NUMBERS, max_size=2)
)
FIELDS = (
    "timestamp clock hostname name args kwargs result exception traceback runtime retries eta expires queue root_id"
)
EVENTS = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(sorted(STATES_OF_EVENTS)),
    st.dictionaries(st.sampled_from(FIELDS.split()), VALUES),
)


@given(EVENTS)
def test_every_event_says_something_of_its_run_whatever_its_fields(event: dict[str, Any]) -> None:
    assert facts_of(event, NOW, MAX) is not None


@pytest.mark.parametrize("field", ["timestamp", "clock", "retries", "runtime"])
def test_a_number_with_four_hundred_digits_in_an_event_is_passed_over(field: str) -> None:
    for kind in ("task-received", "task-succeeded"):
        assert facts_of({"type": kind, field: HUGE}, NOW, MAX)


def test_progress_with_four_hundred_digits_is_passed_over() -> None:
    facts = facts_of_stored(f'{{"status": "PROGRESS", "result": {{"current": {HUGE}, "total": 1}}}}', NOW, MAX)
    assert facts is not None
    assert "progress" not in facts


STORED = st.builds(
    lambda status, rest: json.dumps({"status": status, **rest}),
    st.sampled_from(["SUCCESS", "FAILURE", "PROGRESS", "REVOKED", "<b>", ""]),
    st.dictionaries(
        st.sampled_from("result traceback date_done worker queue name args kwargs retries".split()), VALUES
    ),
)


@given(STORED)
def test_every_stored_result_says_something_of_its_run_whatever_its_values(stored: str) -> None:
    assert facts_of_stored(stored, NOW, MAX) is not None


@given(st.dictionaries(st.sampled_from("type hostname pid freq timestamp".split()), VALUES | st.just("worker-online")))
def test_no_sign_of_a_worker_whatever_raises(event: dict[str, Any]) -> None:
    workers = WorkerRegistry()
    workers.hear(event, NOW)
    workers.note_silence(NOW + 10_000)
    workers.take_ended()


@pytest.mark.parametrize("text", ["\x00" * 300, "\ud800" * 255, "x" * 300, "é" * 300])
def test_a_name_is_never_longer_than_its_column(text: str) -> None:
    """SQLite does not mind; PostgreSQL refuses the row, and all that was heard of the run is left out."""
    assert len(tidy(text) or "") <= NAME_MAX


def test_a_task_id_is_never_longer_than_its_column() -> None:
    assert len(task_id_of({"uuid": "\x00" * NAME_MAX}) or "") <= NAME_MAX


def assert_pages_open(client: FlaskClient, task_id: str) -> None:
    pages = [client.get("/"), client.get("/fragments/runs"), client.get(f"/{run_path(task_id)}")]
    assert [page.status_code for page in pages] == [200, 200, 200]
    for page in pages:
        assert "<script>alert" not in page.text
        assert "\x00" not in page.text


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(events=st.lists(EVENTS, min_size=1, max_size=3), stored=st.none() | STORED)
def test_pages_open_whatever_was_heard_of_a_run(
    app: Flask, client: FlaskClient, events: list[dict[str, Any]], stored: str | None
) -> None:
    observed = [facts_of(event, NOW, MAX) for event in events]
    if stored is not None:
        observed.append(facts_of_stored(stored, NOW, MAX))
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM vase_task_runs")
    for facts in observed:
        if facts:
            assert record_each(db.engine, {"one": facts}, ()) == []
    assert_pages_open(client, "one")


def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call something at the bottom of a stack, as recorder and web server do, and not on top of pytest's."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *arguments).result()


@pytest.mark.parametrize("depth", [100, 500, 900, *range(950, 1000, 5)])
@pytest.mark.parametrize("field", ["args", "result"])
def test_one_deeply_nested_value_does_not_take_the_list_of_runs_away_from_everybody(
    app: Flask, client: FlaskClient, field: str, depth: int
) -> None:
    deep = "[" * depth + "]" * depth
    meta = {"args": f'"name": "t", "args": {deep}, "kwargs": {{}}', "result": f'"result": {deep}'}[field]
    facts = in_thread(facts_of_stored, f'{{"status": "SUCCESS", {meta}}}', NOW, MAX)
    # What is too deep to be read at all is not recorded, which will do.
    write(db.engine, {"deep": facts} if facts else {})
    assert in_thread(client.get, "/").status_code == 200
    assert in_thread(client.get, "/runs/deep").status_code == (200 if facts else 404)


@pytest.mark.parametrize("timestamp", [0.0, 1e-300, 253402300799.0, 1e11])
def test_a_run_from_the_far_past_or_future_can_be_shown(app: Flask, client: FlaskClient, timestamp: float) -> None:
    facts = facts_of({"type": "task-started", "timestamp": timestamp, "hostname": "w@h"}, NOW, MAX)
    assert facts is not None
    write(db.engine, {"far": facts})
    assert_pages_open(client, "far")


def test_a_row_that_the_database_refuses_does_not_take_others_with_it(app: Flask) -> None:
    good = facts_of({"type": "task-started", "hostname": "w@h"}, NOW, MAX)
    assert good is not None
    batch: dict[str, Any] = {f"good{number}": good for number in range(20)}
    batch["bad"] = {**good, "name": object()}
    batch |= {f"more{number}": good for number in range(20)}
    assert [task_id for task_id, _ in record_each(db.engine, batch, ())] == ["bad"]
    with db.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM vase_task_runs").scalar_one() == 40


def test_what_the_database_refuses_is_set_aside_and_the_rest_is_written(app: Flask) -> None:
    facts = facts_of({"type": "task-started", "hostname": "w@h"}, NOW, MAX)
    assert facts is not None
    batch = Batch(app, db.engine)
    batch.runs = {"good": facts, "bad": {**facts, "name": "half a pair: \ud800"}}
    assert batch.write()
    with db.engine.connect() as connection:
        assert connection.execute(select(runs.c.task_id)).scalars().all() == ["good"]
        assert connection.execute(select(dead_letters.c.task_id)).scalars().all() == ["bad"]


def test_a_run_that_is_passed_over_for_its_long_id_is_named_once(app: Flask) -> None:
    batch = Batch(app, db.engine)
    for kind in ("received", "started"):
        batch.take({"type": f"task-{kind}", "uuid": "x" * 300, "timestamp": time.time()}, time.time())
        batch.write()
    with db.engine.connect() as connection:
        letters = connection.execute(select(dead_letters.c.task_id, dead_letters.c.why)).all()
    assert letters == [("x" * 255, "Its task id has 300 characters. At most 255 can be recorded.")]
