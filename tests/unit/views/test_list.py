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

from webapp.errors import SearchTimeoutError
from webapp.extensions import db
from webapp.history.writer import write
from webapp.recorder.event_facts import facts_of
from webapp.search import timeout
from webapp.search.timeout import time_limit

pytestmark = pytest.mark.database


def happened(task_id: str, kind: str = "succeeded", age: float = 100.0, **fields: object) -> None:
    """Record a run whose one event is so many seconds old."""
    at = time.time() - age
    event = {"type": f"task-{kind}", "timestamp": at, "hostname": "celery@a", "name": "shop.pay", "args": "(42,)"}
    event["name"] = fields.get("name", event["name"])
    sent = facts_of({**event, "type": "task-received"}, at, 65536)
    facts = facts_of({**event, "result": "7", "exception": "Oops('sad')", **fields}, at, 65536)
    assert facts is not None
    assert sent is not None
    write(db.engine, {task_id: sent})
    write(db.engine, {task_id: facts})


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


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "x;=1",
        "x\t=1",
        'x;"=1',
        " =1",
        "\xa0=1",
        "x;\u200b=1",
        "x\n=1",
        "x;;\t=1",
    ],
)
def test_no_cell_is_a_formula_whatever_separates_cells(
    app: Flask, client: FlaskClient, cell: str, separator: str
) -> None:
    happened("one", "failed", exception=cell)
    rows = csv.reader(io.StringIO(client.get("/runs.csv").text, newline=""), delimiter=separator)
    assert [cell for row in rows for cell in row if cell.strip(' "\xa0\u200b\t').startswith(tuple("=+-@"))] == []


def test_an_ordinary_cell_is_as_it_was_in_quotes(app: Flask, client: FlaskClient) -> None:
    happened("one", "failed", exception="Oops('1 - 2; a = b, \"c\"')")
    assert '"Oops(\'1 - 2; a = b, ""c""\')"' in client.get("/runs.csv").text


def test_a_line_of_json_ends_where_the_run_does(app: Flask, client: FlaskClient) -> None:
    happened("one", "failed", exception="a\u2028b\u2029c")
    (line,) = client.get("/runs.jsonl").text.splitlines()
    assert json.loads(line)["exception"] == "a\u2028b\u2029c"


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
        with pytest.raises(SearchTimeoutError, match="took longer than"), time_limit(connection, 0.2):
            connection.execute(text(f"{numbers} SELECT count(*) FROM n"))
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_page_whose_search_takes_too_long_says_what_to_do(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened("a")
    monkeypatch.setattr(timeout, "STEPS", 1)
    monkeypatch.setitem(app.config, "QUERY_SECONDS", 0.0)
    page = client.get("/?q=division").text
    assert "The search took longer than 0 seconds and was stopped. Name a task" in page
    assert calls(page) == 0


def test_a_run_is_found_by_its_id(app: Flask, client: FlaskClient) -> None:
    happened("4b0f2a1e-0000-4000-8000-000000000001")
    happened("other")
    assert calls(client.get("/?q=id:4b0f2a1e-0000-4000-8000-000000000001").text) == 1


@pytest.mark.parametrize(
    ("query", "tabs"),
    [
        ("q=state:failure", "All 1 Live 0 Success 0 Failure 1 Other 0"),
        ("q=state:failure,success", "All 4 Live 0 Success 3 Failure 1 Other 0"),
        ("q=state:failure,success&state=failure", "All 4 Live 0 Success 3 Failure 1 Other 0"),
        ("state=failure", "All 4 Live 0 Success 3 Failure 1 Other 0"),
        ("q=-state:failure", "All 3 Live 0 Success 3 Failure 0 Other 0"),
    ],
)
def test_the_tabs_count_what_the_box_leaves(app: Flask, client: FlaskClient, query: str, tabs: str) -> None:
    happened("bad", "failed")
    for name in ("good", "better", "best"):
        happened(name)
    page = client.get(f"/?{query}").text
    assert (
        " ".join(re.sub(r"<[^>]+>", " ", page.partition('<ul class="tabs">')[2].partition("</ul>")[0]).split()) == tabs
    )


@pytest.mark.parametrize(
    ("query", "number"),
    [("q=state:failure", 1), ("q=state:failure,success&state=success", 3), ("q=task:pay", 4), ("q=-state:failure", 3)],
)
def test_all_that_match_are_as_many_as_an_action_would_be_on(
    app: Flask, client: FlaskClient, query: str, number: int
) -> None:
    happened("bad", "failed")
    for name in ("good", "better", "best"):
        happened(name)
    page = client.get(f"/?{query}").text
    assert f"all {number} that match" in page
    assert calls(page) == number
    assert (
        f"<h1>Run {number} run{'' if number == 1 else 's'} again?"
        in client.get(f"/bulk/new?kind=retry&all=1&{query}").text
    )


def test_the_last_word_of_2000_characters_is_found(app: Flask, client: FlaskClient) -> None:
    words = " ".join(f"{one}{other}quotient" for one in "abcdefghijkl" for other in "abcdefghijkl")
    happened("long", result=f"{words} needle {'hay ' * 200} lost")
    assert calls(client.get("/?q=result:needle").text) == 1
    assert calls(client.get("/?q=result:lost").text) == 0


@pytest.mark.parametrize("path", ["/runs.csv", "/runs.jsonl"])
@pytest.mark.parametrize("query", ["q=since:bogus", "start=bogus", "origin=nowhere"])
def test_no_file_is_made_of_a_filter_that_is_not_understood(
    app: Flask, client: FlaskClient, path: str, query: str
) -> None:
    happened("one")
    answer = client.get(f"{path}?{query}")
    assert answer.status_code == 422
    assert re.search("is not a time|is not known", answer.text)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2026-01-01", "2026-01-01T00:00:00"),
        ("2026-01-01T10:30", "2026-01-01T10:30"),
        ("2026-01-01 10:30", "2026-01-01T10:30:00"),
        ("2026-01-01T10:30+03:00", "2026-01-01T08:30:00"),
    ],
)
def test_a_time_in_the_address_stands_in_its_field(client: FlaskClient, given: str, shown: str) -> None:
    page = client.get("/", query_string={"start": given, "zone": "Europe/Berlin"}).text
    assert f'name="start" value="{shown}"' in page


def test_a_span_in_the_address_stands_in_its_field_as_a_time(app: Flask, client: FlaskClient) -> None:
    happened("old", age=7300)
    happened("new", age=7100)
    page = client.get("/?start=2h").text
    assert calls(page) == 1
    shown = address(page, r'name="start" value="([^"]*)"')
    assert calls(client.get(f"/?start={shown}").text) == 1


@pytest.mark.parametrize(
    ("query", "zone"),
    [
        ("zone=Asia/Tokyo", "Asia/Tokyo"),
        ("zone=Nowhere/Land&start=2026-01-01T00:00", "UTC"),
        ("q=until:2026-01-01", "UTC"),
        ("q=since:2h", ""),
        ("zone=../../etc/passwd", ""),
        ("state=failure", ""),
    ],
)
def test_the_form_sends_the_zone_in_which_its_times_were_read(client: FlaskClient, query: str, zone: str) -> None:
    page = client.get(f"/?{query}").text
    assert f'name="zone" value="{zone}" data-zone' in page
    assert f'<span class="typed-zone">{zone or "UTC"}</span>' in page


@pytest.mark.parametrize(
    "path", ["/runs.csv", "/bulk/new?kind=retry&all=1", "/tasks", "/runs/a", "/fragments/complete"]
)
def test_every_page_that_searches_is_stopped_when_it_takes_too_long(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    happened("a")
    monkeypatch.setattr(timeout, "STEPS", 1)
    monkeypatch.setitem(app.config, "QUERY_SECONDS", 0.0)
    answer = client.get(path, query_string={"q": "state:fail"} if path == "/fragments/complete" else None)
    assert answer.status_code == 503
    assert "The search took longer than 0 seconds and was stopped. Nothing was changed." in answer.text


@pytest.mark.sqlite_only
def test_an_action_whose_filter_takes_too_long_is_not_begun(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened("a")
    with monkeypatch.context() as patch:
        patch.setattr(timeout, "STEPS", 1)
        patch.setitem(app.config, "QUERY_SECONDS", 0.0)
        assert client.post("/bulk", data={"kind": "retry", "all": "1", "q": "state:success"}).status_code == 503
    assert "None yet" in client.get("/bulk").text
    assert client.post("/bulk", data={"kind": "retry", "all": "1"}).status_code == 303


def test_what_the_box_offers_finds_what_it_names(app: Flask, client: FlaskClient) -> None:
    happened("one", name="my app.task/of x")
    happened("two", name="add")
    happened("three", name="proj.add")

    def offered(typed: str) -> list[str]:
        page = client.get("/fragments/complete", query_string={"q": typed}).text
        return [html.unescape(one) for one in re.findall(r'<option value="([^"]*)"', page)]

    assert offered("task:my") == ['task:"my app.task/of x"']
    assert offered('42 Task:"my app') == ['42 task:"my app.task/of x"']
    assert calls(client.get("/", query_string={"q": offered("task:my")[0]}).text) == 1
    assert offered("task:ad") == ["task:add", "task:proj.add"]
    assert offered("STATE:fail") == ["state:failure"]


@pytest.mark.parametrize(("typed", "number"), [("State:success", 1), ("STATE:failure", 0), ("Order:17", 0)])
def test_a_condition_may_begin_with_a_capital(app: Flask, client: FlaskClient, typed: str, number: int) -> None:
    happened("one")
    assert calls(client.get("/", query_string={"q": typed}).text) == number


@pytest.mark.parametrize(("name", "number"), [("add", 1), ("proj.add", 1), ("add,one", 1), ("one", 0), ("Add", 0)])
def test_a_name_chosen_from_the_list_is_that_name_alone(
    app: Flask, client: FlaskClient, name: str, number: int
) -> None:
    for known in ("add", "proj.add", "add,one"):
        happened(known, name=known)
    assert calls(client.get("/", query_string={"task": name}).text) == number
    happened("live", "started", name="proj.add")
    assert calls(client.get("/", query_string={"task": name, "state": "live"}).text) == (name == "proj.add")
