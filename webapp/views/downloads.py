"""What is filtered, as a file: streamed, so that a million runs need no more memory than a page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, Final

from flask import Blueprint, Response, request, stream_with_context
from sqlalchemy import Row

from webapp import fmt, listing
from webapp.extensions import db
from webapp.filters import Filter
from webapp.views import present

blueprint = Blueprint("downloads", __name__)

COLUMNS: Final = (
    "task_id task state created_at sent_at received_at started_at ended_at waited_seconds ran_seconds worker queue "
    "origin retries args kwargs result exception traceback doubt root_id parent_id"
).split()
# A spreadsheet takes a cell that begins so for a formula, and a formula may do anything.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@blueprint.get("/runs.csv", endpoint="csv")
def csv_file() -> Response:
    """Answer the runs that fit the filter as CSV, newest first; cells that look like formulas begin with ``'``."""
    return _download(_csv_lines(Filter.parse(request.args)), "text/csv", "runs.csv")


@blueprint.get("/runs.jsonl", endpoint="jsonl")
def jsonl_file() -> Response:
    """Answer the runs that fit the filter as JSON, one a line, newest first."""
    return _download(_json_lines(Filter.parse(request.args)), "application/jsonl", "runs.jsonl")


def _download(lines: Iterator[str], mimetype: str, name: str) -> Response:
    answer = Response(stream_with_context(lines), mimetype=mimetype)
    answer.headers["Content-Disposition"] = f"attachment; filename={name}"
    return answer


def _rows(wanted: Filter) -> Iterator[dict[str, Any]]:
    with db.engine.connect() as connection:
        for row in listing.everything(connection, wanted):
            yield values_of(row)


def values_of(row: Row[Any]) -> dict[str, Any]:
    """Return a run by the names of ``COLUMNS``; times as ISO 8601 in UTC, durations in seconds."""
    times = {name: fmt.iso(at) if (at := getattr(row, name)) is not None else None for name in _TIMES}
    ended = fmt.iso(row.state_at) if row.phase else None
    plain = {name: getattr(row, name) for name in COLUMNS if hasattr(row, name)}
    spans = {"waited_seconds": present.waited(row), "ran_seconds": present.ran(row)}
    found = plain | times | spans | {"task": row.name, "ended_at": ended}
    return {name: found[name] for name in COLUMNS}


_TIMES: Final = ("created_at", "sent_at", "received_at", "started_at")


def _csv_lines(wanted: Filter) -> Iterator[str]:
    yield ",".join(COLUMNS) + "\r\n"
    for values in _rows(wanted):
        line = io.StringIO()
        csv.writer(line).writerow([_defused(value) for value in values.values()])
        yield line.getvalue()


def _defused(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _json_lines(wanted: Filter) -> Iterator[str]:
    for values in _rows(wanted):
        yield json.dumps(values, ensure_ascii=False) + "\n"
