"""The catalogue and the form of a task: typed, filled, checked, previewed and sent."""

from __future__ import annotations

import contextlib
import html
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, insert, select, update

from webapp.extensions import db
from webapp.history.facets import FacetRecorder
from webapp.history.models import TaskSchema, WorkerTask
from webapp.history.queries import runs, workers
from webapp.outbox.submit import submit
from webapp.runs.ids import first_id
from webapp.tasks import divide
from webapp.views.tasks import statistics
from webapp.worker.describe import schema_of

pytestmark = pytest.mark.database

DIVIDE = {"name": "webapp.tasks.divide", "mode": "fields"}


def newest() -> object:
    with db.engine.connect() as connection:
        return connection.execute(select(runs).order_by(runs.c.id.desc()).limit(1)).one()


def known_to(hostname: str, name: str, schema: dict[str, object] | None) -> None:
    """Note what a live worker has said of a task."""
    with db.engine.begin() as connection:
        connection.execute(insert(workers).values(hostname=hostname, seen_at=1.0, online=True, durable=True))
        key = str(hash(json.dumps(schema)))[:32] if schema else None
        connection.execute(insert(WorkerTask.__table__).values(hostname=hostname, name=name, schema_hash=key))
        if schema:
            connection.execute(insert(TaskSchema.__table__).values(hash=key, schema=json.dumps(schema)))


def test_every_task_is_listed_and_celerys_own_are_not(client: FlaskClient) -> None:
    page = client.get("/tasks").text
    assert "webapp.tasks.divide_many" in page
    assert "celery.chord" not in page


def test_a_task_that_no_live_worker_knows_is_marked(client: FlaskClient) -> None:
    assert "no live worker" in client.get("/tasks").text
    assert "No live worker knows this task" in client.get("/task?name=webapp.tasks.divide").text


def test_a_task_of_a_worker_is_typed_without_its_code(client: FlaskClient) -> None:
    def pay(order: int, urgent: bool = False) -> None:
        """Pay an order."""

    known_to("celery@shop", "shop.pay", schema_of(pay))
    page = client.get("/task?name=shop.pay").text
    assert 'name="p.order"' in page
    assert "Pay an order." in page
    assert "celery@shop" in client.get("/tasks").text


def test_workers_that_describe_a_task_differently_are_shown(client: FlaskClient) -> None:
    known_to("celery@a", "shop.pay", schema_of(lambda order: None))
    known_to("celery@b", "shop.pay", schema_of(lambda order, amount: None))
    assert "in 2 different ways" in client.get("/task?name=shop.pay").text


def test_a_task_of_which_nothing_is_known_has_a_form_of_json(client: FlaskClient) -> None:
    assert '<textarea id="raw"' in client.get("/task?name=nobody.knows").text


def test_only_what_was_typed_is_sent(client: FlaskClient) -> None:
    data = {"name": "webapp.tasks.unreliable_divide", "mode": "fields", "p.x": "1", "p.y": "2", "p.chance": ""}
    assert client.post("/task", data=data).status_code == 303
    assert (newest().args, newest().kwargs) == ("[1, 2]", "{}")


def test_a_wrong_value_is_named_beside_its_field_and_kept(client: FlaskClient) -> None:
    answer = client.post("/task", data={**DIVIDE, "p.x": "seven", "p.y": "2"})
    assert answer.status_code == 422
    assert 'id="error-p.x"' in answer.text
    assert 'value="seven"' in answer.text
    assert len(re.findall("autofocus", answer.text)) == 1


def test_options_are_kept_with_the_run(client: FlaskClient) -> None:
    data = {**DIVIDE, "p.x": "1", "p.y": "2", "o.queue": "slow", "o.countdown": "5 min", "o.note": "why"}
    client.post("/task", data=data)
    row = newest()
    assert (row.queue, row.note, json.loads(row.options)["queue"]) == ("slow", "why", "slow")
    assert row.eta is not None


@pytest.mark.parametrize(
    ("name", "typed"),
    [("priority", "300"), ("priority", "high"), ("eta", "soon"), ("countdown", "-5"), ("expires", "2001-01-01")],
)
def test_a_wrong_option_is_named_beside_its_field(client: FlaskClient, name: str, typed: str) -> None:
    answer = client.post("/task", data={**DIVIDE, "p.x": "1", "p.y": "2", f"o.{name}": typed})
    assert (answer.status_code, f'id="error-o-{name}"' in answer.text) == (422, True)


def test_fields_and_json_show_the_same_call(client: FlaskClient) -> None:
    page = client.post("/task", data={**DIVIDE, "p.x": "1", "p.y": "2.5", "show": "raw"}).text
    found = re.search(r"<textarea[^>]*>([^<]*)", page)
    assert found is not None
    raw = found[1].replace("&#34;", '"')
    assert json.loads(raw) == {"args": [1, 2.5], "kwargs": {}}
    back = client.post("/task", data={"name": DIVIDE["name"], "mode": "raw", "raw": raw, "show": "fields"}).text
    assert 'value="2.5"' in back


def test_the_exact_call_is_previewed(client: FlaskClient) -> None:
    page = client.post("/task", data={**DIVIDE, "p.x": "1", "p.y": "2", "o.queue": "slow", "show": "call"}).text
    assert "divide.apply_async(args=[1, 2], queue=&#39;slow&#39;)" in page


def test_a_link_fills_the_form(client: FlaskClient) -> None:
    page = client.get("/task?name=webapp.tasks.divide&p.x=7").text
    assert 'value="7"' in page
    assert 'class="error"' not in page


def test_the_last_run_of_a_task_is_shown_however_long_ago_it_was(app: Flask, client: FlaskClient) -> None:
    task_id = submit(app, divide.name, [3, 4]).task_id
    with db.engine.begin() as connection:
        connection.execute(update(runs).values(id=first_id(time.time() - 5 * 86400)))
    page = client.get("/tasks").text
    assert f'href="/runs/{task_id}"' in page
    assert ">1</td>" not in page


def test_the_same_call_is_offered_once(app: Flask, client: FlaskClient) -> None:
    task_ids = [submit(app, divide.name, [x, 4]).task_id for x in (3, 5, 3)]
    page = client.get("/task?name=webapp.tasks.divide").text
    assert re.findall(r"from=([-\w]+)", page) == [task_ids[2], task_ids[1]]


def test_switching_the_view_keeps_what_is_there_though_more_is_needed(client: FlaskClient) -> None:
    page = client.post("/task", data={**DIVIDE, "p.x": "3", "p.y": "", "show": "raw"}).text
    assert "is needed" not in page
    raw = html.unescape(re.search(r"<textarea[^>]*>([^<]*)", page)[1])
    assert json.loads(raw) == {"args": [3], "kwargs": {}}
    back = client.post("/task", data={"name": DIVIDE["name"], "mode": "raw", "raw": raw, "show": "fields"}).text
    assert 'value="3"' in back


def test_a_value_that_is_wrong_keeps_the_view(client: FlaskClient) -> None:
    answer = client.post("/task", data={**DIVIDE, "p.x": "three", "p.y": "", "show": "raw"})
    assert answer.status_code == 422
    assert 'value="three"' in answer.text


def test_what_is_typed_is_checked_without_blame_for_what_is_not(client: FlaskClient) -> None:
    part = client.post("/task", data={**DIVIDE, "p.x": "a", "p.y": "", "show": "check"}).text
    assert "<html" not in part
    assert part.count('class="error"') == 1
    assert "Still needed: <code>y</code>." in part


def test_recent_arguments_are_one_click_away(app: Flask, client: FlaskClient) -> None:
    task_id = submit(app, divide.name, [3, 4]).task_id
    page = client.get("/task?name=webapp.tasks.divide").text
    assert f"from={task_id}" in page
    assert "divide.apply_async(args=[3, 4])" in page


def test_a_preset_is_saved_filled_in_and_removed(client: FlaskClient) -> None:
    data = {**DIVIDE, "p.x": "8", "p.y": "2", "show": "preset", "preset": "My <b>own"}
    page = client.post("/task", data=data, follow_redirects=True).text
    assert "My &lt;b&gt;own" in page
    assert 'value="8"' in page
    found = re.search(r'action="(/presets/\d+/remove)"', page)
    assert found is not None
    assert "My &lt;b&gt;own" not in client.post(found[1], follow_redirects=True).text


@pytest.mark.parametrize("name", ["", "x" * 300, "../../etc/passwd", "<script>", "a b\x00c"])
def test_any_name_of_a_task_gets_an_answer(client: FlaskClient, name: str) -> None:
    answer = client.get("/task", query_string={"name": name})
    assert answer.status_code in (200, 404)
    assert "<script>alert" not in answer.text


def test_a_decimal_is_shown_as_a_decimal(app: Flask, client: FlaskClient) -> None:
    price = {"__type__": "decimal", "__value__": "9.90"}
    task_id = submit(app, divide.name, [price, 2]).task_id
    assert "x = decimal.Decimal(&#39;9.90&#39;)" in client.get(f"/runs/{task_id}").text


@pytest.mark.parametrize("data", [{"preset": "mine"}, {"preset": "mine", "show": "preset"}])
def test_enter_in_the_name_of_a_preset_saves_it(client: FlaskClient, data: dict[str, str]) -> None:
    answer = client.post("/task", data={**DIVIDE, "p.x": "8", "p.y": "2", **data})
    assert "preset=" in answer.location
    assert "No runs yet" in client.get("/").text


@pytest.mark.parametrize("data", [{"preset": "mine", "run": "1"}, {"preset": " "}, {}])
def test_run_runs_whatever_the_preset_would_be_called(client: FlaskClient, data: dict[str, str]) -> None:
    answer = client.post("/task", data={**DIVIDE, "p.x": "8", "p.y": "2", **data})
    assert answer.location.startswith("/runs/")
    assert 'class="button main" name="run"' in client.get("/task?name=webapp.tasks.divide").text


def test_a_preset_of_a_call_that_is_wrong_is_not_saved(client: FlaskClient) -> None:
    answer = client.post("/task", data={**DIVIDE, "p.x": "eight", "p.y": "2", "preset": "mine"})
    assert (answer.status_code, "mine" in answer.text) == (422, False)


def test_a_link_fills_the_options(client: FlaskClient) -> None:
    page = client.get("/task?name=webapp.tasks.divide&p.x=1&o.queue=slow&o.note=why&o.priority=high").text
    assert 'name="o.queue" value="slow"' in page
    assert 'name="o.note" value="why"' in page
    assert 'id="error-o-priority"' in page
    assert '<details class="options" id="options" open>' in page


def test_options_of_a_link_stand_before_those_of_the_run(app: Flask, client: FlaskClient) -> None:
    task_id = submit(app, divide.name, [3, 4], options={"queue": "slow", "priority": 3}).task_id
    page = client.get(f"/task?name=webapp.tasks.divide&from={task_id}&o.queue=fast").text
    assert 'name="o.queue" value="fast"' in page
    assert 'name="o.priority" value="3"' in page


def test_a_long_call_is_offered_by_its_beginning(app: Flask, client: FlaskClient) -> None:
    submit(app, divide.name, ["x" * 100_000, 4])
    page = client.get("/task?name=webapp.tasks.divide").text
    assert "divide.apply_async(args=[&#39;xxx" in page
    assert len(page) < 20_000


@contextlib.contextmanager
def asked() -> Iterator[list[str]]:
    """Give a list of what the database is asked meanwhile."""
    said: list[str] = []

    def hear(*about: Any) -> None:
        said.append(about[2])

    event.listen(db.engine, "before_cursor_execute", hear)
    yield said
    event.remove(db.engine, "before_cursor_execute", hear)


def test_a_check_while_typing_looks_for_no_calls_to_offer(app: Flask, client: FlaskClient) -> None:
    submit(app, divide.name, [3, 4])
    with asked() as said:
        client.post("/task", data={**DIVIDE, "p.x": "3", "p.y": "", "show": "check"})
    assert [text for text in said if "vase_task_runs" in text or "presets" in text] == []
    with asked() as said:
        client.get("/task?name=webapp.tasks.divide")
    assert [text for text in said if "presets" in text] != []


def test_the_list_of_tasks_guesses_no_forms(app: Flask, client: FlaskClient) -> None:
    def pay(order: int) -> None:
        """Pay an order."""

    known_to("celery@shop", "shop.pay", schema_of(pay))
    with db.engine.begin() as connection:
        many = [{"hostname": "celery@shop", "name": f"shop.task{n}", "schema_hash": None} for n in range(300)]
        connection.execute(insert(WorkerTask.__table__), many)
    with asked() as said:
        page = client.get("/tasks").text
    assert "Pay an order." in page
    assert page.count('<a class="call"') > 300
    assert len([text for text in said if "args" in text or "task_schemas" in text]) == 1
    assert len(said) < 150


def test_the_row_of_a_task_shows_its_own_run_though_the_name_of_another_ends_so(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However many tasks other tests have imported into this process.
    monkeypatch.setattr(statistics, "SOUGHT", 10_000)
    known_to("celery@shop", "divide", None)
    for days, name in ((6, "divide"), (5, divide.name)):
        task_id = submit(app, name, [3, 4]).task_id
        happened_at = update(runs).where(runs.c.task_id == task_id).values(id=first_id(time.time() - days * 86400))
        with db.engine.begin() as connection:
            connection.execute(happened_at)
            FacetRecorder().note(connection, {("PENDING", name, None, None)}, time.time())
        assert f'href="/runs/{task_id}"' in client.get("/tasks").text
    assert len(re.findall(r'href="/runs/', client.get("/tasks").text)) == 2
