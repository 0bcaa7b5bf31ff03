"""The polled fragments: one URL a region, 204 while nothing has changed."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, render_template, request

from webapp.celery_app import celery_of
from webapp.extensions import db
from webapp.history import queries, workflow
from webapp.search import completion
from webapp.search.query import Filter
from webapp.search.timeout import time_limit
from webapp.text import clean
from webapp.views import cache
from webapp.views.connection import reading
from webapp.views.runs import list as runs_list
from webapp.views.runs.detail import run_region, run_version

blueprint = Blueprint("fragments", __name__, url_prefix="/fragments")


def unchanged() -> Response:
    """Return the answer that leaves a page as it is."""
    return Response(status=204)


@blueprint.get("/runs")
def runs() -> bytes | Response:
    """Answer the list's region when it has changed since version ``v``."""
    last = request.args.get("v", "")
    around = cache.system_status(at_least=runs_list.version_of(last))
    if last.partition("-")[0] == runs_list.stamp(around):
        return unchanged()
    wanted = Filter.parse(request.args)

    def make() -> dict[str, Any]:
        with db.engine.connect() as connection:
            return runs_list.list_region(connection, wanted, around)

    region = cache.region((runs_list.stamp(around), request.script_root, wanted), make)
    if region.context["checksum"] == last.partition("-")[2]:
        return unchanged()
    return region.render("runs/_poll.html")


@blueprint.get("/run")
def run() -> str | Response:
    """Answer one run's region when it has changed since version ``v``."""
    around = cache.system_status()
    with db.engine.connect() as connection:
        row = queries.run_by_id(connection, clean(request.args.get("task_id", "")))
        if row is None:
            return unchanged()
        changed = max(row.changed, workflow.version(connection, row)[0])
        if run_version(around, changed) == request.args.get("v"):
            return unchanged()
        with time_limit(connection, current_app.config["QUERY_SECONDS"]):
            context = run_region(connection, row, around, celery_of(current_app))
    return render_template("runs/_run_poll.html", **context)


@blueprint.get("/complete")
def complete() -> str:
    """Answer the options that complete what is typed into the search box."""
    with reading() as connection:
        options = completion.completions(connection, request.args.get("q", ""))
    return render_template("runs/_options.html", options=options)
