"""Starts a run: refuse what would harm, commit the row, publish the message."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from flask import Flask
from sqlalchemy import Row, insert, select
from sqlalchemy.exc import IntegrityError

from webapp.broker.redis_keys import check_queue
from webapp.celery_app import celery_of, publisher_of
from webapp.errors import BrokerError, InvalidArgumentsError, UnexplainedError
from webapp.extensions import db
from webapp.forms.json_schema import ValidationError
from webapp.forms.json_values import untagged
from webapp.history.queries import bump, database_time, runs
from webapp.outbox.destinations import with_queue
from webapp.outbox.relay import Message, delivered_before, new_row, queue_of, send, take
from webapp.runs.arguments import check_arguments, exact_json
from webapp.services import services_of
from webapp.text import NAME_MAX

SAME_SECONDS: Final = 30.0
"""Seconds by which the times of two submissions may differ that are one form, sent twice."""
_INSERT: Final = insert(runs)


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a submission: both faults are None when the broker has the message.

    After ``error`` it is sent when the broker is back; ``unsendable`` is why it cannot be.
    """

    task_id: str
    error: str | None = None
    unsendable: str | None = None


def submit(
    app: Flask,
    name: str,
    args: list[Any],
    kwargs: dict[str, Any] | None = None,
    task_id: str | None = None,
    options: dict[str, Any] | None = None,
    **about: str | None,
) -> Submission:
    """Start a run of the task ``name`` and return its task id.

    The row is committed before the message is published, so an accepted run is never lost: while the broker is
    away it waits in the outbox. A ``task_id`` that has been used for the same call is that call, submitted twice;
    used for another call it is replaced. ``options`` are those of ``apply_async``: queue, eta and expires as ISO 8601,
    priority. ``about`` is kept with the row: ``note`` and ``retry_of``. Raises ``InvalidArgumentsError`` for
    arguments that would harm a worker, and for a queue that is none, before anything is stored.
    """
    with db.engine.connect() as connection:
        options = with_queue(app, connection, name, options)
    check_call(app, name, args, kwargs or {}, options)
    exact = (exact_json(args), exact_json(kwargs or {}))
    asked = exact_json(options) if options else None
    message = Message(task_id or str(uuid.uuid4()), name, *exact, attempts=1, options=asked)
    breaker = services_of(app).circuit_breaker
    held = None if breaker.allow() else breaker.error or "the broker was away a moment ago"
    known = _insert(app, message, held, about)
    if known is not None:
        if _is_same(known, message):
            return Submission(message.task_id)
        return submit(app, name, args, kwargs, None, options, **about)
    return Submission(message.task_id, held) if held else _send(app, message)


def resend(app: Flask, task_id: str) -> Submission | None:
    """Try once more to publish a run that waits or could not be sent; None when there is nothing to send."""
    message = take(db.engine, task_id)
    return _send(app, message, delivered_before(app, [message])) if message else None


def _send(app: Flask, message: Message, there: Collection[str] = ()) -> Submission:
    """Publish a message that this process owns, and tell the breaker how that went."""
    try:
        fault = send(app, db.engine, message, there)
    except BrokerError as broker_fault:
        if not isinstance(broker_fault, UnexplainedError):
            services_of(app).circuit_breaker.record_failure(str(broker_fault))
        return Submission(message.task_id, str(broker_fault))
    services_of(app).circuit_breaker.record_success()
    return Submission(message.task_id, unsendable=fault)


def _is_same(row: Row[Any], message: Message) -> bool:
    """Say whether a row stands for this very call; a time that was typed as a span from now is a little later now."""
    if (row.name, row.args, row.kwargs) != (message.name, message.args, message.kwargs):
        return False
    before, after = (json.loads(options) if options else {} for options in (row.options, message.options))
    times = [(before.pop(name, None), after.pop(name, None)) for name in ("eta", "expires")]
    return before == after and all(one == other or _are_near(one, other) for one, other in times)


def _are_near(one: str | None, other: str | None) -> bool:
    if not one or not other:
        return False
    seconds = (datetime.fromisoformat(one) - datetime.fromisoformat(other)).total_seconds()
    return abs(seconds) < SAME_SECONDS


def check_call(
    app: Flask, name: str, args: list[Any], kwargs: dict[str, Any], options: dict[str, Any] | None = None
) -> None:
    """Raise ``InvalidArgumentsError`` for arguments that would harm a worker, or that the task's code cannot take.

    The same for a queue, asked for or by the routes of the app, whose name belongs to something else in the broker.
    """
    if len(name) > NAME_MAX:
        raise InvalidArgumentsError(f"A task's name has at most {NAME_MAX} characters.")
    check_arguments(*_without_tags(args, kwargs))
    _check_number(app, name, args, kwargs)
    check_queue(publisher_of(app), (options or {}).get("queue") or queue_of(app, name))


def _without_tags(args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return the arguments with texts for the dates, decimals and the like that travel as dictionaries of two keys."""
    try:
        return untagged(args), untagged(kwargs)
    except (ValidationError, RecursionError):
        # Whoever checks them says what is wrong.
        return args, kwargs


def _check_number(app: Flask, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Refuse too few, too many or unknown arguments, as ``delay`` does, where the task's code is at hand."""
    task = celery_of(app).tasks.get(name)
    # A task that is a class of its own has no header.
    header = getattr(task, "__header__", None)
    if header is None or not task.typing:
        return
    try:
        header(*args, **kwargs)
    except TypeError as fault:
        raise InvalidArgumentsError(f"{name}: {fault}.") from None


def _insert(app: Flask, message: Message, held: str | None, about: dict[str, str | None]) -> Row[Any] | None:
    """Commit the row, or return the call that the row of that task id stands for already."""
    for _ in range(2):
        try:
            with db.engine.begin() as connection:
                values = new_row(app, message, time.time(), held, lease_from=database_time(connection)) | about
                connection.execute(_INSERT, {**values, "changed": bump(connection)})
                # The list can be filtered by a new task at once, and its form offers these arguments.
                services_of(app).facets.note(
                    connection, {("PENDING", message.name, None, values["queue"])}, time.time()
                )
            return None
        except IntegrityError:
            with db.engine.connect() as connection:
                columns = select(runs.c.name, runs.c.args, runs.c.kwargs, runs.c.options)
                row = connection.execute(columns.where(runs.c.task_id == message.task_id)).one_or_none()
            if row is not None:
                return row
            # Nobody has the task id, so it was the id, made in the same microsecond; there is another one now.
    raise InvalidArgumentsError("The run could not be written; try again.")
