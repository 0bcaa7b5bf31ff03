"""What is filtered, as a file: streamed, so that a million runs need no more memory than a page."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, Final

from flask import Blueprint, Response, current_app, request, stream_with_context
from sqlalchemy import Row

from webapp import formatting
from webapp.extensions import db
from webapp.search import pages
from webapp.search.planner import build_plan
from webapp.search.query import Filter
from webapp.services import services_of
from webapp.views.errors import page
from webapp.views.runs import presenters

blueprint = Blueprint("downloads", __name__)

Rows = Iterator[dict[str, Any]]

COLUMNS: Final = (
    "task_id task state created_at sent_at received_at started_at ended_at waited_seconds ran_seconds worker queue "
    "origin retries args kwargs result exception traceback doubt root_id parent_id"
).split()
# A spreadsheet takes a cell that begins so for a formula, and a formula may do anything. Blanks and double quotes in
# front do not help, and many spreadsheets end a cell at a semicolon or a tab, whatever quotes stand around it all.
_FORMULA: Final = re.compile(
    r"""^(?=[\t\r\n])|(?:^|(?<=[;\t\r\n]))(?=(?:[^\S\t\r\n]|["\u00ad\u061c\u200b-\u200f\u2060\ufeff])*[=+\-@＝＋－＠])"""
)
# What JSON may hold as it is, and many programs take for the end of a line.
_LINE_ENDS: Final = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"})


@blueprint.get("/runs.csv", endpoint="csv")
def csv_file() -> Response | tuple[str, int]:
    """Answer the runs that fit the filter as CSV, newest first; what looks like a formula begins with ``'``."""
    return _download(_csv_lines, "text/csv", "runs.csv")


@blueprint.get("/runs.jsonl", endpoint="jsonl")
def jsonl_file() -> Response | tuple[str, int]:
    """Answer the runs that fit the filter as JSON, one a line, newest first."""
    return _download(_json_lines, "application/jsonl", "runs.jsonl")


def _download(lines: Callable[[Rows], Iterator[str]], mimetype: str, name: str) -> Response | tuple[str, int]:
    wanted = Filter.parse(request.args)
    with db.engine.connect() as connection:
        unknown = build_plan(connection, wanted, time.time()).problems
    if problems := [*(text for _, text in wanted.problems), *unknown]:
        # Nobody sees beside a file that a condition was left out.
        return page(422, text=problems[0]), 422
    places = services_of(current_app).exports
    if not places.acquire(blocking=False):
        return page(503, title="Too many downloads at once", text="Others are being read. Try again in a minute."), 503
    rows = _rows(wanted)
    try:
        # What fails at once is answered with a page; later the file breaks off, and the browser says so.
        first = list(islice(rows, 1))
    except BaseException:
        places.release()
        raise
    answer = Response(stream_with_context(lines(chain(first, rows))), mimetype=mimetype)
    answer.call_on_close(places.release)
    answer.headers["Content-Disposition"] = f"attachment; filename={name}"
    return answer


def _rows(wanted: Filter) -> Rows:
    with db.engine.connect() as connection:
        for row in pages.everything(connection, wanted, current_app.config["QUERY_SECONDS"]):
            yield values_of(row)


def values_of(row: Row[Any]) -> dict[str, Any]:
    """Return a run by the names of ``COLUMNS``; times as ISO 8601 in UTC, durations in seconds."""
    times = {name: formatting.iso(at) if (at := getattr(row, name)) is not None else None for name in _TIMES}
    ended = formatting.iso(row.state_at) if row.phase else None
    plain = {name: getattr(row, name) for name in COLUMNS if hasattr(row, name)}
    spans = {"waited_seconds": presenters.waited(row), "ran_seconds": presenters.ran(row)}
    found = plain | times | spans | {"task": row.name, "ended_at": ended}
    return {name: found[name] for name in COLUMNS}


_TIMES: Final = ("created_at", "sent_at", "received_at", "started_at")


def _csv_lines(rows: Rows) -> Iterator[str]:
    yield _csv_line(COLUMNS)
    for values in rows:
        yield _csv_line(_defused(value) for value in values.values())


def _csv_line(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL).writerow(cells)
    return line.getvalue()


def _defused(value: Any) -> Any:
    return _FORMULA.sub("'", value) if isinstance(value, str) else value


def _json_lines(rows: Rows) -> Iterator[str]:
    for values in rows:
        yield json.dumps(values, ensure_ascii=False).translate(_LINE_ENDS) + "\n"
