"""Runs a run again: with the exact arguments that are kept, under a new task id, or not at all."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final

from flask import Flask
from sqlalchemy import Connection, Row, or_, select

from webapp.errors import ActionNotAllowedError
from webapp.history.queries import runs
from webapp.outbox.destinations import choose, queues_of_tasks
from webapp.runs.merge import STORED

_RELATED: Final = [
    runs.c[name] for name in "id task_id state phase publish_state retries retry_of created_at eta steps".split()
]
RELATED_MAX: Final = 50
"""Most retries of a run that are linked."""
KEPT_OPTIONS: Final = ("queue", "priority")
"""What a new run keeps of the options of the old one; a time that was set belongs to the old one alone."""


def original_call(row: Row[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a run as they were.

    Raises ``ActionNotAllowedError``, with the reason in words, where only a shortened text of them is known;
    nothing is ever evaluated to guess the rest.
    """
    if not row.name:
        raise ActionNotAllowedError("Nobody has told yet which task this run is of.")
    if row.args is None:
        raise ActionNotAllowedError("The arguments of this run are not known.")
    if row.arguments_rank < STORED:
        raise ActionNotAllowedError(
            "Only a shortened text of this run's arguments is known, as abridged in Celery's event."
        )
    try:
        args, kwargs = json.loads(row.args), json.loads(row.kwargs or "{}")
    except (ValueError, RecursionError):
        raise ActionNotAllowedError("The arguments of this run are too long to have been kept whole.") from None
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise ActionNotAllowedError("The arguments that are kept of this run are not a list and a dictionary.")
    return args, kwargs


def inherited_options(row: Row[Any]) -> dict[str, Any]:
    """Return the options with which a new run is to be sent: the queue, above all, where it went."""
    asked: dict[str, Any] = json.loads(row.options) if row.options else {}
    if row.queue:
        asked.setdefault("queue", row.queue)
    return {name: asked[name] for name in KEPT_OPTIONS if name in asked}


def related(connection: Connection, row: Row[Any]) -> list[Row[Any]]:
    """Return the runs that this one was run again from and as, oldest first."""
    same = runs.c.retry_of == row.task_id
    if row.retry_of:
        # Only then: no index tells SQLite that no task id is NULL, and it would look through the whole table.
        same = or_(same, runs.c.task_id == row.retry_of)
    query = select(*_RELATED).where(same).order_by(runs.c.id).limit(RELATED_MAX)
    return list(connection.execute(query))


def executions(connection: Connection, row: Row[Any]) -> list[Row[Any]]:
    """Return the other executions of a run's task id, the latest first."""
    first = row.earlier_of or row.task_id
    same = or_(runs.c.earlier_of == first, runs.c.task_id == first)
    query = select(*_RELATED).where(same, runs.c.id != row.id).order_by(runs.c.id.desc()).limit(RELATED_MAX)
    return list(connection.execute(query))


def retry_options(app: Flask, connection: Connection, rows: Collection[Row[Any]]) -> list[dict[str, Any]]:
    """Return, for each run, the options with which it is to be run again."""
    read = queues_of_tasks(connection, {row.name for row in rows})
    found = []
    for row in rows:
        options = inherited_options(row)
        queue = choose(app, row.name, read[row.name], options.pop("queue", None))
        found.append(options | ({"queue": queue} if queue else {}))
    return found
