"""What every page reads, as SQLAlchemy Core: lines of runs, one run, the state of the environment."""

from __future__ import annotations

import json
import time
from collections import namedtuple
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, case, func, select, text, update

from webapp.history.models import Cancel, Change, DeadLetter, Gap, Recorder, TaskRun, Worker, WorkerTask

RECORDER_STALE: Final = 10.0
"""Seconds without a heartbeat after which a recorder is taken to be gone."""

runs = TaskRun.__table__
changes = Change.__table__
recorders = Recorder.__table__
workers = Worker.__table__
worker_tasks = WorkerTask.__table__
dead_letters = DeadLetter.__table__
gaps = Gap.__table__
cancels = Cancel.__table__

_LISTED: Final = [
    runs.c[name]
    for name in (
        "id task_id name state phase state_at changed created_at sent_at received_at started_at runtime args kwargs "
        "arguments_rank outcome_exact result exception doubt worker retries progress_current progress_total "
        "publish_state publish_error eta"
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
_ListedRow: Any = namedtuple("_ListedRow", [*(column.name for column in _LISTED), "steps"])  # type: ignore[misc]


LIVE_TASKS: Final = (
    select(worker_tasks.c.hostname, worker_tasks.c.name, worker_tasks.c.schema_hash, workers.c.queues)
    .join(workers, (workers.c.hostname == worker_tasks.c.hostname) & (workers.c.pid == worker_tasks.c.pid))
    .where(workers.c.online)
)
"""The tasks that live worker processes know, each with the queues that its process reads, as JSON."""


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """The state of the parts at a glance. ``broker_ok`` and ``workers`` are None when nobody knows."""

    version: int
    recorder_beat: float | None
    recorder_ok: bool
    broker_ok: bool | None
    broker_error: str | None
    workers: int | None
    dead_letters: int = 0
    gaps: int = 0


_ENVIRONMENT: Final = text(
    "SELECT version, beat_at, broker_ok, broker_error, "
    "(SELECT count(*) FROM vase_workers WHERE online), "
    "(SELECT count(*) FROM vase_dead_letters), (SELECT count(*) FROM vase_gaps) FROM vase_changes LEFT JOIN "
    "(SELECT beat_at, broker_ok, broker_error FROM vase_recorders ORDER BY beat_at DESC LIMIT 1) AS r "
    "ON 1 = 1 WHERE id = 1"
)


def system_status(connection: Connection) -> SystemStatus:
    """Return the state of the parts, from what the recorder last wrote; one cheap query."""
    version, beat, broker_ok, broker_error, online, refused, gaps = connection.execute(_ENVIRONMENT).one()
    alive = beat is not None and time.time() - beat < RECORDER_STALE
    return SystemStatus(
        version, beat, alive, bool(broker_ok) if alive else None, broker_error, online if alive else None, refused, gaps
    )


# A statement that is built once carries its key into SQLAlchemy's cache of compiled ones with it.
_BUMP: Final = (
    update(changes).where(changes.c.id == 1).values(version=changes.c.version + 1).returning(changes.c.version)
)


_TIME: Final = {
    # To the millisecond; what gives it directly, SQLite has since 3.42 only.
    "sqlite": text("SELECT (julianday('now') - 2440587.5) * 86400.0"),
    "postgresql": text("SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision)"),
}


def database_time(connection: Connection) -> float:
    """Return the time by the database's clock, in seconds UTC, which is the same for all who ask."""
    return float(connection.execute(_TIME[connection.dialect.name]).scalar_one())


def bump(connection: Connection) -> int:
    """Begin a change: take the writers' turn and return the version that the change will have."""
    return int(connection.execute(_BUMP).scalar_one())


_TURN: Final = update(changes).where(changes.c.id == 1).values(version=changes.c.version)


def take_turn(connection: Connection) -> None:
    """Take the writers' turn for a change that no page shows."""
    connection.execute(_TURN)


AMONG: Final = {
    "sqlite": "vase_task_runs.id IN (SELECT value FROM json_each(:ids))",
    "postgresql": "vase_task_runs.id = ANY(CAST(:ids AS bigint[]))",
}
"""The condition that a run is one of many, by dialect; as a parameter for each it would cost more than the search."""
_LISTED_AMONG: Final = {dialect: _SELECT_LISTED.where(text(condition)) for dialect, condition in AMONG.items()}


def among(connection: Connection, ids: Sequence[int]) -> str | list[int]:
    """Return the value of ``:ids`` in ``AMONG``."""
    return json.dumps(ids) if connection.dialect.name == "sqlite" else list(ids)


def listed(connection: Connection, ids: Sequence[int]) -> Iterator[Any]:
    """Return the runs with these row ids as a list shows them, in any order."""
    rows = connection.execute(_LISTED_AMONG[connection.dialect.name], {"ids": among(connection, ids)})
    # A line reads thirty values, each of which a row of the toolkit's own finds in ten times the time.
    return map(_ListedRow._make, rows.all())


def pool_of(connection: Connection, hostname: str | None) -> str | None:
    """Return which kind of pool a worker has, that of the process heard last where several have one name."""
    said = select(workers.c.pool).where(workers.c.hostname == hostname, workers.c.pool.is_not(None))
    return connection.execute(said.order_by(workers.c.online.desc(), workers.c.seen_at.desc()).limit(1)).scalar()


def run_by_id(connection: Connection, task_id: str) -> Row[Any] | None:
    """Return one run whole, or None."""
    return connection.execute(select(runs).where(runs.c.task_id == task_id)).one_or_none()


def queues_read(connection: Connection) -> set[str]:
    """Return the queues that known workers said they read, those included that are away: their messages went back."""
    told = connection.execute(select(workers.c.queues).where(workers.c.queues.is_not(None))).scalars()
    return {str(name) for names in told for name in json.loads(names)}
