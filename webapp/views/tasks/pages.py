"""The catalogue of tasks and the form of each."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webapp.catalog.presets import remove, save
from webapp.catalog.tasks import known_tasks, queue_for, summaries
from webapp.celery_app import celery_of
from webapp.errors import InvalidArgumentsError
from webapp.extensions import db
from webapp.formatting import short_name
from webapp.forms.parse import read
from webapp.history import queries
from webapp.outbox.options import Options, read_options
from webapp.outbox.submit import submit
from webapp.text import clean, tidy
from webapp.views.connection import reading
from webapp.views.runs.presenters import run_path
from webapp.views.runs.submission import flash_submission, idempotency_key
from webapp.views.tasks import form as task_form
from webapp.views.tasks import statistics
from webapp.views.tasks.form import SubmittedForm

blueprint = Blueprint("tasks", __name__)


@blueprint.get("/tasks")
def index() -> str:
    """Show every task that can be run."""
    celery = celery_of(current_app)
    with reading() as connection:
        around = queries.system_status(connection)
        tasks = known_tasks(connection, celery)
        lately = statistics.lately(connection, tasks)
        about = summaries(connection, celery, tasks.values())
    rows = [
        {
            "task": task,
            "short_name": short_name(name),
            "summary": about[name],
            "queue": queue_for(current_app, task),
            "lately": lately.get(name),
        }
        for name, task in tasks.items()
    ]
    return render_template("tasks/index.html", around=around, tasks=rows, window=statistics.WINDOW_TEXT)


@blueprint.get("/task")
def form() -> str:
    """Show the form of a task, filled from the query (``p.x=1``, ``o.queue=slow``) or from the run named ``from``."""
    with reading() as connection:
        task, empty = task_form.known(connection, request.args.get("name", ""))
        shown, raw, options = empty, task_form.NO_CALL, Options()
        problems: list[str] = []
        if number := request.args.get("preset"):
            shown, problems, raw = task_form.filled_by_preset(connection, task, empty, number)
        elif source := request.args.get("from"):
            shown, problems, raw, options = task_form.filled_from(connection, empty, clean(source))
        elif any(name.startswith(("p.", "s.")) for name in request.args):
            shown = task_form.without_missing_errors(
                read(empty, request.args.to_dict(flat=False), task_form.zone()).form
            )
        linked = read_options(request.args, datetime.now(UTC), task_form.zone())
        options.typed |= {name: text for name, text in linked.typed.items() if text}
        options.errors = linked.errors
        task_form.refuse_taken_queue(options)
        return task_form.draw(connection, task, shown, raw=raw, options=options, problems=problems)


@blueprint.post("/task")
def start() -> Response | tuple[str, int] | str:
    """Start a run from the form; or only check it, keep it as a preset, or show the same call in another way."""
    typed, show = SubmittedForm.read(), request.form.get("show", "")
    if show == "check":
        return typed.checked()
    # Whoever presses Enter in the name of a preset presses neither button.
    named = not show and "run" not in request.form and request.form.get("preset", "").strip()
    if (show == "preset" or named) and typed.reading.ok:
        return _save(typed)
    if show or named:
        return typed.other(show if show in ("raw", "fields") else "call")
    return _launch(typed) if typed.ok else typed.again()


def _launch(typed: SubmittedForm) -> Response | tuple[str, int]:
    sent, options = request.form, typed.options
    name, args, kwargs = typed.task.name, typed.reading.args, typed.reading.kwargs
    about = {"note": options.note or None, "retry_of": tidy(sent.get("from")) or None}
    try:
        launched = submit(current_app, name, args, kwargs, idempotency_key(sent.get("key")), options.values, **about)
    except InvalidArgumentsError as fault:
        return typed.again(str(fault))
    flash_submission(launched)
    return redirect(url_for("pages.index") + run_path(launched.task_id), 303)


def _save(typed: SubmittedForm) -> Response | tuple[str, int]:
    """Keep what was typed as a preset, and show the form filled by it."""
    label, task = clean(request.form.get("preset", "")), typed.task.name
    try:
        with db.engine.begin() as connection:
            number = save(connection, task, label, typed.reading.args, typed.reading.kwargs)
    except InvalidArgumentsError as fault:
        return typed.again(str(fault))
    flash("The preset was saved.", "ok")
    return redirect(url_for("tasks.form", name=task, preset=number), 303)


@blueprint.post("/presets/<int:number>/remove")
def forget(number: int) -> Response:
    """Remove a preset, then show the form of its task."""
    with db.engine.begin() as connection:
        task = remove(connection, number)
    return redirect(url_for("tasks.form", name=task) if task else url_for("tasks.index"), 303)
