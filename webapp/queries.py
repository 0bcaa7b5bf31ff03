"""What pages read, as SQLAlchemy Core: a page of runs, capped counts, one run, the state of the environment."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, TextClause, case, func, select, text, update

from webapp.models import Change, Recorder, TaskRun, Worker
from webapp.states import LIVE_RANK, READY_RANK, SUCCESS_RANK
from webapp.text import tidy

PAGE_SIZE: Final = 50
COUNT_CAP: Final = 10_000
NAMES_CAP: Final = 200
RECORDER_STALE: Final = 10.0
"""Seconds without a heartbeat after which a recorder is taken to be gone."""

runs = TaskRun.__table__
changes = Change.__table__
recorders = Recorder.__table__
workers = Worker.__table__

_LISTED: Final = [
    runs.c[name]
    for name in (
        "id task_id name state rank state_at changed created_at sent_at received_at started_at runtime args kwargs "
        "arguments_rank outcome_exact result exception worker retries progress_current progress_total publish_state "
        "publish_error"
    ).split()
]
# A list shows the beginning of a value; the whole of it may be 64 KB, fifty times.
_CLIP: Final = 240
_SELECT_LISTED: Final[Select[Any]] = select(
    *(
        func.substr(column, 1, _CLIP).label(column.name) if column.name in ("result", "exception") else column
        for column in _LISTED
    ),
    # Only a run that is about to be tried again shows what went wrong last.
    case((runs.c.state == "RETRY", runs.c.steps)).label("steps"),
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs a list shows: a state or a group of states, a task name, and where the page begins."""

    state: str = ""
    task: str = ""
    before: tuple[float, int] | None = None

    @classmethod
    def parse(cls, values: Any) -> Filter:
        """Read a filter from a query string; what makes no sense is left out."""
        return cls(
            tidy(values.get("state", "")) or "", tidy(values.get("task", "")) or "", _cursor(values.get("before"))
        )

    def to_params(self, **changed: Any) -> dict[str, Any]:
        """Return the query parameters of this filter, with some of them changed."""
        cursor = f"{self.before[0]!r}_{self.before[1]}" if self.before else ""
        params = {"state": self.state, "task": self.task, "before": cursor} | changed
        return {name: str(value) for name, value in params.items() if value}


def _cursor(value: str | None) -> tuple[float, int] | None:
    created_at, _, row_id = (value or "").partition("_")
    try:
        cursor = float(created_at), int(row_id)
    except ValueError:
        return None
    return cursor if math.isfinite(cursor[0]) and 0 <= cursor[1] < 2**63 else None


@dataclass(frozen=True, slots=True)
class Environment:
    """The state of the parts at a glance. ``broker_ok`` and ``workers`` are None when nobody knows."""

    version: int
    recorder_beat: float | None
    recorder_ok: bool
    broker_ok: bool | None
    broker_error: str | None
    workers: int | None


_ENVIRONMENT: Final = text(
    "SELECT version, beat_at, broker_ok, broker_error, "
    "(SELECT count(*) FROM workers WHERE online) FROM changes LEFT JOIN "
    "(SELECT beat_at, broker_ok, broker_error FROM recorders ORDER BY beat_at DESC LIMIT 1) AS r ON 1 = 1 WHERE id = 1"
)


def environment(connection: Connection) -> Environment:
    """Return the state of the parts, from what the recorder last wrote; one cheap query."""
    version, beat, broker_ok, broker_error, online = connection.execute(_ENVIRONMENT).one()
    alive = beat is not None and time.time() - beat < RECORDER_STALE
    return Environment(
        version, beat, alive, bool(broker_ok) if alive else None, broker_error, online if alive else None
    )


# A statement that is built once carries its key into SQLAlchemy's cache of compiled ones with it.
_BUMP: Final = (
    update(changes).where(changes.c.id == 1).values(version=changes.c.version + 1).returning(changes.c.version)
)


def bump(connection: Connection) -> int:
    """Begin a change: take the writers' turn and return the version that the change will have."""
    return int(connection.execute(_BUMP).scalar_one())


# The hot queries are SQL text: SQLAlchemy then finds the compiled form by the text alone, which costs a tenth of
# taking an expression apart. They are put together from these constants; what a visitor says is always a parameter.
_GROUPS: Final = {
    "live": f"rank <= {LIVE_RANK}",
    "success": f"rank = {SUCCESS_RANK}",
    "failure": "state = 'FAILURE'",
    "other": f"rank = {READY_RANK} AND state != 'FAILURE'",
}


def _conditions(wanted: Filter) -> list[str]:
    conditions = []
    if wanted.state:
        conditions.append(_GROUPS.get(wanted.state, "state = :state"))
    if wanted.task:
        conditions.append("name = :task")
    if wanted.before:
        conditions.append("(created_at, id) < (:before_at, :before_id)")
    return conditions


@lru_cache(maxsize=64)
def _page_statement(conditions: tuple[str, ...]) -> TextClause:
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return text(
        f"SELECT id, changed, rank, created_at FROM task_runs {where}"  # noqa: S608  # constants, see above
        f"ORDER BY created_at DESC, id DESC LIMIT {PAGE_SIZE + 1}"
    )


def page(connection: Connection, wanted: Filter) -> Sequence[Row[Any]]:
    """Return ``(id, changed, rank, created_at)`` of up to ``PAGE_SIZE`` + 1 runs, newest first.

    The one too many says that there is a next page.
    """
    before_at, before_id = wanted.before or (None, None)
    values = {"state": wanted.state, "task": wanted.task, "before_at": before_at, "before_id": before_id}
    statement = _page_statement(tuple(_conditions(wanted)))
    return connection.execute(statement, {name: values[name] for name in statement._bindparams}).all()


def listed(connection: Connection, ids: Sequence[int]) -> Sequence[Row[Any]]:
    """Return the runs with these row ids as a list shows them, in any order."""
    return connection.execute(_SELECT_LISTED.where(runs.c.id.in_(ids))).all()


@lru_cache(maxsize=2)
def _counts_statement(by_task: bool) -> TextClause:
    columns = []
    for condition in ("", *_GROUPS.values()):
        both = [part for part in (condition, "name = :task" if by_task else "") if part]
        where = f"WHERE {' AND '.join(both)} " if both else ""
        columns.append(
            f"(SELECT count(*) FROM (SELECT 1 FROM task_runs {where}LIMIT {COUNT_CAP + 1}) AS c)"  # noqa: S608
        )
    return text(f"SELECT {', '.join(columns)}")


def counts(connection: Connection, task: str) -> dict[str, int]:
    """Return how many runs each group of states has, "" for all; no count goes beyond ``COUNT_CAP`` + 1."""
    row = connection.execute(_counts_statement(bool(task)), {"task": task} if task else {}).one()
    return dict(zip(("", *_GROUPS), row, strict=True))


def task_names(connection: Connection) -> list[str]:
    """Return the names of tasks that have run, in order, at most ``NAMES_CAP``.

    It jumps through the index from name to name, so its cost grows with the names and not with the runs.
    """
    statement = text(
        "WITH RECURSIVE names(name) AS (SELECT (SELECT min(name) FROM task_runs) UNION ALL "
        "SELECT (SELECT min(name) FROM task_runs WHERE name > names.name) FROM names WHERE names.name IS NOT NULL) "
        "SELECT name FROM names WHERE name IS NOT NULL AND name != '' LIMIT :cap"
    )
    return list(connection.execute(statement, {"cap": NAMES_CAP}).scalars())


def run_by_id(connection: Connection, task_id: str) -> Row[Any] | None:
    """Return one run whole, or None."""
    return connection.execute(select(runs).where(runs.c.task_id == task_id)).one_or_none()
