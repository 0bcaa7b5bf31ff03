"""The live regions: what the list and a run's page show, and the version that tells whether it changed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from celery import Celery
from flask import current_app, url_for
from markupsafe import Markup
from sqlalchemy import Connection, Row

from webapp import fmt, queries
from webapp.queries import COUNT_CAP, PAGE_SIZE, Environment, Filter
from webapp.states import GROUPS, READY_RANK, is_ready, look
from webapp.views import ledger, present


class Unknown(str):
    """The task id of a run that is not known, as the description of a 404."""

    __slots__ = ()


def stamp(around: Environment) -> str:
    """Return what makes an unchanged poll cheap: equal stamps mean that nothing at all has changed."""
    return f"{around.version}{'r' if around.recorder_ok else 's'}"


def version_of(last: str) -> int:
    """Return the version in what a page says it has seen, 0 when that makes no sense."""
    digits = last.partition("-")[0][:-1]
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else 0


def checksum(around: Environment, rows: Sequence[Row[Any]], totals: dict[str, int]) -> str:
    """Return a checksum of what a list shows: which runs in which version, the counts and the state of the parts."""
    shown = [(row.id, row.changed) for row in rows]
    vitals = (around.recorder_ok, around.broker_ok, around.workers)
    return f"{zlib.crc32(repr((shown, vitals, totals)).encode()):x}"


def list_region(connection: Connection, wanted: Filter, around: Environment) -> dict[str, Any]:
    """Return the template's context of the list."""
    found = queries.page(connection, wanted)
    totals = queries.counts(connection, wanted.task)
    seen = checksum(around, found, totals)
    rows = found[:PAGE_SIZE]
    base = url_for("pages.index")
    live = any(row.rank < READY_RANK for row in rows) or (wanted.before is None and totals["live"] > 0)
    return {
        "around": around,
        "wanted": wanted,
        "lines": Markup("".join(ledger.lines(connection, rows, base))),  # noqa: S704  # each was escaped when drawn
        "tabs": _tabs(wanted, totals, base),
        "older": _link(base, wanted.to_params(before=f"{rows[-1].created_at!r}_{rows[-1].id}"))
        if len(found) > PAGE_SIZE
        else None,
        "newest": _link(base, wanted.to_params(before="")) if wanted.before else None,
        "live": live,
        "poll": _link(url_for("fragments.runs"), wanted.to_params(v=f"{stamp(around)}-{seen}")),
        "checksum": seen,
        "news": url_for("changes.stream", since=stamp(around)),
        "base": base,
        "filtered": bool(wanted.state or wanted.task),
    }


def _link(base: str, params: dict[str, Any]) -> str:
    """Return the address of the list with a filter; a tenth of the cost of ``url_for``, of which a list has many."""
    return f"{base}?{urlencode(params)}" if params else base


def _tabs(wanted: Filter, totals: dict[str, int], base: str) -> list[dict[str, Any]]:
    """Return the state filters with their counts, and the state asked for when it has no tab of its own."""
    named = {"": "All", **GROUPS}
    tabs = [(group, label, fmt.count(totals[group], COUNT_CAP)) for group, label in named.items()]
    if wanted.state and wanted.state not in named:
        tabs.append((wanted.state, look(wanted.state).label, ""))
    return [
        {
            "label": label,
            "count": n,
            "here": wanted.state == group,
            "link": _link(base, wanted.to_params(state=group, before="")),
        }
        for group, label, n in tabs
    ]


def run_region(row: Row[Any], around: Environment, celery: Celery) -> dict[str, Any]:
    """Return the template's context of one run."""
    return {
        "around": around,
        "run": present.listed(row),
        "row": row,
        "timeline": present.timeline(row),
        "arguments": present.argument_lines(row, celery),
        "arguments_note": present.source_of_arguments(row),
        "result": present.result_text(row),
        "facts": _facts(row),
        "live": not is_ready(row.state),
        "flower": flower_link(row.task_id),
        "poll": url_for("fragments.run", task_id=row.task_id, v=run_version(around, row.changed)),
    }


def run_version(around: Environment, changed: int) -> str:
    """Return the version of one run's page."""
    return f"{changed}{'r' if around.recorder_ok else 's'}"


def flower_link(task_id: str) -> str:
    """Return the address of the same run in Flower."""
    return f"{current_app.config['FLOWER_URL']}/task/{quote(task_id, safe='')}"


def _facts(row: Row[Any]) -> list[tuple[str, str]]:
    starts = sum(1 for _, what, _ in present.attempts_of(row) if what == "started")
    facts = [
        ("Task", row.name),
        ("Queue", row.queue),
        ("Worker", row.worker),
        ("Waited", fmt.duration(present.waited(row)) if row.started_at is not None else None),
        ("Ran", fmt.duration(took) if (took := present.ran(row)) is not None else None),
        ("Attempts", str(starts) if starts else None),
        ("Started by", "the form or command line of this site" if row.publish_state else row.origin),
        ("Not before", row.eta),
        ("Expires", row.expires),
        ("Part of", row.root_id if row.root_id != row.task_id else None),
        ("Called by", row.parent_id if row.parent_id != row.task_id else None),
    ]
    return [(label, value) for label, value in facts if value]
