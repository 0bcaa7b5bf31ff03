"""The polled fragments: one URL a region, 204 while nothing has changed."""

from __future__ import annotations

from flask import Blueprint, current_app, render_template, request
from werkzeug.wrappers import Response

from webapp import queries
from webapp.celery_app import celery_of
from webapp.extensions import db
from webapp.views import regions

blueprint = Blueprint("fragments", __name__, url_prefix="/fragments")

Answer = str | Response | tuple[str, int]
UNCHANGED = ("", 204)


@blueprint.get("/runs")
def runs() -> Answer:
    """Answer the list's region when it has changed since version ``v``."""
    last = request.args.get("v", "")
    with db.engine.connect() as connection:
        around = queries.environment(connection)
        if last.partition("-")[0] == regions.stamp(around):
            return UNCHANGED
        region = regions.list_region(connection, queries.Filter.parse(request.args), around, last)
    return render_template("runs/_poll.html", **region) if region else UNCHANGED


@blueprint.get("/run")
def run() -> Answer:
    """Answer one run's region when it has changed since version ``v``."""
    with db.engine.connect() as connection:
        around = queries.environment(connection)
        row = queries.run_by_id(connection, request.args.get("task_id", ""))
    if row is None or regions.run_version(around, row.changed) == request.args.get("v"):
        return UNCHANGED
    return render_template("runs/_run_poll.html", **regions.run_region(row, around, celery_of(current_app)))
