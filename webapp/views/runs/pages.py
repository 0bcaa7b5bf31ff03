"""The pages: the list with its form, and one run."""

from __future__ import annotations

import uuid
from typing import Final

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webapp.catalog.tasks import knows
from webapp.celery_app import celery_of
from webapp.errors import InvalidArgumentsError
from webapp.extensions import db
from webapp.forms.fields import Form, form_of
from webapp.forms.parse import read
from webapp.history import queries
from webapp.history.facets import facets
from webapp.outbox.submit import submit
from webapp.search.query import SORTS, SPANS, Filter
from webapp.tasks import divide
from webapp.text import NAME_MAX, clean
from webapp.views.connection import reading
from webapp.views.runs import list as runs_list
from webapp.views.runs.detail import Unknown, run_region
from webapp.views.runs.submission import flash_submission, idempotency_key
from webapp.worker.describe import schema_of

blueprint = Blueprint("pages", __name__)

_FORM: Final = form_of(schema_of(divide.run))


@blueprint.get("/")
def index() -> str:
    """Show the launch form and the list of runs."""
    return _render_index(_FORM)


def _render_index(form: Form, problem: str = "") -> str:
    wanted = Filter.parse(request.args)
    with db.engine.connect() as connection:
        region = runs_list.list_region(connection, wanted, queries.system_status(connection))
        names = facets(connection)
        with_form = knows(connection, celery_of(current_app), divide.name)
    return render_template(
        "runs/index.html",
        **region,
        names=names,
        problems=dict(reversed([*wanted.problems, *(("q", text) for text in region["unknown"])])),
        sorts=SORTS,
        spans=SPANS,
        fields=form.fields,
        problem=problem,
        key=uuid.uuid4(),
        with_form=with_form,
    )


@blueprint.get("/runs")
def runs() -> Response:
    """Lead to the list whoever reloads the address that a form with a fault in it has left in the browser."""
    return redirect(url_for("pages.index"), 303)


@blueprint.post("/runs")
def start() -> Response | tuple[str, int]:
    """Start a divide run from the form, then show the list; with a fault in a field, show the form again."""
    with db.engine.connect() as connection:
        if not knows(connection, celery_of(current_app), divide.name):
            abort(404)
    typed = {field.path: [request.form.get(field.name, "")] for field in _FORM.fields}
    reading = read(_FORM, typed)
    if not reading.ok:
        return _render_index(reading.form, " ".join(reading.errors)), 422
    try:
        launched = submit(current_app, divide.name, reading.args, task_id=idempotency_key(request.form.get("key")))
    except InvalidArgumentsError as fault:
        return _render_index(reading.form, str(fault)), 422
    flash_submission(launched)
    return redirect(url_for("pages.index"), 303)


@blueprint.get("/runs/<task_id>")
@blueprint.get("/run", defaults={"task_id": None})
def run(task_id: str | None) -> str:
    """Show one run; ``/run?task_id=`` serves the task ids that cannot stand in a path."""
    wanted: str = task_id if task_id is not None else request.args.get("task_id", "")
    with reading() as connection:
        row = queries.run_by_id(connection, clean(wanted))
        if row is None:
            abort(404, Unknown(wanted[:NAME_MAX]))
        context = run_region(connection, row, queries.system_status(connection), celery_of(current_app))
    return render_template("runs/show.html", **context)
