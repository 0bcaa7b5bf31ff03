"""The pages: the list with its form, and one run."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webapp import forms, queries
from webapp.celery_app import celery_of
from webapp.errors import RefusedError
from webapp.extensions import db
from webapp.filters import SORTS, SPANS, Filter
from webapp.known import offered
from webapp.launching import launch, send_again
from webapp.tasks import divide
from webapp.text import NAME_MAX, clean
from webapp.views import regions

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index() -> str:
    """Show the launch form and the list of runs."""
    return _render_index(forms.fields_of(divide.run))


def _render_index(fields: list[forms.Field], problem: str = "") -> str:
    wanted = Filter.parse(request.args)
    with db.engine.connect() as connection:
        region = regions.list_region(connection, wanted, queries.environment(connection))
        names = offered(connection)
    return render_template(
        "runs/index.html",
        **region,
        names=names,
        problems=dict(reversed(wanted.problems)),
        sorts=SORTS,
        spans=SPANS,
        fields=fields,
        problem=problem,
        key=uuid.uuid4(),
        task=divide,
    )


@blueprint.get("/runs")
def runs() -> Response:
    """Lead to the list whoever reloads the address that a form with a fault in it has left in the browser."""
    return redirect(url_for("pages.index"), 303)


@blueprint.post("/runs")
def start() -> Response | tuple[str, int]:
    """Start a divide run from the form, then show the list; with a fault in a field, show the form again."""
    fields = forms.fill(forms.fields_of(divide.run), request.form)
    numbers, fields = forms.read_numbers(fields)
    if any(field.error for field in fields):
        return _render_index(fields), 422
    try:
        launched = launch(current_app, divide.name, numbers, task_id=_key(request.form.get("key")))
    except RefusedError as fault:
        return _render_index(fields, str(fault)), 422
    if launched.error:
        flash("The broker cannot be reached. The run is kept and will be sent as soon as it is back.", "wait")
    return redirect(url_for("pages.index"), 303)


def _key(text: str | None) -> str | None:
    """Return the form's key as the run's task id, so that a double click is one run."""
    try:
        return str(uuid.UUID(text or ""))
    except ValueError:
        return None


@blueprint.get("/runs/<task_id>")
@blueprint.get("/run", defaults={"task_id": None})
def run(task_id: str | None) -> str:
    """Show one run; ``/run?task_id=`` serves the task ids that cannot stand in a path."""
    wanted: str = task_id if task_id is not None else request.args.get("task_id", "")
    with db.engine.connect() as connection:
        row = queries.run_by_id(connection, clean(wanted))
        around = queries.environment(connection)
    if row is None:
        abort(404, regions.Unknown(wanted[:NAME_MAX]))
    context: dict[str, Any] = regions.run_region(row, around, celery_of(current_app))
    return render_template("runs/show.html", **context)


@blueprint.post("/send")
def send() -> Response:
    """Try once more to send a run that waits or could not be sent, then show it."""
    task_id = request.form.get("task_id", "")
    launched = send_again(current_app, clean(task_id))
    if launched is None:
        flash("There was nothing to send: the run is on its way or is not known.", "wait")
    elif launched.error:
        flash(f"The broker did not take it: {launched.error}", "bad")
    else:
        flash("The run was sent.", "ok")
    return redirect(url_for("pages.run", task_id=None) + "?" + urlencode({"task_id": task_id}), 303)
