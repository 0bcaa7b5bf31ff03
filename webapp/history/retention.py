"""Removes ended runs that are older than they need be, a few at a time, so that nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, func, select

from webapp.history import facets, index
from webapp.history.queries import bump, cancels, dead_letters, gaps, runs, take_turn
from webapp.runs.ids import first_id
from webapp.runs.states import FAILURE, LIVE, OTHER, SUCCESS

BATCH: Final = 500
PAUSE: Final = 0.05
"""Seconds between batches, in which others write."""
PHASES: Final = {"success": SUCCESS, "failure": FAILURE, "other": OTHER}
DAY: Final = 86400.0
NOTES_KEPT: Final = 30 * DAY
"""Seconds for which gaps and dead letters are shown."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Ended runs of a phase, or of any, that were made before an id are removed."""

    name: str
    phase: int | None
    before: int


def rules(connection: Connection, days: Mapping[str, float], runs_max: int, now: float) -> Iterator[Rule]:
    """Yield what is to be removed by now (seconds UTC); 0 days, or 0 runs, keep everything."""
    for outcome, number in days.items():
        if number:
            yield Rule(f"{outcome}, older than {number:g} days", PHASES[outcome], first_id(now - number * DAY))
    if runs_max:
        newest = select(runs.c.id).where(runs.c.phase != LIVE).order_by(runs.c.id.desc()).offset(runs_max - 1).limit(1)
        last = connection.execute(newest).scalar()
        if last is not None:
            yield Rule(f"beyond the newest {runs_max:,}", None, last)


def _old(rule: Rule, *columns: Any) -> Any:
    of_phase = runs.c.phase != LIVE if rule.phase is None else runs.c.phase == rule.phase
    return select(*columns).where(of_phase, runs.c.id < rule.before)


def count(connection: Connection, rule: Rule) -> int:
    """Return how many runs a rule would remove."""
    return int(connection.execute(_old(rule, func.count())).scalar_one())


def prune_some(engine: Engine, rule: Rule) -> int:
    """Remove the oldest runs of a rule, at most ``BATCH``, with their words; return how many."""
    with engine.connect() as connection:
        if connection.execute(_old(rule, runs.c.id).limit(1)).first() is None:
            return 0
    with engine.begin() as connection:
        bump(connection)
        rows = connection.execute(_old(rule, *index.COLUMNS, runs.c.task_id).order_by(runs.c.id).limit(BATCH)).all()
        index.update_index(connection, [(row.id, index.tokens_of(row._mapping)) for row in rows], [])
        connection.execute(delete(cancels).where(cancels.c.task_id.in_([row.task_id for row in rows])))
        connection.execute(delete(runs).where(runs.c.id.in_([row.id for row in rows])))
    return len(rows)


def prune(engine: Engine, days: Mapping[str, float], runs_max: int, seconds: float) -> int:
    """Remove what is old for at most so many seconds; return how many runs went."""
    now, end, gone = time.time(), time.monotonic() + seconds, 0
    with engine.connect() as connection:
        found = list(rules(connection, days, runs_max, now))
    for rule in found:
        while time.monotonic() < end and (removed := prune_some(engine, rule)):
            gone += removed
            _shrink(engine)
            time.sleep(PAUSE)
    return gone


def _shrink(engine: Engine) -> None:
    """Give pages that became free back to the file system; PostgreSQL does so by itself."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            # It frees a page with each step, and only fetching makes the driver take all steps.
            driver.execute(f"PRAGMA incremental_vacuum({BATCH})").fetchall()
            driver.commit()


def forget(engine: Engine, days: Mapping[str, float]) -> None:
    """Forget old gaps and dead letters, and names that no kept run has."""
    now = time.time()
    with engine.begin() as connection:
        take_turn(connection)
        removed = connection.execute(delete(dead_letters).where(dead_letters.c.at < now - NOTES_KEPT)).rowcount
        removed += connection.execute(delete(gaps).where(gaps.c.ended_at < now - NOTES_KEPT)).rowcount
        if all(days.values()):
            facets.forget(connection, now - (max(days.values()) + 1) * DAY)
        if removed:
            bump(connection)
