"""The recorder's hot statements as plain SQL, because taking 40 parameters a row through the toolkit costs more than
the database does."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Row

from webapp.history.copy import copy

PLAIN: Final = (
    "name queue origin root_id parent_id group_id eta expires retries created_at sent_at received_at started_at "
    "runtime".split()
)
KEYED: Final = (
    "state state_at clock outcome_exact outcome_at result exception traceback arguments_rank args kwargs worker "
    "worker_at progress_at progress_current progress_total doubt_at doubt steps changed".split()
)
INDEXED: Final = ("phase", "run_order", "wait_order")
"""Columns that stand in an index, which is left alone where they keep their value."""
READ: Final = ["id", "task_id", "publish_state", "renewed_after", *PLAIN, *KEYED, *INDEXED]
ADDED: Final = ["id", "task_id", "publish_attempts", *PLAIN, *KEYED, *INDEXED]
_INSERT: Final = f"INSERT INTO vase_task_runs ({', '.join(ADDED)}) VALUES ({', '.join('?' * len(ADDED))})"  # noqa: S608
_ADDED: Final = itemgetter(*ADDED)
_CHANGED: Final = itemgetter(*PLAIN, *KEYED)


def known(connection: Connection, task_ids: Collection[str]) -> dict[str, Row[Any]]:
    """Return the rows of these runs by task id, with the columns ``READ``."""
    sqlite = connection.dialect.name == "sqlite"
    # One parameter, however many they are, so that the statement is always the same.
    wanted = json.dumps(list(task_ids)) if sqlite else list(task_ids)
    among = "IN (SELECT value FROM json_each(?))" if sqlite else "= ANY(%s)"
    statement = f"SELECT {', '.join(READ)} FROM vase_task_runs WHERE task_id {among}"  # noqa: S608  # names from above
    return {row.task_id: row for row in connection.exec_driver_sql(statement, (wanted,)).all()}


def add(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, given by the names of ``ADDED``."""
    values = map(_ADDED, rows)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_INSERT, list(values))
    else:
        copy(connection, "vase_task_runs", ADDED, values)


def change(connection: Connection, rows: Sequence[tuple[Row[Any], dict[str, Any]]]) -> None:
    """Update rows, given as they were and by the names of ``PLAIN``, ``KEYED`` and ``INDEXED`` as they are to be."""
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    parts: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for before, values in rows:
        moved = tuple(name for name in INDEXED if values[name] != getattr(before, name))
        row = (*_CHANGED(values), *(values[name] for name in moved), before.id)
        parts.setdefault(moved, []).append(row)
    for moved, part in parts.items():
        connection.exec_driver_sql(_update(mark, moved), part)


@lru_cache(maxsize=16)
def _update(mark: str, moved: tuple[str, ...]) -> str:
    settings = ", ".join(f"{name} = {mark}" for name in (*PLAIN, *KEYED, *moved))
    return f"UPDATE vase_task_runs SET {settings} WHERE id = {mark}"  # noqa: S608
