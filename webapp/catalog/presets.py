"""Named calls of a task, kept to be filled in with one click."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select

from webapp.errors import InvalidArgumentsError
from webapp.history.models import Preset
from webapp.runs.arguments import exact_json

presets = Preset.__table__

LABEL_MAX: Final = 100
PRESETS_MAX: Final = 50
"""Most presets of a task."""


@dataclass(frozen=True, slots=True)
class Call:
    """A preset, and the call that it stands for."""

    id: int
    label: str
    args: list[Any]
    kwargs: dict[str, Any]


def presets_of(connection: Connection, task: str) -> list[Call]:
    """Return the presets of a task by their names."""
    query = select(presets).where(presets.c.task == task).order_by(presets.c.label).limit(PRESETS_MAX)
    return [Call(row.id, row.label, **json.loads(row.call)) for row in connection.execute(query)]


def save(connection: Connection, task: str, label: str, args: list[Any], kwargs: dict[str, Any]) -> int:
    """Keep a call under a name and return its number; one of the same name is replaced.

    Raises ``InvalidArgumentsError`` without a fit name.
    """
    label = " ".join(label.split())
    if not 0 < len(label) <= LABEL_MAX:
        raise InvalidArgumentsError(f"Give the preset a name of at most {LABEL_MAX} characters.")
    call = exact_json({"args": args, "kwargs": kwargs})
    connection.execute(delete(presets).where(presets.c.task == task, presets.c.label == label))
    if len(presets_of(connection, task)) >= PRESETS_MAX:
        raise InvalidArgumentsError(f"A task may have {PRESETS_MAX} presets; remove one first.")
    new = insert(presets).values(task=task, label=label, call=call).returning(presets.c.id)
    return int(connection.execute(new).scalar_one())


def remove(connection: Connection, number: int) -> str | None:
    """Remove a preset; return the name of its task, or None where it was gone."""
    task = connection.execute(select(presets.c.task).where(presets.c.id == number)).scalar()
    connection.execute(delete(presets).where(presets.c.id == number))
    return task
