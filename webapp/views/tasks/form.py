"""The form of one task: what fills it, what was typed into it, and how it is drawn."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from flask import abort, current_app, render_template, request
from sqlalchemy import Connection

from webapp.actions.retry import original_call, retry_options
from webapp.broker.redis_keys import check_queue
from webapp.catalog.presets import presets_of
from webapp.catalog.tasks import KnownTask, known_tasks, queue_for, recent_calls, schema_for
from webapp.celery_app import celery_of, publisher_of
from webapp.errors import ActionNotAllowedError, InvalidArgumentsError
from webapp.formatting import short_name
from webapp.forms.calls import fill, raw_of, read_raw
from webapp.forms.fields import Field, Form, form_of
from webapp.forms.parse import BoundForm, read
from webapp.forms.preview import preview
from webapp.history import queries
from webapp.history.facets import facets
from webapp.outbox.options import Options, read_options
from webapp.search.query import known_zone, zone_of
from webapp.text import NAME_MAX, clean
from webapp.views.connection import reading
from webapp.views.runs.presenters import clip

RECENT_SHOWN: Final = 5
PAGE: Final = "tasks/form.html"
NO_CALL: Final = raw_of([], {})


def known(connection: Connection, name: str) -> tuple[KnownTask, Form]:
    """Return a task and its form; one that nobody knows can be sent all the same, which the page says."""
    name = clean(name)
    if not name or len(name) > NAME_MAX:
        abort(404)
    celery = celery_of(current_app)
    task = known_tasks(connection, celery).get(name) or KnownTask(name)
    return task, form_of(schema_for(connection, celery, task))


def filled_by_preset(connection: Connection, task: KnownTask, empty: Form, number: str) -> tuple[Form, list[str], str]:
    """Return the form with the arguments of a preset, and what of them it cannot take any more."""
    preset = next((one for one in presets_of(connection, task.name) if str(one.id) == number), None)
    if preset is None:
        return empty, ["This preset is gone."], NO_CALL
    filled = fill(empty, preset.args, preset.kwargs, zone())
    return filled.form, filled.problems, raw_of(preset.args, preset.kwargs)


def filled_from(connection: Connection, empty: Form, task_id: str) -> tuple[Form, list[str], str, Options]:
    """Return the form with the arguments of a run, and what of them it cannot take."""
    row = queries.run_by_id(connection, task_id)
    if row is None:
        return empty, ["The run is not known any more."], NO_CALL, Options()
    kept = retry_options(current_app, connection, [row])[0]
    options = Options({name: str(kept[name]) for name in kept})
    try:
        args, kwargs = original_call(row)
    except ActionNotAllowedError as fault:
        return empty, [f"{fault} It reads {row.args or 'nothing'} {row.kwargs or ''}".strip()], NO_CALL, options
    filled = fill(empty, args, kwargs, zone())
    return filled.form, filled.problems, raw_of(args, kwargs), options


@dataclass(frozen=True, slots=True)
class SubmittedForm:
    """What somebody typed into the form of a task, as fields or as JSON, and what it means."""

    task: KnownTask
    reading: BoundForm
    options: Options
    as_raw: bool

    @classmethod
    def read(cls) -> SubmittedForm:
        """Read the form that was sent."""
        sent = request.form
        with reading() as connection:
            task, empty = known(connection, sent.get("name", ""))
        options = refuse_taken_queue(read_options(sent, datetime.now(UTC), zone()))
        if sent.get("mode") != "raw":
            return cls(task, read(empty, sent.to_dict(flat=False), zone()), options, False)
        args, kwargs, errors = read_raw(sent.get("raw", ""), empty, zone())
        return cls(task, BoundForm(args, kwargs, empty, errors), options, True)

    @property
    def ok(self) -> bool:
        """Whether it can be sent."""
        return self.reading.ok and not self.options.errors

    @property
    def call(self) -> str:
        """The call as Python, empty while something is wrong with it."""
        name = short_name(self.task.name)
        return preview(name, self.reading.args, self.reading.kwargs, self.options.values) if self.ok else ""

    def again(self, problem: str = "") -> tuple[str, int]:
        """Show the same form with what is wrong beside each field, as the answer to one that cannot be accepted."""
        problems = [problem] if problem else self.reading.errors
        return self._draw(PAGE, self.reading.form, problems=problems), 422

    def other(self, show: str) -> tuple[str, int] | str:
        """Show the same call as JSON (``raw``), as ``fields``, or beside it as Python (``call``)."""
        if not (self.ok if show == "call" else self._is_readable):
            return self.again()
        filled = fill(self.reading.form, self.reading.args, self.reading.kwargs, zone())
        more = {"raw": raw_of(self.reading.args, self.reading.kwargs)} | ({"mode": show} if show != "call" else {})
        return self._draw(PAGE, filled.form, problems=filled.problems, call=self.call, **more)

    @property
    def _is_readable(self) -> bool:
        """Whether there are values to be shown in another way, though some may be missing."""
        if self.as_raw:
            return not read_raw(request.form.get("raw", ""), Form(reason="any call"))[2]
        return not self.reading.errors and not without_missing_errors(self.reading.form).wrong

    def checked(self) -> str:
        """Show what is wrong so far, and the call as soon as there is one, to somebody who is still typing."""
        shown = without_missing_errors(self.reading.form)
        tops = zip(self.reading.form.fields, shown.fields, strict=True)
        missing = [item.label for item, calm in tops if item.error and not calm.error]
        # Only what JSON says is never half typed: its reader has paused.
        problems = self.reading.errors if not missing else []
        return self._draw("tasks/_call.html", shown, problems=problems, call=self.call, missing=missing, wrong=None)

    def _draw(self, template: str, shown: Form, **more: Any) -> str:
        raw, mode = (request.form.get("raw", ""), "raw") if self.as_raw else (NO_CALL, "fields")
        with reading() as connection:
            return draw(
                connection,
                self.task,
                shown,
                **{"template": template, "raw": raw, "mode": mode, **more, "options": self.options},
            )


def draw(
    connection: Connection, task: KnownTask, shown: Form, mode: str = "", template: str = PAGE, **more: Any
) -> str:
    """Return the page of a task's form, or only the part of it that is to be sent."""
    context: dict[str, Any] = {
        "around": queries.system_status(connection),
        "task": task,
        "short_name": short_name(task.name),
        "form": shown,
        "mode": "raw" if shown.raw_only else mode or "fields",
        "queue": queue_for(current_app, task),
        "queues": facets(connection)["queue"],
        "key": uuid.uuid4(),
        "from_run": request.values.get("from", ""),
        "zone": known_zone(request.values.get("zone", "")),
        "different": len(task.schemas) > 1,
        "wrong": next((item for top in shown.fields for item in top.walk() if item.error), None),
        "call": "",
        **more,
    }
    if template == PAGE:
        context |= {"recent": _recent(connection, task.name), "presets": presets_of(connection, task.name)}
    return render_template(template, **context)


def _recent(connection: Connection, name: str) -> list[tuple[str, str]]:
    """Return the task ids of the latest calls that differ, and how each begins; a whole one may have 256 KB."""
    calls: dict[str, str] = {}
    for task_id, args, kwargs in recent_calls(connection, name):
        calls.setdefault(preview(short_name(name), args, kwargs, {}), task_id)
        if len(calls) == RECENT_SHOWN:
            break
    return [(task_id, clip(call)) for call, task_id in calls.items()]


def zone() -> Any:
    """Return the time zone of whoever sent this request."""
    return zone_of(request.values.get("zone", ""))


def refuse_taken_queue(options: Options) -> Options:
    """Say beside the field that a queue's name belongs to something else in the broker."""
    try:
        check_queue(publisher_of(current_app), options.typed.get("queue", ""))
    except InvalidArgumentsError as fault:
        options.errors["queue"] = str(fault)
    return options


def without_missing_errors(shown: Form) -> Form:
    """Return a form that was opened by a link: what the link left out is no fault of its reader yet."""

    def calm(item: Field) -> Field:
        error = item.error if item.value or item.state else ""
        return replace(item, error=error, children=tuple(calm(child) for child in item.children))

    return replace(shown, fields=tuple(calm(item) for item in shown.fields))
