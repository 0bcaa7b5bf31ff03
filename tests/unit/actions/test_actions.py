"""Cancel and run again: what is allowed when, what is kept of it, and what the page says."""

from __future__ import annotations

import json
import re
import time

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from tests.unit.history.plans import scans
from webapp.actions.cancel import NEVER_SENT, NOT_SENT, cancel
from webapp.errors import ActionNotAllowedError
from webapp.extensions import db
from webapp.history.queries import cancels, run_by_id, runs
from webapp.history.writer import write
from webapp.outbox.submit import submit
from webapp.recorder.event_facts import facts_of
from webapp.runs.actions import AGAIN, CANCEL, SEND, TERMINATE, allowed
from webapp.runs.states import phase
from webapp.services import services_of
from webapp.tasks import divide

pytestmark = pytest.mark.database

PREFORK = "celery.concurrency.prefork:TaskPool"


def sent(app: Flask) -> str:
    """Submit a run and make believe that it was published: this app has no broker."""
    task_id = submit(app, divide.name, [1, 2]).task_id
    with db.engine.begin() as connection:
        connection.execute(update(runs).where(runs.c.task_id == task_id).values(publish_state="sent"))
    return task_id


def told(task_id: str, kind: str, **fields: object) -> None:
    """Record an event of now."""
    event = {"type": f"task-{kind}", "timestamp": time.time(), "hostname": "celery@a", "name": "shop.pay", **fields}
    facts = facts_of(event, time.time(), 65536)
    assert facts is not None
    write(db.engine, {task_id: facts})


def row_of(task_id: str) -> object:
    with db.engine.connect() as connection:
        return run_by_id(connection, task_id)


@pytest.mark.parametrize(
    ("state", "publish_state", "pool", "actions"),
    [
        ("PENDING", "held", None, {CANCEL, SEND, AGAIN}),
        ("PENDING", "sent", None, {CANCEL, AGAIN}),
        ("PENDING", None, None, {CANCEL, AGAIN}),
        ("RECEIVED", None, PREFORK, {CANCEL, AGAIN}),
        ("RETRY", None, PREFORK, {CANCEL, AGAIN}),
        ("UNCERTAIN", None, None, {CANCEL, AGAIN}),
        ("STARTED", None, PREFORK, {TERMINATE, AGAIN}),
        ("PROGRESS", None, PREFORK, {TERMINATE, AGAIN}),
        ("STARTED", None, "celery.concurrency.thread:TaskPool", {AGAIN}),
        ("STARTED", None, "celery.concurrency.solo:TaskPool", {AGAIN}),
        ("STARTED", None, None, {AGAIN}),
        ("SUCCESS", None, PREFORK, {AGAIN}),
        ("FAILURE", None, PREFORK, {AGAIN}),
        ("REVOKED", None, PREFORK, {AGAIN}),
        ("LOST", None, PREFORK, {CANCEL, AGAIN}),
    ],
)
def test_what_is_allowed(state: str, publish_state: str | None, pool: str | None, actions: set[str]) -> None:
    assert allowed(state, phase(state), publish_state, pool) == actions


def test_a_run_that_was_never_sent_is_cancelled_in_the_database(app: Flask, client: FlaskClient) -> None:
    task_id = submit(app, divide.name, [1, 2]).task_id
    assert cancel(app, task_id) is True
    row = row_of(task_id)
    assert (row.state, row.publish_state) == ("REVOKED", "dropped")
    assert f'id="run-{row.id}"' in client.get("/?q=state:revoked+args:2").text


def test_a_cancelled_run_that_was_never_sent_is_not_sent_any_more(app: Flask, client: FlaskClient) -> None:
    task_id = submit(app, divide.name, [1, 2]).task_id
    cancel(app, task_id)
    page = client.post("/send", data={"task_id": task_id}, follow_redirects=True).text
    assert "There was nothing to send" in page


@pytest.mark.parametrize(("tried", "followed"), [(True, 1), (False, 0)], ids=["tried", "never tried"])
def test_a_cancel_is_followed_where_a_failed_attempt_to_send_may_have_been_delivered(
    app: Flask, tried: bool, followed: int
) -> None:
    if not tried:
        services_of(app).circuit_breaker.record_failure("away")
    task_id = submit(app, divide.name, [1, 2]).task_id
    assert cancel(app, task_id) is True
    with db.engine.connect() as connection:
        assert len(connection.execute(select(cancels).where(cancels.c.ended_at.is_(None))).all()) == followed
    assert row_of(task_id).exception == (NOT_SENT if tried else NEVER_SENT)


def test_a_request_to_cancel_is_kept_and_shown(app: Flask, client: FlaskClient) -> None:
    task_id = sent(app)
    page = client.post("/cancel", data={"task_id": task_id, "reason": "<b>wrong"}, follow_redirects=True).text
    assert "Cancel requested" in page
    assert "&lt;b&gt;wrong" in page
    assert "No worker has answered yet" in page


def test_a_request_that_is_made_twice_is_kept_once(app: Flask) -> None:
    task_id = sent(app)
    assert [cancel(app, task_id), cancel(app, task_id)] == [False, False]
    with db.engine.connect() as connection:
        assert len(connection.execute(select(cancels)).all()) == 1


@pytest.mark.parametrize("kind", ["succeeded", "started"])
def test_a_run_that_has_begun_or_ended_is_not_cancelled(app: Flask, kind: str) -> None:
    told("x", kind)
    with pytest.raises(ActionNotAllowedError):
        cancel(app, "x")


def test_a_run_that_ended_before_the_cancel_reached_it_says_so(app: Flask, client: FlaskClient) -> None:
    task_id = sent(app)
    cancel(app, task_id)
    told(task_id, "succeeded", result="0.5")
    assert "It finished before the cancel reached it" in client.get(f"/runs/{task_id}").text


def test_a_run_is_run_again_with_its_exact_arguments(app: Flask, client: FlaskClient) -> None:
    first = submit(app, divide.name, [1, 2.5], {}).task_id
    answer = client.post("/again", data={"task_id": first})
    second = answer.location.rpartition("/")[2]
    row = row_of(second)
    assert (json.loads(row.args), row.retry_of, second != first) == ([1, 2.5], first, True)


def test_both_runs_link_to_each_other(app: Flask, client: FlaskClient) -> None:
    first = submit(app, divide.name, [1, 2]).task_id
    second = client.post("/again", data={"task_id": first}).location.rpartition("/")[2]
    assert f'href="/runs/{second}"' in client.get(f"/runs/{first}").text
    assert f'href="/runs/{first}"' in client.get(f"/runs/{second}").text


def test_a_double_click_on_run_again_is_one_run(app: Flask, client: FlaskClient) -> None:
    first = submit(app, divide.name, [1, 2]).task_id
    found = re.search(r'name="key" value="([^"]+)"', client.get(f"/runs/{first}").text)
    assert found is not None
    answers = {client.post("/again", data={"task_id": first, "key": found[1]}).location for _ in range(2)}
    assert len(answers) == 1


def test_abridged_arguments_lead_to_the_form_and_are_not_guessed(app: Flask, client: FlaskClient) -> None:
    told("x", "received", args="('__import__(\"os\")', ...)", kwargs="{}")
    page = client.post("/again", data={"task_id": "x"}, follow_redirects=True).text
    assert "Only a shortened text of this run&#39;s arguments is known" in page
    assert "__import__(&#34;os&#34;)" in page


def test_arguments_that_the_signature_does_not_take_any_more_lead_to_the_form_with_the_reason(
    app: Flask, client: FlaskClient
) -> None:
    first = submit(app, divide.name, [1, 2]).task_id
    with db.engine.begin() as connection:
        connection.execute(update(runs).where(runs.c.task_id == first).values(args='[1, 2, "three"]'))
    page = client.post("/again", data={"task_id": first}, follow_redirects=True).text
    assert "The task takes 2 arguments by position; this call has 3." in page
    assert 'value="1"' in page


@pytest.mark.sqlite_only
def test_no_page_of_a_run_looks_through_the_whole_table(app: Flask, client: FlaskClient) -> None:
    first = submit(app, divide.name, [1, 2]).task_id
    second = client.post("/again", data={"task_id": first}).location.rpartition("/")[2]
    with scans(db.engine) as found:
        for task_id in (first, second):
            client.get(f"/runs/{task_id}")
    assert found == []
