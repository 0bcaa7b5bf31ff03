"""Bulk actions: which runs they are on, that each is done once, and that they can be stopped."""

from __future__ import annotations

import re
import time

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from tests.unit.actions.test_actions import told
from webapp.actions import bulk
from webapp.errors import ActionNotAllowedError
from webapp.extensions import db
from webapp.history.queries import cancels, runs
from webapp.outbox.submit import submit
from webapp.search.query import Filter
from webapp.tasks import divide

pytestmark = pytest.mark.database


def submitted(app: Flask, count: int) -> list[str]:
    return [submit(app, divide.name, [number, 2]).task_id for number in range(count)]


def ask(kind: str, picked: list[int] | None = None, **wanted: str) -> int:
    with db.engine.begin() as connection:
        return bulk.create(connection, kind, Filter.parse(wanted), picked or [], "a reason", rate=1000)


def carry_out(app: Flask, parts: int = 100) -> None:
    for _ in range(parts):
        bulk.carry_out(app, db.engine, soon())


def soon() -> float:
    """Return when the rate of every action allows at least ten more."""
    with db.engine.connect() as connection:
        rows = connection.execute(select(bulk.bulk_actions).where(bulk.bulk_actions.c.state == "running")).all()
    return max((row.worked_at or row.created_at for row in rows), default=time.time()) + 0.01005


def action(number: int) -> object:
    with db.engine.connect() as connection:
        return connection.execute(select(bulk.bulk_actions).where(bulk.bulk_actions.c.id == number)).one()


def retried() -> int:
    with db.engine.connect() as connection:
        return connection.execute(select(func.count()).where(runs.c.retry_of.is_not(None))).scalar_one()


def test_all_that_fit_are_run_again_once(app: Flask) -> None:
    submitted(app, 35)
    number = ask("retry")
    carry_out(app)
    row = action(number)
    assert (retried(), row.done, row.failed, row.state) == (35, 35, 0, "done")


def test_new_runs_go_to_the_outbox_with_their_reason(app: Flask) -> None:
    (first,) = submitted(app, 1)
    ask("retry")
    carry_out(app)
    with db.engine.connect() as connection:
        row = connection.execute(select(runs).where(runs.c.retry_of == first)).one()
    assert (row.publish_state, row.note, row.args) == ("new", "a reason", "[0, 2]")


def test_what_a_filter_leaves_out_is_left_alone(app: Flask) -> None:
    submitted(app, 3)
    told("x", "succeeded")
    ask("retry", state="success")
    carry_out(app)
    assert retried() == 0


def test_runs_that_came_later_are_no_part_of_it(app: Flask) -> None:
    submitted(app, 2)
    number = ask("retry")
    submitted(app, 3)
    carry_out(app)
    assert (retried(), action(number).done) == (2, 2)


def test_picked_runs_alone_are_dealt_with(app: Flask) -> None:
    submitted(app, 5)
    with db.engine.connect() as connection:
        ids = list(connection.execute(select(runs.c.id).order_by(runs.c.id)).scalars())
    ask("retry", picked=[ids[1], ids[3]])
    carry_out(app)
    assert retried() == 2


def test_unsent_runs_are_dropped_by_a_bulk_cancel(app: Flask) -> None:
    submitted(app, 4)
    number = ask("cancel", state="live")
    carry_out(app)
    with db.engine.connect() as connection:
        states = connection.execute(select(runs.c.state)).scalars().all()
    assert (states, action(number).failed) == (["REVOKED"] * 4, 0)


def test_a_bulk_cancel_is_done_when_nothing_of_it_is_open_any_more(app: Flask, client: FlaskClient) -> None:
    told("x", "received", args="(1,)", kwargs="{}")
    number = ask("cancel", state="live")
    carry_out(app)
    shown = client.get(f"/bulk/{number}").text
    assert [word in shown for word in ("Not confirmed", ">Done<")] == [True, False]
    with db.engine.begin() as connection:
        connection.execute(update(cancels).values(ended_at=1.0))
    shown = client.get(f"/bulk/{number}").text
    assert [word in shown for word in ("Not confirmed", ">Done<")] == [False, True]


def test_no_more_runs_are_made_than_can_be_sent_soon_but_as_many_cancelled(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(app, 15)
    retry = ask("retry")
    with monkeypatch.context() as patch:
        patch.setattr(bulk, "UNSENT_MAX", 12)
        carry_out(app)
        assert (retried(), action(retry).state) == (0, "running")
        cancel = ask("cancel", state="live")
        carry_out(app)
        assert action(cancel).state == "done"
    carry_out(app)
    assert (retried(), action(retry).state) == (15, "done")


def test_runs_on_which_it_is_not_possible_are_counted_with_the_reason(app: Flask) -> None:
    told("x", "received", args="(1, ...)", kwargs="{}")
    number = ask("retry")
    carry_out(app)
    row = action(number)
    assert (row.done, row.failed, row.state) == (1, 1, "done")
    assert "shortened" in row.last_error


def test_an_aborted_action_stands_still(app: Flask) -> None:
    submitted(app, 30)
    number = ask("retry")
    bulk.carry_out(app, db.engine, soon())
    with db.engine.begin() as connection:
        assert bulk.abort(connection, number)
    carry_out(app)
    assert (retried(), action(number).state) == (10, "aborted")


def test_a_part_that_fails_leaves_no_trace_and_is_done_once_afterwards(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(app, 20)
    number = ask("retry")

    def die(*_: object) -> None:
        raise RuntimeError("killed before the commit")

    with monkeypatch.context() as patch:
        patch.setattr(bulk, "update", die)
        with pytest.raises(RuntimeError):
            bulk.carry_out(app, db.engine, soon())
    assert (retried(), action(number).done) == (0, 0)
    carry_out(app)
    assert retried() == 20


def test_a_filter_that_is_not_understood_is_refused(app: Flask) -> None:
    submitted(app, 1)
    with pytest.raises(ActionNotAllowedError, match="not understood"):
        ask("cancel", q="since:sometime")


def test_the_page_asks_before_it_begins(app: Flask, client: FlaskClient) -> None:
    submitted(app, 3)
    page = client.get("/bulk/new?kind=cancel&all=1&state=live").text
    assert "Cancel 3 runs?" in page
    assert len(re.findall('id="run-', page)) == 3
    shown = client.post("/bulk", data={"kind": "cancel", "all": "1", "state": "live"}, follow_redirects=True).text
    assert "0 of 3" in shown


def test_nothing_selected_is_told(app: Flask, client: FlaskClient) -> None:
    answer = client.get("/bulk/new?kind=retry")
    assert (answer.status_code, "Select runs in the list first" in answer.text) == (422, True)


def test_a_slow_rate_is_kept_by_whoever_works_on_it(app: Flask) -> None:
    submitted(app, 5)
    with db.engine.begin() as connection:
        number = bulk.create(connection, "retry", Filter.parse({}), [], "", rate=1)
    begin = action(number).created_at
    done = [bulk.carry_out(app, db.engine, begin + tenth / 10) for tenth in range(31)]
    assert (sum(done), max(done)) == (3, 1)


def test_what_a_pause_left_unused_is_not_made_up_for(app: Flask) -> None:
    submitted(app, 5)
    with db.engine.begin() as connection:
        number = bulk.create(connection, "retry", Filter.parse({}), [], "", rate=2)
    assert bulk.carry_out(app, db.engine, action(number).created_at + 3600) == 2


def test_arguments_that_a_single_retry_would_refuse_are_refused_in_bulk(app: Flask) -> None:
    (task_id,) = submitted(app, 1)
    with db.engine.begin() as connection:
        connection.execute(update(runs).where(runs.c.task_id == task_id).values(args="[1, 2, 3]"))
    number = ask("retry")
    carry_out(app)
    row = action(number)
    assert (row.done, row.failed, retried()) == (1, 1, 0)
