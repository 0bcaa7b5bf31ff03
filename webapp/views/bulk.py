"""Actions on many runs: confirm, follow, abort."""

from __future__ import annotations

import math
import time
from typing import Any, Final

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from webapp.actions import bulk
from webapp.errors import ActionNotAllowedError
from webapp.extensions import db
from webapp.history import queries
from webapp.search import pages
from webapp.search.finder import Key
from webapp.search.planner import build_plan
from webapp.search.query import Filter
from webapp.search.timeout import time_limit
from webapp.text import clean
from webapp.views.connection import reading
from webapp.views.numbers import ids
from webapp.views.runs import rows
from webapp.views.runs.presenters import Moment

blueprint = Blueprint("bulk", __name__, url_prefix="/bulk")

SAMPLE: Final = 5
LISTED: Final = 50
REASON_MAX: Final = 500
TITLES: Final = {"retry": "Run again", "cancel": "Cancel"}
HEADINGS: Final = {"retry": "Run {} again", "cancel": "Cancel {}"}


def _heading(kind: str, total: int, more: bool) -> str:
    return HEADINGS[kind].format(f"{total:,}{'+' if more else ''} {'run' if total == 1 and not more else 'runs'}")


def _picked() -> list[int]:
    return ids(request.values.getlist("pick"))


@blueprint.get("/new")
def confirm() -> str | tuple[str, int]:
    """Ask whether it is really meant: how many, a sample, and a reason."""
    return _confirm()


def _confirm(problem: str = "") -> str | tuple[str, int]:
    kind = request.values.get("kind", "")
    if kind not in TITLES:
        abort(404)
    wanted, picked = Filter.parse(request.values), [] if request.values.get("all") else _picked()
    if not picked and not request.values.get("all"):
        problem = problem or "Select runs in the list first, or choose all that match."
    with reading() as connection:
        keys = pages.fetch_page(connection, wanted, SAMPLE).keys
        if picked:
            found = connection.execute(
                select(queries.runs.c.id, queries.runs.c.changed, queries.runs.c.phase)
                .where(queries.runs.c.id.in_(picked[:SAMPLE]))
                .order_by(queries.runs.c.id.desc())
            )
            keys = [Key(row.id, row.changed, row.phase) for row in found]
        total, more = bulk.size(connection, wanted, picked)
        problems = [*(text for _, text in wanted.problems), *build_plan(connection, wanted, time.time()).problems]
        context: dict[str, Any] = {
            "around": queries.system_status(connection),
            "sample": rows.lines(connection, keys, url_for("pages.index")),
        }
    problem = problem or next(iter(problems), "")
    hidden = [*wanted.to_params(sort="").items(), *(("pick", str(id_)) for id_ in picked), ("kind", kind)]
    if request.values.get("all"):
        hidden.append(("all", "1"))
    page = render_template(
        "bulk/confirm.html",
        **context,
        kind=kind,
        title=TITLES[kind],
        heading=_heading(kind, total, more),
        total=total,
        more=more,
        hidden=hidden,
        problem=problem,
        rate=f"{bulk.RATE:g}",
        reason=request.values.get("reason", ""),
    )
    return (page, 422) if problem else page


@blueprint.post("")
def create() -> Response | str | tuple[str, int]:
    """Begin an action, then show how far it is."""
    picked = [] if request.form.get("all") else _picked()
    if not picked and not request.form.get("all"):
        return _confirm()
    try:
        rate = float(request.form.get("rate") or bulk.RATE)
    except ValueError:
        rate = math.nan
    if not math.isfinite(rate):
        return _confirm("Type how many runs a second, such as 100.")
    try:
        with db.engine.begin() as connection, time_limit(connection, current_app.config["QUERY_SECONDS"]):
            reason = clean(request.form.get("reason", ""))[:REASON_MAX].strip()
            wanted = Filter.parse(request.form)
            number = bulk.create(connection, request.form.get("kind", ""), wanted, picked, reason, rate)
    except ActionNotAllowedError as fault:
        return _confirm(str(fault))
    return redirect(url_for("bulk.show", number=number), 303)


@blueprint.get("")
def index() -> str:
    """Show the latest actions."""
    with db.engine.connect() as connection:
        around = queries.system_status(connection)
        query = select(bulk.bulk_actions).order_by(bulk.bulk_actions.c.id.desc()).limit(LISTED)
        rows = connection.execute(query).all()
    entries = [{"row": row, "title": TITLES[row.kind], "at": Moment.at(row.created_at)} for row in rows]
    return render_template("bulk/index.html", around=around, actions=entries)


@blueprint.get("/<int:number>")
def show(number: int) -> str | Response:
    """Show how far an action is; the same address answers the poll."""
    with db.engine.connect() as connection:
        around = queries.system_status(connection)
        row = connection.execute(select(bulk.bulk_actions).where(bulk.bulk_actions.c.id == number)).one_or_none()
        unconfirmed = bulk.unconfirmed(connection, number)
    if row is None:
        abort(404)
    left = max(row.total - row.done, 0) / row.rate if row.state == "running" else 0.0
    context: dict[str, Any] = {
        "around": around,
        "row": row,
        "title": TITLES[row.kind],
        "heading": _heading(row.kind, row.total, row.more),
        "at": Moment.at(row.created_at),
        "ended": Moment.at(row.ended_at) if row.ended_at else None,
        "left": left,
        "live": row.state == "running",
        "unconfirmed": unconfirmed,
        "poll": url_for("bulk.show", number=number, part="1"),
        "filter": url_for("pages.index") + (f"?{row.query}" if row.query else ""),
    }
    return render_template("bulk/_action.html" if request.args.get("part") else "bulk/show.html", **context)


@blueprint.post("/<int:number>/abort")
def end(number: int) -> Response:
    """End an action where it stands."""
    with db.engine.begin() as connection:
        ended = bulk.abort(connection, number)
    flash(*(("The action was ended where it stood.", "ok") if ended else ("It had ended already.", "wait")))
    return redirect(url_for("bulk.show", number=number), 303)
