"""Finds the runs of a plan in order of time: by the table's indexes, by the search index, or in a stated window."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, func, or_, select, text

from webapp.history import index
from webapp.history.models import TaskRun
from webapp.runs.states import LIVE
from webapp.search.planner import PHASES, SearchPlan

runs = TaskRun.__table__

WINDOW: Final = 2000
"""Runs looked at one by one for one page: what the indexes cannot tell is found among so many."""
PART: Final = 200
"""Runs of the window that are looked at before it is seen whether there are enough."""
NEARBY: Final = 1000
"""Runs next to a place deep in the list that are looked at before the search index is asked, whose way there is long:
what fits a good part of all runs has a long list in the index, and enough of it is close by."""

_KEY: Final = [runs.c.id, runs.c.changed, runs.c.phase]
_TextRow: Any = namedtuple("_TextRow", "id changed phase args kwargs result exception")
_TEXTS: Final = [runs.c[name] for name in _TextRow._fields]
_SELECT_KEY: Final = "SELECT id, changed, phase FROM vase_task_runs"
_BETWEEN: Final = "id > :low AND id < :high"
OF_PHASE: Final = f"FROM vase_task_runs WHERE phase = :phase AND {_BETWEEN}"
"""The runs of one phase, as the rest of an SQL statement."""

# The live rows of a window, newest or oldest first, and the id at its end where there are more. Made once: a statement
# carries its key into SQLAlchemy's cache of compiled ones with it.
_LIVE: Final = select(runs.c.id).where(
    runs.c.phase == LIVE, runs.c.id > bindparam("low"), runs.c.id < bindparam("high")
)
_ORDERED: Final = {up: _LIVE.order_by(runs.c.id.asc() if up else runs.c.id.desc()) for up in (False, True)}
_WINDOWS: Final = {up: ordered.limit(WINDOW).subquery() for up, ordered in _ORDERED.items()}
_WINDOW_END: Final = {up: ordered.offset(WINDOW - 1).limit(1) for up, ordered in _ORDERED.items()}
_ALL: Final = select(runs.c.id).where(runs.c.id > bindparam("low"), runs.c.id < bindparam("high"))
_NEARBY: Final = {
    (up, size): _ALL.order_by(runs.c.id.asc() if up else runs.c.id.desc()).limit(size).subquery()
    for up in (False, True)
    for size in (PART, NEARBY)
}


@dataclass(frozen=True, slots=True)
class Key:
    """Which run, in which version: enough to know whether its line has been drawn."""

    id: int
    changed: int
    phase: int
    value: float | None = None


class PlanExecutor:
    """The runs of a plan in order of time, from the live rows and from the search index, merged.

    ``stopped_at`` is the id at which a window ended, None when everything was seen. ``nearby`` says that the search
    begins in the middle of the list, where the search index is slow to come to.
    """

    def __init__(
        self, connection: Connection, plan: SearchPlan, low: int, high: int, up: bool, limit: int, nearby: bool = False
    ) -> None:
        self.connection, self.plan, self.up, self.limit, self.nearby = connection, plan, up, limit, nearby
        self.low, self.high = low, high
        self.stopped_at: int | None = None
        self.live: int | None = None
        """How many live runs fit, where all of them were seen."""

    def find(self) -> list[Key]:
        """Return up to ``limit`` keys; after a window has ended only those up to its end."""
        if self.low >= self.high - 1:
            return []
        if self.plan.task_id:
            found = self._by_task_id()
        elif self.plan.by_phase:
            found = self._by_phase()
        elif self.nearby and (close := self._close()) is not None:
            found = close
        else:
            found = self._settled() if self.plan.phases != {LIVE} else []
            found += self._live() if LIVE in self.plan.phases else []
        found.sort(key=lambda key: key.id, reverse=not self.up)
        if self.stopped_at is not None:
            stop = self.stopped_at
            found = [key for key in found if (key.id <= stop if self.up else key.id >= stop)]
        return found[: self.limit]

    def ids(self) -> list[int]:
        """Return the ids alone, which the search index tells without a look at the rows."""
        query = match(self.connection, self.plan)
        if self.plan.look or self.plan.task_id or self.plan.by_phase or query is None:
            return [key.id for key in self.find()]
        inner = index.matching_ids(self.connection.dialect.name, "DESC")
        values = {"match": query, "low": self.low, "high": self.high, "limit": self.limit}
        found = list(self.connection.execute(text(inner), values).scalars().all())
        found += [key.id for key in self._live()] if LIVE in self.plan.phases else []
        if self.stopped_at is not None:
            found = [number for number in found if number >= self.stopped_at]
        return sorted(found, reverse=True)[: self.limit]

    def _in_order(self, condition: str, limit: int, **values: Any) -> Sequence[Row[Any]]:
        """Return keys in order of time; plain SQL text, whose compiled form is found at a tenth of the cost."""
        direction = "ASC" if self.up else "DESC"
        statement = text(f"{_SELECT_KEY} WHERE {condition} ORDER BY id {direction} LIMIT :limit")
        return self.connection.execute(statement, {"low": self.low, "high": self.high, "limit": limit, **values}).all()

    def _by_task_id(self) -> list[Key]:
        mine = or_(runs.c.task_id == self.plan.task_id, runs.c.earlier_of == self.plan.task_id)
        among = select(*_TEXTS).where(mine, *self.plan.predicates)
        rows = self.connection.execute(among.where(runs.c.id > self.low, runs.c.id < self.high))
        return [_key(row) for row in rows if row.phase in self.plan.phases and self.plan.fits(row)]

    def _by_phase(self) -> list[Key]:
        if self.plan.phases == PHASES:
            return [_key(row) for row in self._in_order(_BETWEEN, self.limit)]
        # Each phase by itself is in order of time; together they would have to be sorted, however many they are.
        parts = (self._in_order(f"phase = :phase AND {_BETWEEN}", self.limit, phase=n) for n in self.plan.phases)
        return [_key(row) for part in parts for row in part]

    def _live(self) -> list[Key]:
        """Return the live runs of one window that fit, and note where it ends."""
        columns = _TEXTS if self.plan.checks else _KEY
        statement = self._joined([*columns, _WINDOW_END[self.up].scalar_subquery().label("end")])
        if not self.plan.checks:
            statement = statement.order_by(runs.c.id.asc() if self.up else runs.c.id.desc()).limit(self.limit)
        rows = self.connection.execute(statement, self._bounds()).all()
        end = rows[0].end if rows else self.connection.execute(_WINDOW_END[self.up], self._bounds()).scalar()
        if end is not None:
            self._stop(end)
        found = [_key(row) for row in rows if self.plan.fits(row)]
        self.live = len(found) if end is None and len(found) < self.limit else None
        return found

    def count_live(self) -> int:
        """Return how many live runs of the window fit."""
        if self.plan.checks:
            return len(self._live())
        end = _WINDOW_END[self.up].scalar_subquery()
        statement = self._joined([func.count(), end])
        count, stopped_at = self.connection.execute(statement, self._bounds()).one()
        if stopped_at is not None:
            self._stop(stopped_at)
        return int(count)

    def _joined(self, columns: Sequence[Any]) -> Select[Any]:
        window = _WINDOWS[self.up]
        joined = select(*columns).select_from(window).join(runs, runs.c.id == window.c.id)
        return joined.where(*self.plan.predicates)

    def _bounds(self) -> dict[str, int]:
        return {"low": self.low, "high": self.high}

    def _close(self) -> list[Key] | None:
        """Look at the runs that are next; return what fits, or None where more may fit than were seen.

        Where few of the first fit, no more are looked at: those are soon found by the search index.
        """
        for size in (PART,) if self.plan.checks else (PART, NEARBY):
            found = self._near(size)
            if len(found) >= self.limit:
                return found
            if len(found) * NEARBY < self.limit * size:
                break
        more = self.connection.execute(select(_NEARBY[self.up, size].c.id).offset(size - 1), self._bounds()).first()
        return None if more else found

    def _near(self, size: int) -> list[Key]:
        """Return what fits of so many runs that are next."""
        window = _NEARBY[self.up, size]
        columns = _TEXTS if self.plan.checks else _KEY
        joined = select(*columns).select_from(window).join(runs, runs.c.id == window.c.id)
        wanted = joined.where(runs.c.phase.in_(sorted(self.plan.phases)), *self.plan.predicates)
        # Sorted here: asked for an order and a limit, SQLite would walk through the whole table in that order.
        rows = sorted(self.connection.execute(wanted, self._bounds()).all(), key=itemgetter(0), reverse=not self.up)
        fits = (row for row in rows if not self.plan.checks or self.plan.fits(row))
        return [_key(row) for row in islice(fits, self.limit)]

    def _settled(self) -> list[Key]:
        """Ask the search index; where letters count as well, look at what it finds a part at a time."""
        if not self.plan.look:
            return [_key(row) for row in self._matched(self.low, self.high, self.limit)]
        found: list[Key] = []
        low, high, seen = self.low, self.high, 0
        while seen < WINDOW and len(found) < self.limit:
            rows = self._matched(low, high, PART)
            found += [_key(row) for row in rows if self.plan.spelled(row)]
            seen += len(rows)
            if len(rows) < PART:
                return found
            low, high = (rows[-1].id, high) if self.up else (low, rows[-1].id)
        if len(found) < self.limit:
            self._stop(low if self.up else high)
        return found

    def _stop(self, end: int) -> None:
        both = (end, self.stopped_at if self.stopped_at is not None else end)
        self.stopped_at = min(both) if self.up else max(both)

    def _matched(self, low: int, high: int, limit: int) -> Sequence[Any]:
        """Return settled runs by the search index, in order of time."""
        query = match(self.connection, self.plan)
        if query is None:
            return []
        columns = ", ".join(f"r.{column.name}" for column in (_TEXTS if self.plan.look else _KEY))
        direction = "ASC" if self.up else "DESC"
        inner = index.matching_ids(self.connection.dialect.name, direction)
        joined = f"FROM ({inner}) AS m JOIN vase_task_runs AS r ON r.id = m.id"
        statement = text(f"SELECT {columns} {joined} ORDER BY r.id {direction}")  # names from this file
        rows = self.connection.execute(statement, {"match": query, "low": low, "high": high, "limit": limit}).all()
        # Their texts are read several times, which the toolkit's own rows are slow at.
        return list(map(_TextRow._make, rows)) if self.plan.look else rows


def _key(row: Any) -> Key:
    return Key(row.id, row.changed, row.phase)


def match(connection: Connection, plan: SearchPlan, phases: Sequence[int] = ()) -> str | None:
    settled = sorted((plan.phases - {LIVE}) & set(phases or PHASES))
    return index.match_expression(connection.dialect.name, settled, plan.conditions) if settled else None
