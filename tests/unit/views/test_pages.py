"""What the pages show of rows: a run from top to bottom, the parts around it, filters, counts and pollers."""

from __future__ import annotations

import html
import re
import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert

from tests.support import wait_until
from webapp.extensions import db
from webapp.history.queries import RECORDER_STALE, recorders, runs, workers
from webapp.history.writer import write
from webapp.recorder.event_facts import facts_of
from webapp.recorder.result_facts import facts_of_stored
from webapp.runs.merge import merge
from webapp.search.counts import COUNT_CAP

pytestmark = pytest.mark.database

EVERYTHING = [
    ("task-sent", 1000.0, {"name": "shop.pay", "args": "(1,)", "kwargs": "{}", "queue": "money"}),
    ("task-received", 1000.5, {"name": "shop.pay", "args": "(1,)", "kwargs": "{}"}),
    ("task-started", 1001.0, {}),
    ("task-retried", 1002.0, {"exception": "OSError('first')"}),
    ("task-started", 1003.0, {}),
    ("task-failed", 1005.0, {"exception": "KeyError('last')", "traceback": "Traceback (most recent call last):\n  x"}),
]


def hear(task_id: str, *events: tuple[str, float, dict[str, Any]], stored: str | None = None) -> None:
    """Record events of a run, and what the result backend keeps of it."""
    facts = [facts_of({"type": k, "timestamp": at, "hostname": "w@h", **f}, at, 65536) for k, at, f in events]
    if stored:
        facts.append(facts_of_stored(stored, 2000.0, 65536))
    for each in facts:
        assert each is not None
        write(db.engine, {task_id: each})


def beat(**values: Any) -> None:
    """Write the heartbeat of a recorder."""
    with db.engine.begin() as connection:
        connection.execute(insert(recorders).values(name="r", **{"beat_at": time.time(), "broker_ok": True, **values}))


def text_of(page: str) -> str:
    """Return what a page says, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


@pytest.mark.parametrize(
    "words",
    [
        "Failure",
        "shop.pay",
        "KeyError('last')",
        "Traceback (most recent call last):",
        "w@h",
        "money",
        "Waited 1.00 s",
        "Attempt 1 started",
        "Attempt 1 failed",
        "OSError('first')",
        "Attempt 2 started",
        "Sent",
        "Received",
        "Attempts 2",
    ],
)
def test_the_page_of_a_run_tells_what_happened(app: Flask, client: FlaskClient, words: str) -> None:
    hear("one", *EVERYTHING)
    assert words in text_of(client.get("/runs/one").text)


def test_the_stations_of_a_run_stand_in_order_of_time(app: Flask, client: FlaskClient) -> None:
    hear("one", *reversed(EVERYTHING))
    line = client.get("/runs/one").text.partition('<ol class="line">')[2].partition("</ol>")[0]
    times = re.findall(r'<time datetime="([^"]*)"', line)
    assert len(times) == 6
    assert times == sorted(times)


def test_the_page_of_a_run_leads_to_the_same_task_in_flower(app: Flask, client: FlaskClient) -> None:
    hear("a/b?c", ("task-started", 1000.0, {}))
    page = html.unescape(client.get("/run?task_id=a/b?c").text)
    assert 'href="http://127.0.0.1:5555/task/a%2Fb%3Fc"' in page


def test_arguments_from_an_event_are_marked_as_abridged(app: Flask, client: FlaskClient) -> None:
    hear("one", *EVERYTHING)
    assert "the exact arguments are not known" in text_of(client.get("/runs/one").text)


def test_exact_arguments_are_shown_with_the_names_of_their_parameters(app: Flask, client: FlaskClient) -> None:
    stored = '{"status": "SUCCESS", "result": 0.5, "name": "webapp.tasks.divide", "args": [1, 2], "kwargs": {}}'
    hear("one", stored=stored)
    said = text_of(client.get("/runs/one").text)
    assert "x = 1 y = 2" in said
    assert "abridged" not in said


def test_a_result_from_an_event_is_marked_as_abridged(app: Flask, client: FlaskClient) -> None:
    hear("one", ("task-succeeded", 1000.0, {"result": "'short...'"}))
    assert "As abridged in Celery's event" in text_of(client.get("/runs/one").text)


@pytest.mark.parametrize(("result", "shown"), [("0.5", "0.5"), ("null", "None"), ('"text"', '"text"'), ("0", "0")])
def test_a_whole_result_is_shown_as_it_is(app: Flask, client: FlaskClient, result: str, shown: str) -> None:
    hear("one", stored=f'{{"status": "SUCCESS", "result": {result}}}')
    slab = re.search(r'<pre class="slab" data-tone="ok"[^>]*>(.*?)</pre>', client.get("/runs/one").text, re.DOTALL)
    assert slab is not None
    assert html.unescape(slab[1]) == shown


def test_progress_is_a_bar_with_words(app: Flask, client: FlaskClient) -> None:
    hear("one", stored='{"status": "PROGRESS", "result": {"current": 3, "total": 10}}')
    for page in (client.get("/runs/one").text, client.get("/").text):
        assert '<progress value="3.0" max="10.0" aria-label="3 of 10">' in page


def test_large_progress_is_told_to_the_last_digit(app: Flask, client: FlaskClient) -> None:
    hear("one", stored='{"status": "PROGRESS", "result": {"current": 1234567, "total": 1e7}}')
    assert "1,234,567 of 10,000,000" in client.get("/runs/one").text


def test_more_progress_than_there_is_to_do_is_shown_as_full(app: Flask, client: FlaskClient) -> None:
    hear("one", stored='{"status": "PROGRESS", "result": {"current": 30, "total": 10}}')
    assert "10 of 10" in client.get("/runs/one").text


@pytest.mark.parametrize("path", ["/", "/runs/one"])
def test_a_page_with_a_live_run_asks_every_second(app: Flask, client: FlaskClient, path: str) -> None:
    hear("one", ("task-started", 1000.0, {}))
    assert re.findall(r'hx-trigger="(every [^,"]*)', client.get(path).text) == ["every 1s"]


@pytest.mark.parametrize("path", ["/", "/runs/one"])
def test_a_page_on_which_nothing_is_live_does_not_poll(app: Flask, client: FlaskClient, path: str) -> None:
    hear("one", *EVERYTHING)
    page = client.get(path, environ_overrides={"wsgi.multithread": True}).text
    assert "every " not in "".join(re.findall(r'hx-trigger="([^"]*)"', page))


def test_where_no_thread_can_be_held_open_an_idle_list_asks_now_and_then(app: Flask, client: FlaskClient) -> None:
    hear("one", *EVERYTHING)
    page = client.get("/", environ_overrides={"wsgi.multithread": False}).text
    assert re.findall(r'hx-trigger="(every [^,"]*)', page) == ["every 5s"]
    assert "data-news" not in page
    assert client.get("/changes?since=never", environ_overrides={"wsgi.multithread": False}).status_code == 204


@pytest.mark.parametrize(("path", "poll"), [("/", "/fragments/runs"), ("/runs/one", "/fragments/run")])
def test_a_poll_is_answered_with_the_region_when_the_run_has_changed(
    app: Flask, client: FlaskClient, path: str, poll: str
) -> None:
    hear("one", ("task-started", 1000.0, {}))
    addresses = re.findall(r'hx-get="([^"]*)"', client.get(path).text)
    (address,) = [html.unescape(each) for each in addresses if each.startswith(poll)]
    assert client.get(address).status_code == 204
    hear("one", *EVERYTHING)
    answer = wait_until(lambda: (found := client.get(address)).status_code == 200 and found, "the poll is answered")
    assert "Failure" in answer.text
    assert "<html" not in answer.text


def test_without_a_recorder_the_page_says_how_to_start_one(client: FlaskClient) -> None:
    said = text_of(client.get("/").text)
    assert "The recorder is not running" in said
    assert "flask --app app record" in said


def test_a_recorder_that_has_been_silent_for_long_counts_as_gone(app: Flask, client: FlaskClient) -> None:
    beat(beat_at=time.time() - RECORDER_STALE - 1)
    assert "The recorder is not running, so what you see may be old" in text_of(client.get("/").text)


def test_with_a_recorder_the_page_counts_the_workers(app: Flask, client: FlaskClient) -> None:
    beat()
    with db.engine.begin() as connection:
        connection.execute(
            insert(workers),
            [
                {"hostname": "a@h", "seen_at": 1.0, "online": True},
                {"hostname": "b@h", "seen_at": 1.0, "online": True},
                {"hostname": "c@h", "seen_at": 1.0, "online": False},
            ],
        )
    said = text_of(client.get("/").text)
    assert "2 workers" in said
    assert "recorder is running" in said


def test_without_a_worker_the_page_says_how_to_start_one(app: Flask, client: FlaskClient) -> None:
    beat()
    assert "No worker is running" in text_of(client.get("/").text)


def test_without_a_broker_the_page_says_why(app: Flask, client: FlaskClient) -> None:
    beat(broker_ok=False, broker_error="Connection <refused>")
    assert "The broker cannot be reached (Connection <refused>)" in text_of(client.get("/").text)


def test_a_submission_without_a_broker_is_shown_as_waiting_for_it(app: Flask, client: FlaskClient) -> None:
    page = client.post("/runs", data={"x": "1", "y": "2"}, follow_redirects=True).text
    assert "Waiting for the broker" in page
    assert "The run is kept" in page


def test_an_empty_list_says_how_to_begin(client: FlaskClient) -> None:
    said = text_of(client.get("/").text)
    assert "No runs yet" in said
    assert "flask --app app run-task divide 1 2 --wait" in said


def test_counts_are_capped(app: Flask, client: FlaskClient) -> None:
    values = {"name": "t", "state": "SUCCESS", "phase": 1, "state_at": 1.0, "clock": 0, "changed": 0, "created_at": 1.0}
    values |= {"arguments_rank": 0, "outcome_exact": 0, "publish_attempts": 0}
    with db.engine.begin() as connection:
        connection.execute(insert(runs), [{"task_id": str(n), "id": n, **values} for n in range(COUNT_CAP + 1)])
    assert "All 10,000+" in text_of(client.get("/").text)


def test_a_list_has_fifty_runs_a_page(app: Flask, client: FlaskClient) -> None:
    facts = facts_of({"type": "task-started", "timestamp": 1000.0, "hostname": "w@h"}, 1000.0, 4096)
    assert facts is not None
    write(db.engine, {f"run{n}": facts for n in range(51)})
    assert len(re.findall(r'<tr id="run-', client.get("/").text)) == 50


def test_the_newest_run_stands_first(app: Flask, client: FlaskClient) -> None:
    for number in (3, 1, 2):
        hear(f"run{number}", ("task-sent", 1000.0 + number, {}))
    assert re.findall(r'href="/runs/(run\d)"', client.get("/").text) == ["run3", "run2", "run1"]


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        ("live", {"started"}),
        ("success", {"good"}),
        ("failure", {"bad"}),
        ("other", {"revoked"}),
        ("STARTED", {"started"}),
    ],
)
def test_a_filter_shows_the_runs_of_its_states(app: Flask, client: FlaskClient, state: str, wanted: set[str]) -> None:
    hear("started", ("task-started", 1000.0, {}))
    hear("good", ("task-succeeded", 1000.0, {"result": "1"}))
    hear("bad", ("task-failed", 1000.0, {"exception": "E()"}))
    hear("revoked", ("task-revoked", 1000.0, {}))
    assert set(re.findall(r'href="/runs/(\w+)"', client.get(f"/?state={state}").text)) == wanted


def test_paging_keeps_the_filter(app: Flask, client: FlaskClient) -> None:
    facts = facts_of({"type": "task-succeeded", "timestamp": 1000.0, "name": "a&b"}, 1000.0, 4096)
    assert facts is not None
    write(db.engine, {f"run{n}": facts for n in range(60)})
    older = re.search(r'href="([^"]*)" rel="next"', client.get("/?state=success&task=a%26b").text)
    assert older is not None
    page = client.get(html.unescape(older[1])).text
    assert len(re.findall(r'<tr id="run-', page)) == 10
    assert '<option value="a&amp;b" selected>a&amp;b</option>' in page


def test_a_ready_run_is_not_led_back_by_what_was_stored_while_it_ran(app: Flask, client: FlaskClient) -> None:
    hear("one", *EVERYTHING, stored='{"status": "STARTED", "result": {"pid": 1}}')
    assert "Failure" in text_of(client.get("/runs/one").text)


@pytest.mark.parametrize("path", ["/health", "/ready", "/fragments/runs", "/changes"])
def test_an_address_that_is_asked_in_the_wrong_way_gets_a_calm_page(client: FlaskClient, path: str) -> None:
    answer = client.post(path)
    assert answer.status_code == 405
    assert "Not this way" in answer.text


@pytest.mark.parametrize("path", ["/nowhere", "/static/nothing.css", "/static/../app.py", "/run", "/runs/"])
def test_an_address_that_does_not_exist_gets_a_calm_page(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "Vase" in answer.text


def test_a_page_and_its_parts_work_under_a_prefix(app: Flask, client: FlaskClient) -> None:
    """The app knows no absolute address, so it can be mounted in another site."""
    hear("one", ("task-started", 1000.0, {}))
    page = client.get("/", environ_overrides={"SCRIPT_NAME": "/vase"}).text
    addresses = re.findall(r'(?:href|src|action|hx-get|hx-post|hx-replace-url)="(/[^"]*)"', page)
    assert len(addresses) > 10
    assert [address for address in addresses if not address.startswith("/vase/")] == []


def test_merging_every_event_of_a_run_in_one_batch_shows_the_same_page(app: Flask, client: FlaskClient) -> None:
    hear("apart", *EVERYTHING)
    together: Any = {}
    for kind, at, fields in EVERYTHING:
        facts = facts_of({"type": kind, "timestamp": at, "hostname": "w@h", **fields}, at, 65536)
        assert facts is not None
        together = merge(together, facts)
    write(db.engine, {"whole": together})
    pages = [re.sub(r"apart|whole|v=\w+", "", text_of(client.get(f"/runs/{i}").text)) for i in ("apart", "whole")]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"x=%00&y=%ff%ED%A0%80", "application/x-www-form-urlencoded"),
        (b"&".join(b"x=1" for _ in range(5000)), "application/x-www-form-urlencoded"),
        (b'{"x": 1, "y": 2}', "application/json"),
        (b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1", "multipart/form-data; boundary=b"),
        (
            b'--b\r\nContent-Disposition: form-data; name="x"; filename="f"\r\n\r\n1\r\n--b--',
            "multipart/form-data; boundary=b",
        ),
        (b"1 2", "multipart/form-data"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_not_this_sites_form_is_refused_and_nothing_is_started(
    app: Flask, client: FlaskClient, body: bytes, kind: str
) -> None:
    assert client.post("/runs", data=body, content_type=kind).status_code in (400, 413, 422)
    assert "No runs yet" in client.get("/").text


def again(at: float, number: int, **fields: Any) -> tuple[str, float, dict[str, Any]]:
    """The message of a retry is received."""
    return ("task-received", at, {"name": "shop.pay", "args": "(1,)", "kwargs": "{}", "retries": number, **fields})


FAILED = ("task-retried", 1002.0, {"exception": "OSError('first')"})
FAILED_AGAIN = ("task-retried", 1004.0, {"exception": "OSError('second')"})


@pytest.mark.parametrize(
    ("events", "label"),
    [
        ([FAILED], "Retry 1"),
        # A worker may receive the message of a retry before it tells that the attempt failed.
        ([again(1001.9, 1), FAILED], "Retry 1"),
        ([FAILED, again(1003.0, 1, eta="2999-01-01T00:00:00+00:00")], "Retry 1"),
        ([FAILED, again(1003.0, 1), FAILED_AGAIN], "Retry 2"),
        ([again(1003.9, 2), FAILED, FAILED_AGAIN], "Retry 2"),
    ],
)
def test_retries_are_counted_from_one(
    app: Flask, client: FlaskClient, events: list[tuple[str, float, dict[str, Any]]], label: str
) -> None:
    hear("one", *events)
    assert [label in text_of(client.get(path).text) for path in ("/", "/runs/one")] == [True, True]


def test_a_run_that_waits_for_its_time_is_scheduled_with_how_long_still(app: Flask, client: FlaskClient) -> None:
    eta = "2999-01-01T09:00:00+09:00"
    hear("one", again(1000.0, 0, eta=eta))
    page = client.get("/runs/one").text
    assert '<time datetime="2999-01-01T00:00:00.000Z"' in page
    assert re.search(r'in <span data-until="2999-01-01T00:00:00.000Z">\d+', page)
    assert [text_of(client.get(path).text).count("Scheduled") for path in ("/", "/runs/one")] == [1, 1]


def test_a_run_whose_time_has_come_is_scheduled_no_longer(app: Flask, client: FlaskClient) -> None:
    hear("one", again(1000.0, 0, eta="2001-01-01T00:00:00+00:00"))
    assert "Scheduled" not in client.get("/runs/one").text


@pytest.mark.parametrize("eta", ["soon", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", ""])
def test_a_time_that_makes_no_sense_is_shown_as_it_is(app: Flask, client: FlaskClient, eta: str) -> None:
    hear("one", again(1000.0, 0, eta=eta))
    assert eta in text_of(client.get("/runs/one").text)


def test_no_run_is_called_by_itself(app: Flask, client: FlaskClient) -> None:
    hear("one", ("task-received", 1000.0, {"name": "a", "parent_id": "one", "root_id": "one"}))
    assert "Called by" not in client.get("/runs/one").text
