"""The catalogue of tasks and the form of each."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from sqlalchemy import Connection
from werkzeug.wrappers import Response

from webapp import queries
from webapp.again import exact_call, kept_options
from webapp.catalogue import KnownTask, known_tasks, queue_for, recent_calls, schema_for
from webapp.celery_app import celery_of
from webapp.errors import NotAllowedError, RefusedError
from webapp.extensions import db
from webapp.filters import zone_of
from webapp.fmt import short_name
from webapp.known import offered
from webapp.launching import launch
from webapp.options import Options, read_options
from webapp.presets import presets_of, remove, save
from webapp.signature.calls import fill, raw_of, read_raw
from webapp.signature.fields import Field, Form, form_of
from webapp.signature.preview import preview
from webapp.signature.reading import Reading, read
from webapp.text import clean
from webapp.views import recent
from webapp.views.launched import key_of, tell_how_it_went
from webapp.views.present import run_path

blueprint = Blueprint("tasks", __name__)

RECENT_SHOWN: Final = 5


@blueprint.get("/tasks")
def index() -> str:
    """Show every task that can be run."""
    celery = celery_of(current_app)
    with db.engine.connect() as connection:
        around = queries.environment(connection)
        tasks = known_tasks(connection, celery)
        lately = recent.lately(connection)
        rows = [_entry(connection, task, lately.get(task.name)) for task in tasks.values()]
    return render_template("tasks/index.html", around=around, tasks=rows, window=recent.WINDOW_TEXT)


def _entry(connection: Connection, task: KnownTask, lately: recent.Lately | None) -> dict[str, Any]:
    schema = schema_for(connection, celery_of(current_app), task)
    return {
        "task": task,
        "short_name": short_name(task.name),
        "summary": form_of(schema).summary,
        "queue": queue_for(current_app, task),
        "lately": lately,
    }


@blueprint.get("/task")
def form() -> str:
    """Show the form of a task, filled from the query (``p.x=1``), or from the run named by ``from``."""
    with db.engine.connect() as connection:
        task, empty = _known(connection, request.args.get("name", ""))
        shown, raw, options = empty, raw_of([], {}), Options()
        problems: list[str] = []
        if number := request.args.get("preset"):
            shown, problems, raw = _filled_by_preset(connection, task, empty, number)
        elif source := request.args.get("from"):
            shown, problems, raw, options = _filled_from(connection, empty, clean(source))
        elif any(name.startswith(("p.", "s.")) for name in request.args):
            shown = _without_missing(read(empty, request.args.to_dict(flat=False), _zone()).form)
        return _render(connection, task, shown, raw=raw, options=options, problems=problems)


def _filled_by_preset(connection: Connection, task: KnownTask, empty: Form, number: str) -> tuple[Form, list[str], str]:
    """Return the form with the arguments of a preset, and what of them it cannot take any more."""
    preset = next((one for one in presets_of(connection, task.name) if str(one.id) == number), None)
    if preset is None:
        return empty, ["This preset is gone."], raw_of([], {})
    filled = fill(empty, preset.args, preset.kwargs, _zone())
    return filled.form, filled.problems, raw_of(preset.args, preset.kwargs)


def _filled_from(connection: Connection, empty: Form, task_id: str) -> tuple[Form, list[str], str, Options]:
    """Return the form with the arguments of a run, and what of them it cannot take."""
    row = queries.run_by_id(connection, task_id)
    if row is None:
        return empty, ["The run is not known any more."], raw_of([], {}), Options()
    kept = kept_options(row)
    options = Options({name: str(kept[name]) for name in kept})
    try:
        args, kwargs = exact_call(row)
    except NotAllowedError as fault:
        return empty, [f"{fault} It reads {row.args or 'nothing'} {row.kwargs or ''}".strip()], raw_of([], {}), options
    filled = fill(empty, args, kwargs, _zone())
    return filled.form, filled.problems, raw_of(args, kwargs), options


@blueprint.post("/task")
def start() -> Response | tuple[str, int] | str:
    """Start a run from the form; or only show the same call as JSON, as fields, or as Python."""
    typed = request.form
    with db.engine.connect() as connection:
        task, empty = _known(connection, typed.get("name", ""))
        options = read_options(typed, datetime.now(UTC), _zone())
        as_raw = typed.get("mode") == "raw"
        reading = _read_raw(empty, typed.get("raw", "")) if as_raw else read(empty, typed.to_dict(flat=False), _zone())
        show = typed.get("show", "")
        if show == "preset" and reading.ok:
            return _save(task, reading, options, as_raw)
        if show:
            return _shown(connection, task, reading, options, show, as_raw)
        if not reading.ok or options.errors:
            return _again(connection, task, reading, options, as_raw), 422
        if not task.imported:
            # Our own routes know nothing of it.
            options.values.setdefault("queue", queue_for(current_app, task))
        try:
            about = {"note": options.note or None, "retry_of": clean(typed["from"]) if typed.get("from") else None}
            launched = launch(
                current_app, task.name, reading.args, reading.kwargs, key_of(typed.get("key")), options.values, **about
            )
        except RefusedError as fault:
            return _again(connection, task, replace(reading, errors=[str(fault)]), options, as_raw), 422
    tell_how_it_went(launched)
    return redirect(url_for("pages.index") + run_path(launched.task_id), 303)


def _save(task: KnownTask, reading: Reading, options: Options, as_raw: bool) -> Response | tuple[str, int]:
    """Keep what was typed as a preset, and show the form filled by it."""
    label = clean(request.form.get("preset", ""))
    with db.engine.begin() as connection:
        try:
            save(connection, task.name, label, reading.args, reading.kwargs)
        except RefusedError as fault:
            return _again(connection, task, replace(reading, errors=[str(fault)]), options, as_raw), 422
        number = next(one.id for one in presets_of(connection, task.name) if one.label == " ".join(label.split()))
    flash("The preset was saved.", "ok")
    return redirect(url_for("tasks.form", name=task.name, preset=number), 303)


@blueprint.post("/presets/<int:number>/remove")
def forget(number: int) -> Response:
    """Remove a preset, then show the form of its task."""
    with db.engine.begin() as connection:
        task = remove(connection, number)
    return redirect(url_for("tasks.form", name=task) if task else url_for("tasks.index"), 303)


def _read_raw(empty: Form, text: str) -> Reading:
    args, kwargs, errors = read_raw(text, empty, _zone())
    return Reading(args, kwargs, empty, errors)


def _shown(
    connection: Connection, task: KnownTask, reading: Reading, options: Options, show: str, as_raw: bool
) -> tuple[str, int] | str:
    """Show what was typed in the other way; while something is wrong with it, in the same way with the reason."""
    if not reading.ok:
        return _again(connection, task, reading, options, as_raw), 422
    filled = fill(reading.form, reading.args, reading.kwargs, _zone())
    raw = raw_of(reading.args, reading.kwargs)
    mode = {"raw": "raw", "fields": "fields"}.get(show, "raw" if as_raw else "fields")
    call = preview(short_name(task.name), reading.args, reading.kwargs, options.values) if show == "call" else ""
    return _render(
        connection, task, filled.form, raw=raw, options=options, problems=filled.problems, mode=mode, call=call
    )


def _again(connection: Connection, task: KnownTask, reading: Reading, options: Options, as_raw: bool) -> str:
    raw = request.form.get("raw", "") if as_raw else raw_of([], {})
    mode = "raw" if as_raw else "fields"
    return _render(connection, task, reading.form, raw=raw, options=options, problems=reading.errors, mode=mode)


def _known(connection: Connection, name: str) -> tuple[KnownTask, Form]:
    """Return a task and its form; one that nobody knows can be sent all the same, which the page says."""
    name = clean(name)
    if not name:
        abort(404)
    celery = celery_of(current_app)
    task = known_tasks(connection, celery).get(name) or KnownTask(name)
    return task, form_of(schema_for(connection, celery, task))


def _render(connection: Connection, task: KnownTask, shown: Form, mode: str = "", **more: Any) -> str:
    calls = recent_calls(connection, task.name)[:RECENT_SHOWN]
    context: dict[str, Any] = {
        "around": queries.environment(connection),
        "task": task,
        "short_name": short_name(task.name),
        "form": shown,
        "mode": "raw" if shown.raw_only else mode or "fields",
        "queue": queue_for(current_app, task),
        "queues": offered(connection)["queue"],
        "recent": [(task_id, preview(short_name(task.name), args, kwargs, {})) for task_id, args, kwargs in calls],
        "presets": presets_of(connection, task.name),
        "key": uuid.uuid4(),
        "from_run": request.values.get("from", ""),
        "zone": request.values.get("zone", ""),
        "different": len(task.schemas) > 1,
        "wrong": next((item for top in shown.fields for item in top.walk() if item.error), None),
        "call": "",
        **more,
    }
    return render_template("tasks/form.html", **context)


def _zone() -> Any:
    return zone_of(request.values.get("zone", ""))


def _without_missing(shown: Form) -> Form:
    """Return a form that was opened by a link: what the link left out is no fault of its reader yet."""

    def calm(item: Field) -> Field:
        error = item.error if item.value or item.state else ""
        return replace(item, error=error, children=tuple(calm(child) for child in item.children))

    return replace(shown, fields=tuple(calm(item) for item in shown.fields))
