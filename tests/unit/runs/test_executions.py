"""The same task id used again is a new execution; retries, redeliveries and late words of the first one are not."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Row, select

from webapp.extensions import db
from webapp.history.queries import runs
from webapp.history.writer import write
from webapp.recorder.batch import Batch
from webapp.recorder.result_facts import facts_of_stored

pytestmark = pytest.mark.database

ID = "sync-customer-7"
DAY = 86400.0


def hear(app: Flask, *events: dict[str, Any], each: bool = True) -> None:
    """Take events as a recorder does: written one by one, or all in one batch."""
    batch = Batch(app, db.engine)
    for event in events:
        batch.take({"uuid": ID, "hostname": "w@h", **event}, time.time())
        batch.unread.clear()
        if each:
            assert batch.write()
    assert batch.write()


def received(at: float, **more: Any) -> dict[str, Any]:
    return {"type": "task-received", "timestamp": at, "name": "shop.sync", "args": f"({at},)", "kwargs": "{}", **more}


def started(at: float) -> dict[str, Any]:
    return {"type": "task-started", "timestamp": at}


def succeeded(at: float) -> dict[str, Any]:
    return {"type": "task-succeeded", "timestamp": at, "result": "'fine'", "runtime": 1.0}


def failed(at: float) -> dict[str, Any]:
    return {"type": "task-failed", "timestamp": at, "exception": "OSError('secondrunbroke')"}


def night(at: float, end: dict[str, Any]) -> list[dict[str, Any]]:
    return [received(at), started(at + 1), {**end, "timestamp": at + 2}]


def rows() -> list[Row[Any]]:
    with db.engine.connect() as connection:
        return list(connection.execute(select(runs).order_by(runs.c.id)))


def test_an_id_that_is_used_again_has_two_executions_with_outcomes_of_their_own(app: Flask) -> None:
    now = time.time()
    hear(app, *night(now - DAY, succeeded(0)), *night(now - 10, failed(0)))
    first, second = rows()
    assert (first.state, first.earlier_of, first.task_id) == ("SUCCESS", ID, f"{ID} (execution 1)")
    assert (second.state, second.task_id, second.exception) == ("FAILURE", ID, "OSError('secondrunbroke')")
    assert second.created_at == now - 10
    assert second.args == f"({now - 10},)"


def test_a_new_execution_is_found_by_search_and_at_the_top_of_the_list(app: Flask, client: FlaskClient) -> None:
    now = time.time()
    hear(app, *night(now - DAY, succeeded(0)))
    hear(app, {**received(now - 60), "uuid": "another"})
    hear(app, *night(now - 10, failed(0)))
    page = client.get("/").text
    assert page.index(ID) < page.index("another")
    assert ID in client.get("/?q=error:secondrunbroke").text
    assert "(execution 1)" not in client.get("/?q=error:secondrunbroke").text


def test_executions_of_one_id_in_one_batch_are_told_apart(app: Flask) -> None:
    now = time.time()
    hear(app, *night(now - 20, succeeded(0)), *night(now - 10, failed(0)), each=False)
    assert [row.state for row in rows()] == ["SUCCESS", "FAILURE"]


def test_events_that_are_heard_twice_make_no_execution(app: Flask) -> None:
    now = time.time()
    both = [*night(now - DAY, succeeded(0)), *night(now - 10, failed(0))]
    hear(app, *both)
    before = [(row.task_id, row.state, row.created_at, row.started_at) for row in rows()]
    hear(app, *both)
    assert [(row.task_id, row.state, row.created_at, row.started_at) for row in rows()] == before


def test_a_result_of_the_execution_before_is_no_end_of_this_one(app: Flask) -> None:
    now = time.time()
    hear(app, *night(now - DAY, succeeded(0)), received(now - 10), started(now - 9))
    date = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now - DAY + 1))
    stored = facts_of_stored(f'{{"status": "SUCCESS", "result": 1, "date_done": "{date}"}}', now, 4096)
    assert stored is not None
    write(db.engine, {ID: stored})
    assert [row.state for row in rows()] == ["SUCCESS", "STARTED"]


def test_a_retry_is_no_new_execution(app: Flask) -> None:
    now = time.time()
    hear(app, *night(now - 20, failed(0)), received(now - 10, retries=1, parent_id=ID), started(now - 9))
    assert len(rows()) == 1


def test_a_message_that_is_delivered_again_is_no_new_execution(app: Flask) -> None:
    now = time.time()
    hear(app, *night(now - 20, succeeded(0)), received(now - 10, redelivered=True), started(now - 9))
    assert len(rows()) == 1


def test_a_task_that_replaces_itself_is_no_new_execution(app: Flask) -> None:
    now = time.time()
    hear(app, *night(now - 20, {"type": "task-ignored"}), received(now - 10, parent_id=ID), started(now - 9))
    assert len(rows()) == 1


def test_a_message_of_a_cancelled_run_that_is_dropped_is_no_new_execution(app: Flask) -> None:
    now = time.time()
    revoked = {"type": "task-revoked", "timestamp": now - 15}
    hear(app, received(now - 20), revoked, received(now - 10), {**revoked, "timestamp": now - 9})
    assert [row.state for row in rows()] == ["REVOKED"]


def test_how_a_run_was_sent_may_be_heard_last_and_by_another_clock(app: Flask) -> None:
    now = time.time()
    sent = {"type": "task-sent", "timestamp": now - 9, "name": "shop.sync", "args": "()", "kwargs": "{}"}
    hear(app, *night(now - 20, succeeded(0)), sent)
    assert [row.state for row in rows()] == ["SUCCESS"]


def test_each_execution_says_which_others_there_are(app: Flask, client: FlaskClient) -> None:
    now = time.time()
    hear(app, *night(now - DAY, succeeded(0)), *night(now - 10, failed(0)))
    assert "Earlier execution" in client.get(f"/runs/{ID}").text
    assert "Later execution" in client.get(f"/run?task_id={ID}%20(execution%201)").text
    assert len(client.get(f"/?q=id:{ID}").text.split('<tr id="run-')) == 3
