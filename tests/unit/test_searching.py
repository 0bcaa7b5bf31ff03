"""The list as a page: what is typed, what is wrong with it, what is offered, what is new, and what is downloaded."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import time

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from webapp import limits
from webapp.errors import TooSlowError
from webapp.extensions import db
from webapp.limits import time_limit
from webapp.recorder.events import facts_of
from webapp.recorder.writer import write


def happened(name: str, kind: str = "succeeded", age: float = 100.0, **fields: object) -> None:
    """Record a run whose one event is so many seconds old."""
    at = time.time() - age
    event = {"type": f"task-{kind}", "timestamp": at, "hostname": "celery@a", "name": "shop.pay", "args": "(42,)"}
    sent = facts_of({**event, "type": "task-received"}, at, 65536)
    facts = facts_of({**event, "result": "7", "exception": "Oops('sad')", **fields}, at, 65536)
    assert facts is not None
    assert sent is not None
    write(db.engine, {name: sent})
    write(db.engine, {name: facts})


def calls(page: str) -> int:
    return len(re.findall(r'<tr id="run-', page))


def address(page: str, pattern: str) -> str:
    found = re.search(pattern, page)
    assert found is not None
    return html.unescape(found[1])


@pytest.mark.parametrize(
    ("typed", "number"),
    [("state:failure", 1), ("task:pay args:42", 2), ("error:sad", 1), ("-state:success", 1), ("args:4", 0)],
)
def test_what_is_typed_narrows_the_list(app: Flask, client: FlaskClient, typed: str, number: int) -> None:
    happened("good")
    happened("bad", "failed")
    assert calls(client.get("/", query_string={"q": typed}).text) == number


def test_what_was_typed_stays_in_the_box(client: FlaskClient) -> None:
    page = client.get("/", query_string={"q": '-task:"a b" 42'}).text
    assert 'value="-task:&#34;a b&#34; 42"' in page


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("since:yesterday", "since:yesterday is not a time."),
        ("state:", "state: has nothing after the colon."),
        ("retried:maybe", "it is retried:yes or retried:no."),
        ("-since:2h", "use until: instead."),
    ],
)
def test_what_makes_no_sense_is_named_beside_the_box(client: FlaskClient, typed: str, message: str) -> None:
    page = html.unescape(client.get("/", query_string={"q": typed}).text)
    assert message in page
    assert 'aria-describedby="error-q"' in page


def test_a_time_that_ends_before_it_begins_is_named(client: FlaskClient) -> None:
    page = client.get("/?start=2026-01-02T00:00&end=2026-01-01T00:00").text
    assert "This ends before it begins" in page


def test_from_and_to_are_times_of_the_viewers_zone(app: Flask, client: FlaskClient) -> None:
    at = 1_767_225_600.0  # 2026-01-01 00:00 in UTC
    happened("one", age=time.time() - at)
    inside, outside = "start=2025-12-31T23:30&end=2026-01-01T00:30", "start=2026-01-01T00:30&end=2026-01-01T01:30"
    assert calls(client.get(f"/?{inside}").text) == 1
    assert calls(client.get(f"/?{inside}&zone=Europe/Berlin").text) == 0
    assert calls(client.get(f"/?{outside}&zone=Europe/Berlin").text) == 1


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("sta", "state:"),
        ("state:fail", "state:failure"),
        ("42 task:pa", "42 task:pay"),
        ("-worker:cel", "-worker:celery@a"),
        ("since:2", "since:24h"),
    ],
)
def test_the_box_offers_to_complete_known_values(app: Flask, client: FlaskClient, typed: str, offered: str) -> None:
    happened("one")
    page = html.unescape(client.get("/fragments/complete", query_string={"q": typed}).text)
    assert f'value="{offered}"' in page


def test_what_has_come_since_is_counted_and_moves_nothing(app: Flask, client: FlaskClient) -> None:
    happened("old")
    poll = address(client.get("/").text, r'hx-get="([^"]*/fragments/runs[^"]*)"')
    happened("new", age=0)
    news = client.get(poll).text
    assert "1 new" in news
    assert calls(news) == 1


def test_the_link_to_what_is_new_shows_it(app: Flask, client: FlaskClient) -> None:
    happened("old")
    poll = address(client.get("/").text, r'hx-get="([^"]*/fragments/runs[^"]*)"')
    happened("new", age=0)
    assert calls(client.get(address(client.get(poll).text, r'<a href="([^"]*)"[^>]*>1 new')).text) == 2


def test_csv_holds_what_is_filtered(app: Flask, client: FlaskClient) -> None:
    happened("good")
    happened("bad", "failed")
    rows = list(csv.DictReader(io.StringIO(client.get("/runs.csv?state=failure").text)))
    assert [(row["task_id"], row["state"], row["exception"]) for row in rows] == [("bad", "FAILURE", "Oops('sad')")]


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_cell_that_looks_like_a_formula_is_defused(app: Flask, client: FlaskClient, cell: str) -> None:
    happened("one", "failed", exception=cell)
    (row,) = csv.DictReader(io.StringIO(client.get("/runs.csv").text))
    assert row["exception"] == f"'{cell}"


def test_json_lines_hold_what_is_filtered(app: Flask, client: FlaskClient) -> None:
    happened("good")
    happened("bad", "failed")
    (line,) = client.get("/runs.jsonl?state=success").text.splitlines()
    assert json.loads(line)["result"] == "7"


def test_a_download_is_longer_than_a_page(app: Flask, client: FlaskClient) -> None:
    facts = facts_of({"type": "task-succeeded", "timestamp": 1000.0, "name": "t"}, 1000.0, 4096)
    assert facts is not None
    write(db.engine, {f"run{number}": facts for number in range(1203)})
    assert len(client.get("/runs.jsonl").text.splitlines()) == 1203


def test_a_search_that_takes_too_long_is_stopped_and_harms_nothing(app: Flask) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000)"
    with db.engine.connect() as connection:
        with pytest.raises(TooSlowError, match="took longer than"), time_limit(connection, 0.2):
            connection.execute(text(f"{numbers} SELECT count(*) FROM n"))
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_page_whose_search_takes_too_long_says_what_to_do(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened("a")
    monkeypatch.setattr(limits, "STEPS", 1)
    monkeypatch.setitem(app.config, "QUERY_SECONDS", 0.0)
    page = client.get("/?q=division").text
    assert "The search took longer than 0 seconds and was stopped. Name a task" in page
    assert calls(page) == 0


def test_a_run_is_found_by_its_id(app: Flask, client: FlaskClient) -> None:
    happened("4b0f2a1e-0000-4000-8000-000000000001")
    happened("other")
    assert calls(client.get("/?q=id:4b0f2a1e-0000-4000-8000-000000000001").text) == 1
