"""What a list finds, in which order and how much of it: held to plain conditions on the rows, on either database."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, delete, insert, select

from webapp.extensions import db
from webapp.history.queries import bump, runs
from webapp.history.writer import write
from webapp.outbox.relay import Message, new_row
from webapp.recorder.event_facts import facts_of
from webapp.recorder.result_facts import facts_of_stored
from webapp.runs.ids import first_id
from webapp.runs.merge import Facts, merge
from webapp.runs.states import LIVE_RANK
from webapp.search.completion import completions
from webapp.search.counts import counts
from webapp.search.finder import WINDOW
from webapp.search.pages import everything, fetch_page, newer_than, newest_id
from webapp.search.query import SORTS, Cursor, Filter

pytestmark = pytest.mark.database

Row = dict[str, Any]
Finds = Callable[[Row], bool]

HOUR = 3600.0
COUNT = 208
BEGAN = time.time() - 30 * HOUR
EVERY = 0.1 * HOUR
"""Seconds between two runs, so that the last was made nine hours ago."""

TASKS = ["shop.orders.pay", "shop.orders.refund", "shop.payments.payout", "mail.send", "reports.build_monthly", "", "X"]
QUEUES = ["celery", "money", "bulk-mail", None, "100%_done"]
ROOTS = ["first", "first:2", None, None]
WORKERS = ["pay1@alpha", "pay2@alpha", "mail@beta"]
TEXTS = [
    "42",
    "42.0",
    "420",
    "4.2",
    "0.30000000000000004",
    "-42",
    "1e3",
    "1000",
    "4111111111111111",
    "4111111111111112",
    "'Düsseldorf, Straße 7'",
    "'invoice'",
    "'invoices of Müller & Söhne'",
    "TransactionError('card refused')",
    "transactions",
    "parseHTTPResponse",
    "http",
    "'foo-bar'",
    "'foo bar'",
    "'bar foo'",
    "'100% of a_b'",
    "'100 or a-b'",
    "'C:\\\\temp\\\\x'",
    '{"order": 17, "mail": "ann@example.org"}',
    "['it''s', \"quoted\"]",
    "no AND yes OR maybe NOT near",
    "123e4567-e89b-12d3-a456-426614174000",
    "🦆 quack",
    "İstanbul",
]
ENDINGS: list[tuple[str, str]] = [
    ("task-sent", ""),
    ("task-received", ""),
    ("task-started", ""),
    ("task-retried", ""),
    ("stored", "PROGRESS"),
    ("stored", "Weighing"),
    ("task-succeeded", ""),
    ("stored", "SUCCESS"),
    ("task-failed", ""),
    ("stored", "FAILURE"),
    ("task-revoked", ""),
    ("task-rejected", ""),
    ("doubt", "LOST"),
    ("doubt", "UNCERTAIN"),
    ("stored", "IGNORED"),
]


def first_heard(number: int) -> Facts:
    """Return what is heard of a run first: that it was sent, or else that it has begun."""
    at = BEGAN + number * EVERY
    text = TEXTS[number % len(TEXTS)]
    event = {
        "type": "task-sent",
        "name": TASKS[number % len(TASKS)],
        "queue": QUEUES[number % len(QUEUES)],
        "root_id": ROOTS[number % len(ROOTS)],
        "args": f"({text},)",
        "kwargs": "{}" if number % 4 else f"{{'note': {TEXTS[number * 5 % len(TEXTS)]}}}",
    }
    return heard(event, at)


def then_heard(number: int) -> Facts:
    """Return all that is heard of a run afterwards."""
    at = BEGAN + number * EVERY
    kind, state = ENDINGS[number % len(ENDINGS)]
    worker = WORKERS[number % len(WORKERS)]
    text = TEXTS[number * 3 % len(TEXTS)]
    facts: Facts = {}
    if kind != "task-sent" and number % 7:
        facts = heard({"type": "task-started", "hostname": worker}, at + number % 13)
    if number % 11 == 0:
        facts = merge(facts, heard({"type": "task-retried", "hostname": worker, "exception": text}, at + 14))
    at += 20 + number % 17 * 10
    if kind == "stored":
        outcome = (
            text if state in ("SUCCESS", "PROGRESS", "Weighing") else {"exc_type": "KeyError", "exc_message": [text]}
        )
        meta = {"status": state, "result": outcome, "worker": worker, "traceback": "Traceback"}
        stored = facts_of_stored(json.dumps(meta), at, 65536)
        assert stored
        return merge(facts, stored)
    if kind == "doubt":
        said = f"It said {text} and was gone."
        return merge(facts, {"key": (LIVE_RANK, at, 0, state), "doubt": (at, said), "created_at": at})
    fields = {"result": text, "exception": text, "runtime": number % 17 * 10.0, "retries": number % 3}
    return merge(facts, heard({"type": kind, "hostname": worker, **fields}, at))


def heard(event: dict[str, Any], at: float) -> Facts:
    facts = facts_of({"timestamp": at, "hostname": "web@alpha", **event}, at, 65536)
    assert facts
    return facts


def seed(app: Flask) -> None:
    """Record the runs in several steps, so that many are live first and settled later; every fifth began here."""
    numbers = range(COUNT)
    with db.engine.begin() as connection:
        changed = bump(connection)
        for number in numbers[::5]:
            message = Message(f"run-{number}", TASKS[number % len(TASKS)] or "mail.send", f"[{number}, 42]", "{}", 1)
            connection.execute(insert(runs), {**new_row(app, message, BEGAN + number * EVERY), "changed": changed})
    write(db.engine, {f"run-{number}": first_heard(number) for number in numbers})
    write(db.engine, {f"run-{number}": then_heard(number) for number in numbers[:150]})
    # The last ones are heard of whole in one batch.
    write(db.engine, {f"run-{number}": then_heard(number) for number in numbers[100:]})
    # Of some that are settled the whole result is read later, so that their words change.
    for number in numbers[6::30]:
        meta = {"status": "SUCCESS", "result": {"whole": number}, "name": "mail.send", "args": [number], "kwargs": {}}
        stored = facts_of_stored(json.dumps(meta), BEGAN + number * EVERY + 300, 65536)
        assert stored
        write(db.engine, {f"run-{number}": stored})


@pytest.fixture(scope="module")
def _seeded(tmp_path_factory: pytest.TempPathFactory, new_app: Callable[[Path], Flask]) -> Iterator[list[Row]]:
    """A site with some two hundred runs, and their rows."""
    app = new_app(tmp_path_factory.mktemp("search"))
    with app.app_context():
        seed(app)
        with db.engine.connect() as connection:
            rows = [dict(row._mapping) for row in connection.execute(select(runs).order_by(runs.c.id.desc()))]
        yield rows
        db.engine.dispose()


@pytest.fixture
def rows(_seeded: list[Row]) -> list[Row]:
    """All rows, newest first."""
    return _seeded


@pytest.fixture
def connection(_seeded: list[Row]) -> Iterator[Connection]:
    """A connection whose changes are taken back."""
    with db.engine.connect() as connection:
        yield connection
        connection.rollback()


def asked(q: str = "", **fields: str) -> Filter:
    return Filter.parse({"q": q, **fields})


def walk(connection: Connection, wanted: Filter, size: int = 13) -> Iterator[list[int]]:
    """Yield the ids of each page, from the first one down or, with a cursor that points up, from there up."""
    up = bool(wanted.cursor and wanted.cursor.up)
    for _ in range(10 * COUNT):
        found = fetch_page(connection, wanted, size)
        yield [key.id for key in found.keys]
        onward = found.newer if up else found.older
        if onward is None:
            return
        wanted = replace(wanted, cursor=onward)
    raise AssertionError("The pages have no end.")


def found_by(connection: Connection, wanted: Filter, size: int = 13) -> list[int]:
    """Return the ids of all pages in the order in which they are shown."""
    return [id_ for ids in walk(connection, wanted, size) for id_ in ids]


def among(rows: list[Row], finds: Finds) -> list[int]:
    return [row["id"] for row in rows if finds(row)]


# The plain conditions: what a person means, said of a row.


def args(row: Row) -> str:
    return f"{row['args'] or ''} {row['kwargs'] or ''}"


def result(row: Row) -> str:
    return row["result"] or ""


def error(row: Row) -> str:
    return row["exception"] or ""


def has(text: str, *beginnings: str) -> bool:
    """Say whether each of these begins a word, or a part of one in camel case; one of two letters is a whole word."""
    parts = re.findall(r"[^\W_]+", text)
    parts += [part[found.start() :] for part in parts for found in re.finditer(r"(?<=[a-z])[A-Z]", part)]
    parts += [part[found.start() :] for part in parts for found in re.finditer(r"(?<=[A-Z])[A-Z](?=[a-z])", part)]
    lower = [part.lower() for part in parts]
    return all(
        any(part.startswith(start) if len(start) > 2 else part == start for part in lower) for start in beginnings
    )


def anywhere(row: Row, *beginnings: str) -> bool:
    """Say whether one of the texts of a run has them all."""
    return any(has(text, *beginnings) for text in (args(row), result(row), error(row)))


def number(text: str, wanted: float) -> bool:
    """Say whether a number stands in a text by itself, in whatever spelling."""
    found = re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e\d+)?(?![\w])", text)
    return any(float(one) == wanted for one in found)


def numbers(row: Row, wanted: float) -> bool:
    return any(number(text, wanted) for text in (args(row), result(row), error(row)))


def says(row: Row, letters: str) -> bool:
    """Say whether these letters stand together in one of the texts of a run."""
    return any(letters in text.lower() for text in (args(row), result(row), error(row)))


def named(row: Row, *last: str) -> bool:
    return row["name"] in last


QUERIES: dict[str, Finds] = {
    "": lambda r: True,
    # States and their groups.
    "state:live": lambda r: r["phase"] == 0,
    "state:success": lambda r: r["phase"] == 1,
    "state:failure": lambda r: r["phase"] == 2,
    "state:other": lambda r: r["phase"] == 3,
    "-state:live": lambda r: r["phase"] != 0,
    "-state:success": lambda r: r["state"] != "SUCCESS",
    "state:STARTED": lambda r: r["state"] == "STARTED",
    "state:started": lambda r: r["state"] == "STARTED",
    "-state:started": lambda r: r["state"] != "STARTED",
    "-state:revoked": lambda r: r["state"] != "REVOKED",
    "state:weighing": lambda r: r["state"] == "Weighing",
    "state:revoked,rejected": lambda r: r["state"] in ("REVOKED", "REJECTED"),
    "state:live,lost": lambda r: r["phase"] == 0 or r["state"] == "LOST",
    "state:other,retry,success": lambda r: r["phase"] in (1, 3) or r["state"] == "RETRY",
    "-state:failure,pending": lambda r: r["state"] not in ("FAILURE", "PENDING"),
    "-state:live,lost": lambda r: r["phase"] != 0 and r["state"] != "LOST",
    "state:nonsense": lambda r: False,
    "-state:nonsense": lambda r: True,
    "state:failure state:success": lambda r: False,
    "state:other -state:lost": lambda r: r["phase"] == 3 and r["state"] != "LOST",
    # Names: whole, by their last part, or by a part where none is that.
    "task:shop.orders.pay": lambda r: named(r, "shop.orders.pay"),
    "task:pay": lambda r: named(r, "shop.orders.pay"),
    "task:payo": lambda r: named(r, "shop.payments.payout"),
    "task:ORDERS": lambda r: named(r, "shop.orders.pay", "shop.orders.refund"),
    "name:send": lambda r: named(r, "mail.send"),
    "-task:pay": lambda r: not named(r, "shop.orders.pay"),
    "-task:shop": lambda r: not r["name"].startswith("shop."),
    "task:pay,refund": lambda r: named(r, "shop.orders.pay", "shop.orders.refund"),
    "-task:pay,nonsense": lambda r: not named(r, "shop.orders.pay"),
    "task:nonsense": lambda r: False,
    "-task:nonsense": lambda r: True,
    "worker:pay1@alpha": lambda r: r["worker"] == "pay1@alpha",
    "worker:alpha": lambda r: r["worker"] in ("pay1@alpha", "pay2@alpha"),
    "worker:pay": lambda r: r["worker"] in ("pay1@alpha", "pay2@alpha"),
    "-worker:alpha": lambda r: r["worker"] not in ("pay1@alpha", "pay2@alpha"),
    "worker:pay1@alpha,beta": lambda r: r["worker"] in ("pay1@alpha", "mail@beta"),
    "queue:money": lambda r: r["queue"] == "money",
    "-queue:money": lambda r: r["queue"] != "money",
    "queue:bulk": lambda r: r["queue"] == "bulk-mail",
    'queue:"100%_done"': lambda r: r["queue"] == "100%_done",
    "queue:%": lambda r: r["queue"] == "100%_done",
    "queue:_": lambda r: r["queue"] == "100%_done",
    # Of which workflow a run is a part.
    "root:first": lambda r: r["root_id"] == "first",
    "-root:first": lambda r: r["root_id"] != "first",
    'root:"first:2" state:failure': lambda r: r["root_id"] == "first:2" and r["phase"] == 2,
    "root:fir": lambda r: False,
    # Where a run came from, and whether it was tried again.
    "from:here": lambda r: r["publish_state"] is not None,
    "from:elsewhere": lambda r: r["publish_state"] is None,
    "-from:here": lambda r: r["publish_state"] is None,
    "-from:elsewhere": lambda r: r["publish_state"] is not None,
    "retried:yes": lambda r: bool(r["retries"] or r["steps"]),
    "retried:no": lambda r: not (r["retries"] or r["steps"]),
    "-retried:true": lambda r: not (r["retries"] or r["steps"]),
    # Numbers are numbers, however they are written.
    "args:42": lambda r: number(args(r), 42),
    "args:42.0": lambda r: number(args(r), 42),
    "args:042": lambda r: number(args(r), 42),
    "result:420": lambda r: number(result(r), 420),
    "args:4.2": lambda r: number(args(r), 4.2),
    "args:1000": lambda r: number(args(r), 1000),
    "args:1e3": lambda r: number(args(r), 1000),
    "4111111111111111": lambda r: numbers(r, 4111111111111111),
    "42": lambda r: numbers(r, 42),
    "-text:42": lambda r: not numbers(r, 42),
    # Words by their beginnings, and by those of their parts in camel case.
    "args:invoice": lambda r: has(args(r), "invoice"),
    "args:inv": lambda r: has(args(r), "inv"),
    "args:voice": lambda r: False,
    "args:in": lambda r: has(args(r), "in"),
    "args:of": lambda r: has(args(r), "of"),
    "invoices": lambda r: anywhere(r, "invoices"),
    "error:keyerror": lambda r: has(error(r), "keyerror"),
    "exception:KeyErr": lambda r: has(error(r), "keyerr"),
    "error:error": lambda r: has(error(r), "error"),
    "-error:error": lambda r: not has(error(r), "error"),
    "TransactionError": lambda r: anywhere(r, "transactionerror"),
    "transactions": lambda r: anywhere(r, "transactions"),
    "response": lambda r: anywhere(r, "response"),
    "http": lambda r: anywhere(r, "http"),
    "düssel": lambda r: anywhere(r, "düssel"),
    "MÜLLER": lambda r: anywhere(r, "müller"),
    "-MÜLLER": lambda r: not anywhere(r, "müller"),
    "quack": lambda r: anywhere(r, "quack"),
    "🦆": lambda r: says(r, "🦆"),
    "123e4567-e89b": lambda r: says(r, "123e4567-e89b"),
    # What is typed together stands together; what is typed apart may stand apart.
    '"foo bar"': lambda r: says(r, "foo bar"),
    "foo-bar": lambda r: says(r, "foo-bar"),
    "foo bar": lambda r: anywhere(r, "foo") and anywhere(r, "bar"),
    "bar -foo-bar": lambda r: anywhere(r, "bar") and not says(r, "foo-bar"),
    '"oo-bar"': lambda r: False,
    '-"oo-bar"': lambda r: True,
    '-"foo bar"': lambda r: not says(r, "foo bar"),
    "100%": lambda r: numbers(r, 100),
    '"100% of"': lambda r: says(r, "100% of"),
    "a_b": lambda r: says(r, "a_b"),
    "%": lambda r: says(r, "%"),
    "_": lambda r: says(r, "_"),
    "-_": lambda r: not says(r, "_"),
    "\\": lambda r: says(r, "\\"),
    "'": lambda r: says(r, "'"),
    'args:"(\'foo"': lambda r: has(args(r), "foo"),
    "args:0.3": lambda r: number(args(r), 0.30000000000000004),
    "mail:ann@example.org": lambda r: False,
    "ann@example.org": lambda r: says(r, "ann@example.org"),
    "AND": lambda r: anywhere(r, "and"),
    "NOT NEAR": lambda r: anywhere(r, "not") and anywhere(r, "near"),
    # One run.
    "id:run-17": lambda r: r["task_id"] == "run-17",
    "id:run-6": lambda r: r["task_id"] == "run-6",
    "id:run": lambda r: False,
    "id:run-6 state:failure": lambda r: False,
    "id:run-6 state:success": lambda r: r["task_id"] == "run-6",
    "id:run-6 whole": lambda r: r["task_id"] == "run-6",
    "id:run-6 -whole": lambda r: False,
    "id:run-6 id:run-7": lambda r: False,
    # Times; no run was made within minutes of these.
    "since:20.5h": lambda r: True,
    "since:20h": lambda r: r["created_at"] >= time.time() - 20 * HOUR,
    "until:20h": lambda r: r["created_at"] < time.time() - 20 * HOUR,
    "since:25h until:20h": lambda r: time.time() - 25 * HOUR <= r["created_at"] < time.time() - 20 * HOUR,
    "since:20h until:25h": lambda r: False,
    "since:1d": lambda r: r["created_at"] >= time.time() - 24 * HOUR,
    "since:2001-01-01": lambda r: True,
    "until:2001-01-01": lambda r: False,
    # Several at once.
    "state:failure task:pay error:key": lambda r: (
        r["state"] == "FAILURE" and named(r, "shop.orders.pay") and has(error(r), "key")
    ),
    "state:failure -task:shop": lambda r: r["state"] == "FAILURE" and not r["name"].startswith("shop."),
    "worker:alpha queue:money retried:no": lambda r: (
        r["worker"] in ("pay1@alpha", "pay2@alpha") and r["queue"] == "money" and not (r["retries"] or r["steps"])
    ),
    "state:live 42 -queue:celery": lambda r: r["phase"] == 0 and numbers(r, 42) and r["queue"] != "celery",
    "from:here since:25h state:success,failure": lambda r: (
        r["publish_state"] is not None and r["created_at"] >= time.time() - 25 * HOUR and r["phase"] in (1, 2)
    ),
    "-state:live -state:success -from:here": lambda r: r["phase"] in (2, 3) and r["publish_state"] is None,
    "-worker:alpha -queue:money -task:shop -text:42": lambda r: (
        r["worker"] not in ("pay1@alpha", "pay2@alpha")
        and r["queue"] != "money"
        and not r["name"].startswith("shop.")
        and not numbers(r, 42)
    ),
}


def test_the_runs_are_of_every_kind(rows: list[Row]) -> None:
    """The other tests mean little where a kind is missing."""
    assert len(rows) == COUNT
    assert {row["phase"] for row in rows} == {0, 1, 2, 3}
    assert len({row["state"] for row in rows}) == len(ENDINGS) - 2


@pytest.mark.parametrize("q", QUERIES)
def test_a_search_finds_what_a_plain_condition_on_every_row_finds(
    connection: Connection, rows: list[Row], q: str
) -> None:
    assert found_by(connection, asked(q)) == among(rows, QUERIES[q])


@pytest.mark.parametrize("q", QUERIES)
def test_counts_are_those_of_the_runs_that_paging_finds(connection: Connection, rows: list[Row], q: str) -> None:
    """The counts of the phases leave out the tab that is open, so that each says what a click on it shows."""
    for tab in ("", "live", "other", "STARTED"):
        found = counted(connection, asked(q, state=tab))
        for group, (count, more) in zip(("live", "success", "failure", "other"), found, strict=True):
            assert (count, more) == (len(found_by(connection, asked(q, state=group))), False)


def counted(connection: Connection, wanted: Filter) -> list[tuple[int, bool]]:
    return [found for _, found in sorted(counts(connection, wanted).items())]


@pytest.mark.parametrize("q", QUERIES)
def test_every_run_that_is_found_is_in_the_download(connection: Connection, rows: list[Row], q: str) -> None:
    assert [row.id for row in everything(connection, asked(q), seconds=10.0)] == among(rows, QUERIES[q])


@pytest.mark.parametrize("q", QUERIES)
def test_runs_that_came_since_are_counted_by_the_same_rule(connection: Connection, rows: list[Row], q: str) -> None:
    top = rows[60]["id"]
    new = [id_ for id_ in among(rows, QUERIES[q]) if id_ > top]
    assert newer_than(connection, asked(q), top) == len(new)


@pytest.mark.parametrize(
    "q", ["", "state:live", "state:other", "42", '"foo bar"', "-task:shop", "from:here", "since:20h"]
)
@pytest.mark.parametrize("sort", SORTS)
def test_paging_down_and_up_shows_every_run_exactly_once(
    connection: Connection, rows: list[Row], q: str, sort: str
) -> None:
    expected = sorted_by(sort, among(rows, QUERIES[q]), rows)
    wanted = asked(q, sort=sort)
    assert found_by(connection, wanted, 7) == expected
    bottom = Cursor(0, None if sort == "" else -1.0, up=True)
    upwards = [id_ for ids in walk(connection, replace(wanted, cursor=bottom), 7) for id_ in reversed(ids)]
    assert upwards == expected[::-1]


def sorted_by(sort: str, ids: list[int], rows: list[Row]) -> list[int]:
    """Return ids in the order of a sort; runs that have nothing to be sorted by are left out."""
    column = {"": "id", "running": "run_order", "waiting": "wait_order"}[sort]
    keys = {row["id"]: (row[column], row["id"]) for row in rows if row[column] is not None}
    return sorted((id_ for id_ in ids if id_ in keys), key=keys.__getitem__, reverse=True)


@pytest.mark.parametrize("q", ["", "state:live", "42", "from:elsewhere"])
@pytest.mark.parametrize("sort", SORTS)
def test_paging_goes_on_where_it_was_when_the_runs_of_a_page_are_gone(
    connection: Connection, rows: list[Row], q: str, sort: str
) -> None:
    expected = sorted_by(sort, among(rows, QUERIES[q]), rows)
    wanted = asked(q, sort=sort)
    first = fetch_page(connection, wanted, 10)
    assert first.older
    connection.execute(delete(runs).where(runs.c.id.in_([key.id for key in first.keys])))
    assert found_by(connection, replace(wanted, cursor=first.older), 10) == expected[10:]


@pytest.mark.parametrize("sort", SORTS)
def test_neighbouring_pages_lead_to_each_other(connection: Connection, sort: str) -> None:
    wanted = asked(sort=sort)
    first = fetch_page(connection, wanted, 20)
    second = fetch_page(connection, replace(wanted, cursor=first.older), 20)
    back = fetch_page(connection, replace(wanted, cursor=second.newer), 20)
    assert [key.id for key in back.keys] == [key.id for key in first.keys]
    assert (first.newer, back.newer) == (None, None)


def test_a_page_with_a_top_shows_nothing_that_came_later(connection: Connection, rows: list[Row]) -> None:
    top = rows[30]["id"]
    assert found_by(connection, asked(top=str(top))) == [row["id"] for row in rows[30:]]


def test_the_newest_id_is_that_of_the_newest_run(connection: Connection, rows: list[Row]) -> None:
    assert newest_id(connection) == rows[0]["id"]


@pytest.mark.parametrize("term", ["since:20h", "until:20h", "id:run-6"])
def test_what_cannot_be_turned_round_says_so_and_is_left_out(term: str) -> None:
    wanted = asked(f"-{term}")
    assert wanted.terms == ()
    assert "cannot be turned round" in wanted.problems[0][1]


HOSTILE = [
    "\x00",
    "a\x00b",
    "\ud800",
    "id:\udfff\x00",
    "task:\ud83d",
    "'",
    "''",
    '"',
    '""',
    '"""',
    '"a" AND "b',
    "') OR 1=1 --",
    "a* OR b* NOT c",
    "NEAR(a b)",
    "words:a",
    "^a",
    "a + b",
    "{a b} : c",
    "a & b | !c",
    "a <-> b",
    "!(a",
    "a:*",
    "\\",
    "\\'",
    "a\\",
    "%",
    "%s %(x)s %%",
    ":low :match :limit",
    "_",
    "()",
    "?",
    "-",
    "--",
    "-:",
    ":",
    "state:",
    "state:,",
    "state:,,live",
    "task:,",
    "worker:,,",
    "queue: ",
    "args:()",
    "since:9999999999999w",
    "since:99999w",
    "until:0001-01-01",
    "since:9999-12-31T23:59:59",
    "since:nan",
    "1e999999999",
    "9" * 900,
    "0." + "9" * 900,
    "١٢٣",
    "²",
    "x" * 10_000,
    "a " * 5_000,
    "ab" * 10 + " " + "é" * 9_000,
    "-" * 10_000,
    '"' * 10_000,
    "state:" + "a," * 4_000,
    "task:" + "a," * 4_000,
    " ".join(f"task:{letter} -worker:{letter}" for letter in "abcdefghij"),
    " ".join(f'-"{word} {word}"' for word in "the quick brown fox jumps over the lazy dog".split()),
    "\u202e\u2066",
    "İ",
    "ß",
    "🦆" * 500,
]


@pytest.mark.parametrize("q", HOSTILE, ids=lambda q: ascii(q)[:40])
def test_whatever_is_typed_is_answered(connection: Connection, q: str) -> None:
    for fields in ({"q": q}, {"task": q, "worker": q, "state": q}, {"since": q, "start": q, "queue": q, "zone": q}):
        wanted = Filter.parse(fields)
        for sort in SORTS:
            fetch_page(connection, replace(wanted, sort=sort))
        counts(connection, wanted)
        newer_than(connection, wanted, 0)
    completions(connection, q)


@pytest.mark.parametrize(
    "fields",
    [
        {"before": "9" * 30},
        {"before": str(2**63 - 1)},
        {"after": "0"},
        {"after": "-1"},
        {"top": str(2**63 - 1)},
        {"top": "0", "after": str(2**63 - 1)},
        {"before": "1e400_5", "sort": "running"},
        {"before": "nan_5", "sort": "running"},
        {"before": "1.7976931348623157e308_5", "sort": "running"},
        {"after": "-1e308_9223372036854775807", "sort": "waiting"},
        {"before": "5_5"},
        {"sort": "'; --"},
    ],
    ids=str,
)
def test_whatever_place_an_address_names_is_answered(connection: Connection, fields: dict[str, str]) -> None:
    wanted = Filter.parse(fields)
    fetch_page(connection, wanted)
    counts(connection, wanted)


CROWD = 2 * WINDOW + 300


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, new_app: Callable[[Path], Flask]) -> Iterator[Flask]:
    """A site with more runs than are looked at for one page: as many live as settled, every 400th a needle."""
    app = new_app(tmp_path_factory.mktemp("crowd"))
    with app.app_context():
        batch: dict[str, Facts] = {}
        for each in range(2 * CROWD):
            text = "'a needle-case'" if each % 400 < 2 else "'a case for a needle'"
            at = BEGAN + each
            batch[f"run-{each}"] = heard({"type": "task-received", "name": "t", "args": text}, at)
            if each % 2:
                end = heard({"type": "task-succeeded", "result": "1", "runtime": each % 100}, at + 1)
                batch[f"run-{each}"] = merge(batch[f"run-{each}"], end)
        write(db.engine, batch)
        yield app
        db.engine.dispose()


@pytest.mark.parametrize("state", ["", "live", "success"])
@pytest.mark.parametrize("up", [False, True], ids=["down", "up"])
def test_a_search_beyond_one_window_goes_on_on_the_next_pages(crowd: Flask, state: str, up: bool) -> None:
    wanted = replace(asked("needle-case", state=state), cursor=Cursor(0, up=True) if up else None)
    with db.engine.connect() as connection:
        pages = list(walk(connection, wanted, 10))
        windows = fetch_page(connection, wanted, 50).window
    found = [id_ for ids in (pages[::-1] if up else pages) for id_ in ids]
    kinds = [0, 1] if state == "" else [0] if state == "live" else [1]
    expected = [each for each in range(2 * CROWD) if each % 400 in kinds]
    assert [round((id_ - first_id(BEGAN)) / 2**10 / 1e6) for id_ in found] == expected[::-1]
    assert "looked through 2,000 runs" in windows


def test_a_count_beyond_one_window_says_that_there_may_be_more(crowd: Flask) -> None:
    with db.engine.connect() as connection:
        found = counts(connection, asked("needle-case"))
    assert found[0][1]
    assert found[1][1]


def test_a_sorted_search_beyond_one_window_says_what_it_leaves_out(crowd: Flask) -> None:
    with db.engine.connect() as connection:
        found = fetch_page(connection, asked("case", sort="running"))
    assert "older ones are left out" in found.window
    values = [key.value for key in found.keys]
    assert values == sorted(values, key=lambda value: value or 0.0, reverse=True)
    assert values[0] == 99.0
    assert all(value is not None and math.isfinite(value) for value in values)
