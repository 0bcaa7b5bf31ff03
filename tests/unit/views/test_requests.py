"""Single requests: who may post, what is refused, what a page says when something is wrong."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from flask import Flask
from flask.testing import FlaskClient

from webapp.extensions import db
from webapp.history.queries import runs
from webapp.history.writer import write
from webapp.recorder.event_facts import facts_of
from webapp.services import services_of

pytestmark = pytest.mark.database

GOOD = {"x": "1", "y": "2"}
HOSTILE_IDS = [
    "..",
    ".",
    "a/b",
    "a//b",
    "/",
    "a?b#c",
    "<script>alert(1)</script>",
    "x" * 255,
    "%2F",
    "é✓",
    "a b",
    "'\"",
    "\\",
]


def record(task_id: str, **fields: Any) -> None:
    """Record a run as if its success had been heard."""
    event = {"type": "task-succeeded", "timestamp": 1000.0, "hostname": "w@h", "name": "t", "result": "1", **fields}
    facts = facts_of(event, 1000.0, 65536)
    assert facts is not None
    write(db.engine, {task_id: facts})


def count(app: Flask) -> int:
    with db.engine.connect() as connection:
        return len(connection.execute(runs.select()).all())


def test_a_good_submission_is_kept_and_answered_with_303(app: Flask, client: FlaskClient) -> None:
    answer = client.post("/runs", data=GOOD)
    assert (answer.status_code, answer.location, count(app)) == (303, "/", 1)


@pytest.mark.parametrize("bad", ["nan", "inf", "1e999", "", "text", "9" * 400, "<b>&amp;"])
def test_a_bad_value_is_answered_beside_its_field_and_kept(app: Flask, client: FlaskClient, bad: str) -> None:
    answer = client.post("/runs", data={"x": "7", "y": bad})
    assert answer.status_code == 422
    assert 'value="7"' in answer.text
    assert f'value="{html.escape(bad)}"' in answer.text
    assert re.search(r'name="y"[^>]*aria-invalid="true" aria-describedby="error-y"', answer.text)
    assert 'id="error-y"' in answer.text
    assert 'id="error-x"' not in answer.text
    assert count(app) == 0


def test_the_same_form_sent_twice_is_one_run(app: Flask, client: FlaskClient) -> None:
    key = "6104b10e-cffe-4703-997d-bc085068d517"
    client.post("/runs", data=GOOD | {"key": key})
    client.post("/runs", data=GOOD | {"key": key})
    assert count(app) == 1


def test_the_same_form_with_other_values_is_another_run(app: Flask, client: FlaskClient) -> None:
    key = "6104b10e-cffe-4703-997d-bc085068d517"
    client.post("/runs", data=GOOD | {"key": key})
    client.post("/runs", data={"x": "3", "y": "4", "key": key})
    assert count(app) == 2


@pytest.mark.parametrize("key", ["", "nonsense", "../..", "x" * 5000])
def test_a_senseless_key_does_no_harm(app: Flask, client: FlaskClient, key: str) -> None:
    assert client.post("/runs", data=GOOD | {"key": key}).status_code == 303


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
        ({"Origin": "http://localhost"}, 303),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:81"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_only_this_site_may_post(client: FlaskClient, headers: dict[str, str], status: int) -> None:
    assert client.post("/runs", data=GOOD, headers=headers).status_code == status


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000"])
def test_a_trusted_host_is_served(client: FlaskClient, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "a b"])
def test_another_host_is_refused_and_told_the_setting(client: FlaskClient, host: str) -> None:
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code == 400
    assert "TRUSTED_HOSTS" in answer.text


def test_a_request_that_is_too_large_is_refused(client: FlaskClient) -> None:
    answer = client.post("/runs", data={"x": "1" * 2_000_000, "y": "2"})
    assert answer.status_code == 413
    assert "Too large" in answer.text


@pytest.mark.parametrize("path", ["/", "/runs/unknown", "/nowhere", "/health", "/fragments/runs", "/static/app.css"])
def test_every_answer_carries_the_security_headers(client: FlaskClient, path: str) -> None:
    with client.get(path) as answer:
        headers = answer.headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"]


def test_an_unknown_run_is_explained(client: FlaskClient) -> None:
    answer = client.get("/runs/%3Cscript%3E")
    assert answer.status_code == 404
    assert "&lt;script&gt;" in answer.text
    assert "<script>" not in answer.text
    assert "no recorder was running" in answer.text


@pytest.mark.parametrize("task_id", HOSTILE_IDS)
def test_any_task_id_has_a_link_that_opens_its_run(client: FlaskClient, app: Flask, task_id: str) -> None:
    record(task_id)
    link = re.search(r'<td class="what call">.*?href="([^"]*)"', client.get("/").text)
    assert link is not None
    answer = client.get(html.unescape(link[1]))
    assert answer.status_code == 200
    assert f">{html.escape(task_id).replace('&#x27;', '&#39;').replace('&quot;', '&#34;')}</p>" in answer.text


def test_hostile_text_is_shown_as_text(client: FlaskClient, app: Flask) -> None:
    record("one", name="<script>alert(1)</script>", result='"><img src=x onerror=alert(1)>', hostname="<i>w</i>")
    for page in (client.get("/").text, client.get("/runs/one").text):
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "<i>w</i>" not in page


def test_a_broken_database_gets_a_calm_page(client: FlaskClient, app: Flask) -> None:
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE vase_task_runs")
    answer = client.get("/")
    assert answer.status_code == 503
    assert "The database does not answer" in answer.text
    assert "Traceback" not in answer.text


def test_ready_names_what_is_missing(client: FlaskClient) -> None:
    answer = client.get("/ready")
    assert answer.status_code == 503
    checks = answer.get_json()["checks"]
    assert {name: check["ok"] for name, check in checks.items()} == {
        "database": True,
        "broker": False,
        "recorder": False,
        "workers": False,
    }


def test_paging_shows_every_run_once(client: FlaskClient, app: Flask) -> None:
    facts = facts_of({"type": "task-succeeded", "timestamp": 1000.0, "hostname": "w@h", "name": "t"}, 1000.0, 4096)
    assert facts is not None
    write(db.engine, {f"run{number}": facts for number in range(120)})
    seen: list[str] = []
    path = "/"
    while path:
        text = client.get(path).text
        seen += re.findall(r'href="/runs/(run\d+)"', text)
        older = re.search(r'href="([^"]*)" rel="next"', text)
        path = html.unescape(older[1]) if older else ""
    assert len(seen) == 120
    assert len(set(seen)) == 120


@pytest.mark.parametrize(
    "query",
    [
        "before=nan_1",
        "before=1e999_1",
        "before=x",
        "before=1_99999999999999999999",
        "state=%00",
        "task=%ED%A0%80",
        "state=" + "x" * 900,
    ],
)
def test_a_senseless_filter_does_no_harm(client: FlaskClient, query: str) -> None:
    assert client.get(f"/?{query}").status_code == 200
    assert client.get(f"/fragments/runs?{query}").status_code == 200


def test_filters_choose_by_state_and_task(client: FlaskClient, app: Flask) -> None:
    record("good", name="shop.pay")
    record("bad", name="shop.pay", type="task-failed", exception="E()")
    record("other", name="mail.send")
    found = re.findall(r'href="/runs/(\w+)"', client.get("/?state=success&task=shop.pay").text)
    assert found == ["good"]


def test_an_unchanged_region_is_answered_with_204(client: FlaskClient, app: Flask) -> None:
    record("one")
    address = re.search(r'hx-get="([^"]*fragments/runs[^"]*)"', client.get("/").text)
    assert address is not None
    assert client.get(html.unescape(address[1])).status_code == 204


def test_the_entry_for_celery_offers_a_celery_instance_that_takes_json_alone(tmp_path: Path, app: Flask) -> None:
    celery = app.extensions["celery"]
    assert celery.conf.accept_content == ["json"]
    assert {"webapp.tasks.divide", "webapp.tasks.divide_many", "webapp.tasks.unreliable_divide"} <= set(celery.tasks)


def test_a_run_about_to_be_tried_again_shows_what_went_wrong(client: FlaskClient, app: Flask) -> None:
    record("one", type="task-started", timestamp=999.0)
    record("one", type="task-retried", exception="ConnectionError('The line dropped')")
    assert "ConnectionError(&#39;The line dropped&#39;)" in client.get("/").text


@pytest.mark.parametrize("rate", ["nan", "inf", "-inf", "1e999", "fast"])
def test_a_rate_that_is_no_number_is_refused(client: FlaskClient, app: Flask, rate: str) -> None:
    record("one")
    answer = client.post("/bulk", data={"kind": "retry", "all": "1", "rate": rate})
    assert answer.status_code == 422
    assert "Type how many runs a second, such as 100." in answer.text


def test_a_run_of_an_unknown_task_is_not_offered_to_be_run_again(client: FlaskClient, app: Flask) -> None:
    record("one", name="", args="()", kwargs="{}")
    page = client.get("/runs/one").text
    assert "Run again" not in page
    assert "Edit and run" not in page
    answer = client.post("/again", data={"task_id": "one"}, follow_redirects=True)
    assert "Nobody has told yet which task this run is of." in answer.text
    assert count(app) == 1


THREADED = {"wsgi.multithread": True}


@pytest.mark.parametrize(("threads", "places"), [("1", 0), ("2", 1), ("16", 8), ("256", 128)])
def test_open_answers_leave_half_of_the_threads_free(
    tmp_path: Path, new_app: Callable[[Path], Flask], monkeypatch: pytest.MonkeyPatch, threads: str, places: int
) -> None:
    monkeypatch.setenv("WEB_THREADS", threads)
    app = new_app(tmp_path)
    with app.app_context():
        client, taken = app.test_client(), services_of(app).viewers
        for _ in range(places - 1):
            assert taken.acquire(blocking=False)
        # One that is answered gives its place back.
        for _ in range(2 if places else 0):
            with client.get("/changes?since=never", environ_overrides=THREADED) as answer:
                assert "event: change" in answer.text
        assert taken.acquire(blocking=False) is bool(places)
        assert client.get("/changes?since=never", environ_overrides=THREADED).status_code == 204
        db.engine.dispose()


def test_without_flower_no_page_links_to_it(
    tmp_path: Path, new_app: Callable[[Path], Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWER_URL", "none")
    app = new_app(tmp_path)
    with app.app_context():
        record("one")
        for path in ("/", "/runs/one"):
            assert "Flower" not in app.test_client().get(path).text
        db.engine.dispose()


BEYOND = 2**63


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/bulk/{BEYOND}", 404),
        ("POST", f"/bulk/{BEYOND}/abort", 404),
        ("POST", f"/presets/{BEYOND}/remove", 404),
        ("GET", f"/bulk/new?kind=retry&pick={BEYOND}", 422),
        ("POST", f"/bulk?kind=retry&pick={BEYOND}", 422),
        ("GET", f"/?before={BEYOND}&top={BEYOND}&after={'9' * 5000}", 200),
        ("GET", f"/fragments/runs?v={BEYOND}r-1", 200),
        ("GET", f"/task?name=webapp.tasks.divide&preset={BEYOND}", 200),
        ("GET", f"/task?name={'x' * 256}", 404),
        ("GET", f"/task?name=webapp.tasks.divide&o.priority={BEYOND}&o.countdown={'9' * 400}", 200),
    ],
)
def test_a_number_that_no_row_can_have_is_nobodys(client: FlaskClient, method: str, path: str, status: int) -> None:
    path, _, query = path.partition("?")
    values = dict(parse_qsl(query))
    answer = client.get(path, query_string=values) if method == "GET" else client.post(path, data=values)
    assert answer.status_code == status


def test_what_a_statement_carried_is_not_logged_when_it_fails(
    client: FlaskClient, app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE vase_task_runs")
    assert client.post("/runs", data={"x": "8675309", "y": "2"}).status_code == 503
    assert "INSERT INTO vase_task_runs" in caplog.text
    assert "8675309" not in caplog.text


def test_a_password_of_the_broker_is_not_told_to_who_asks_for_the_configuration(tmp_path: Path) -> None:
    from webapp import create_app

    app = create_app({"INSTANCE_PATH": str(tmp_path), "CELERY_BROKER_URL": "redis://:hunter2@127.0.0.1:1/0"})
    conf = app.extensions["celery"].conf
    # What ``celery inspect conf`` answers, which Flower shows.
    assert "hunter2" not in repr(conf.table(with_defaults=True))
    assert (conf.broker_url, conf.result_backend) == (("redis://:hunter2@127.0.0.1:1/0",) * 2)
