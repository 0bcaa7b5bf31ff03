"""Starts a run: refuse what would harm, commit the row, publish the message."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any, Final

from flask import Flask
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from webapp.breaker import Breaker
from webapp.celery_app import celery_of
from webapp.checks import check_arguments, exact_json
from webapp.errors import BrokerError, RefusedError
from webapp.extensions import db
from webapp.known import Known
from webapp.outbox import Message, mark_held, mark_sent, new_row, publish, take
from webapp.queries import bump, runs
from webapp.signature.nodes import WrongError
from webapp.signature.tagged import untagged

_INSERT: Final = insert(runs)


@dataclass(frozen=True, slots=True)
class Launched:
    """What became of a submission: ``error`` is None when the broker has the message."""

    task_id: str
    error: str | None = None


def launch(
    app: Flask,
    name: str,
    args: list[Any],
    kwargs: dict[str, Any] | None = None,
    task_id: str | None = None,
    options: dict[str, Any] | None = None,
    **about: str | None,
) -> Launched:
    """Start a run of the task ``name`` and return its task id.

    The row is committed before the message is published, so an accepted run is never lost: while the broker is
    away it waits in the outbox. A ``task_id`` that has been used for the same call is that call, submitted twice;
    used for another call it is replaced. ``options`` are those of ``apply_async``: queue, eta and expires as ISO 8601,
    priority. ``about`` is kept with the row: ``note`` and ``retry_of``. Raises ``RefusedError`` for arguments that
    would harm a worker, before anything is stored.
    """
    check_arguments(*_without_tags(args, kwargs))
    _check_number(app, name, args, kwargs or {})
    exact = (exact_json(args), exact_json(kwargs or {}))
    asked = exact_json(options) if options else None
    message = Message(task_id or str(uuid.uuid4()), name, *exact, attempts=1, options=asked)
    breaker = breaker_of(app)
    held = None if breaker.allows() else breaker.error or "the broker was away a moment ago"
    known = _insert(app, message, held, about)
    if known is not None:
        if known == (message.name, message.args, message.kwargs):
            return Launched(message.task_id)
        return launch(app, name, args, kwargs, None, options, **about)
    return Launched(message.task_id, held) if held else _send(app, message)


def send_again(app: Flask, task_id: str) -> Launched | None:
    """Try once more to publish a run that waits or could not be sent; None when there is nothing to send."""
    message = take(db.engine, task_id)
    return _send(app, message) if message else None


def _send(app: Flask, message: Message) -> Launched:
    """Publish a message that this process owns, and note how that went."""
    sent_at = time.time()
    try:
        publish(app, message)
    except BrokerError as fault:
        breaker_of(app).failed(str(fault))
        with db.engine.begin() as connection:
            mark_held(connection, message, time.time(), str(fault))
        return Launched(message.task_id, str(fault))
    breaker_of(app).worked()
    with db.engine.begin() as connection:
        mark_sent(connection, [message.task_id], sent_at)
    return Launched(message.task_id)


def breaker_of(app: Flask) -> Breaker:
    """Return the breaker of this process."""
    breaker: Breaker = app.extensions.setdefault("breaker", Breaker())
    return breaker


def _without_tags(args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return the arguments with texts for the dates, decimals and the like that travel as dictionaries of two keys."""
    try:
        return untagged(args), untagged(kwargs)
    except (WrongError, RecursionError):
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
        raise RefusedError(f"{name}: {fault}.") from None


def _insert(
    app: Flask, message: Message, held: str | None, about: dict[str, str | None]
) -> tuple[str, str, str] | None:
    """Commit the row, or return the call that the row of that task id stands for already."""
    for _ in range(2):
        try:
            with db.engine.begin() as connection:
                values = new_row(app, message, time.time(), held) | about
                connection.execute(_INSERT, {**values, "changed": bump(connection)})
                # The list can be filtered by a new task at once, and its form offers these arguments.
                known: Known = app.extensions.setdefault("known", Known())
                known.note(connection, {("PENDING", message.name, None, values["queue"])}, time.time())
            return None
        except IntegrityError:
            with db.engine.connect() as connection:
                columns = select(runs.c.name, runs.c.args, runs.c.kwargs)
                row = connection.execute(columns.where(runs.c.task_id == message.task_id)).one_or_none()
            if row is not None:
                return row.name, row.args, row.kwargs
            # Nobody has the task id, so it was the id, made in the same microsecond; there is another one now.
    raise RefusedError("The run could not be written; try again.")
