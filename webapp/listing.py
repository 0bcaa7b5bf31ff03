"""A page of runs, however many there are: by the table's indexes, by the search index, or inside a stated window."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, text, tuple_

from webapp import index
from webapp.asking import ID_MAX, PHASES, Plan, plan_of
from webapp.filters import Cursor, Filter
from webapp.models import TaskRun
from webapp.states import LIVE

runs = TaskRun.__table__

PAGE_SIZE: Final = 50
COUNT_CAP: Final = 10_000
NEW_CAP: Final = 99
WINDOW: Final = 2000
"""Runs looked at one by one, or sorted, for one page: what the indexes cannot tell is found among so many."""
SORTED: Final = 1000
"""Runs that are sorted for one page where a filter leaves no index to read them in order from."""
PART: Final = 200
"""Runs of the window that are looked at before it is seen whether there are enough."""

_ORDERS: Final = {"running": runs.c.run_order, "waiting": runs.c.wait_order}
_TEXTS: Final = [runs.c[name] for name in "id changed phase args kwargs result exception".split()]
_KEY: Final = [runs.c.id, runs.c.changed, runs.c.phase]


_SELECT_KEY: Final = "SELECT id, changed, phase FROM task_runs"
_BETWEEN: Final = "id > :low AND id < :high"


@dataclass(frozen=True, slots=True)
class Key:
    """Which run, in which version: enough to know whether its line has been drawn."""

    id: int
    changed: int
    phase: int
    value: float | None = None


@dataclass(slots=True)
class Page:
    """A page of a list; ``older`` and ``newer`` are where the neighbouring pages begin, None at the ends.

    ``window`` says in how far the page is not the whole truth, as a sentence, where it is not.
    """

    keys: list[Key] = field(default_factory=list)
    older: Cursor | None = None
    newer: Cursor | None = None
    window: str = ""


def page(connection: Connection, wanted: Filter, size: int = PAGE_SIZE, plan: Plan | None = None) -> Page:
    """Return a page of what is asked for; cost does not grow with the table."""
    plan = plan or plan_of(connection, wanted, time.time())
    if plan.nothing:
        return Page()
    if wanted.sort:
        return _sorted_page(connection, wanted, plan, size)
    return _page_by_time(connection, wanted, plan, size)


def _page_by_time(connection: Connection, wanted: Filter, plan: Plan, size: int) -> Page:
    cursor = wanted.cursor
    up = bool(cursor and cursor.up)
    low, high = plan.low, plan.high
    if wanted.top is not None and not up:
        high = min(high, wanted.top + 1)
    if cursor:
        low, high = (max(low, cursor.id), high) if up else (low, min(high, cursor.id))
    found = _Found(connection, plan, low, high, up, size + 1)
    keys = found.find()
    full, keys = len(keys) > size, keys[:size]
    # Where the page stands, and where the search for more goes on in its direction, None when all was seen.
    end = keys[-1].id if full else found.stopped_at
    start = keys[0].id if keys else cursor.id if cursor else None
    if up:
        keys.reverse()
    onward = None if end is None else Cursor(end, up=up)
    back = None if cursor is None or start is None else Cursor(start, up=not up)
    window = ""
    if found.stopped_at is not None and not full:
        window = f"This page looked through {WINDOW:,} runs; {'newer' if up else 'older'} ones are on the next pages."
    return Page(keys, older=back if up else onward, newer=onward if up else back, window=window)


class _Found:
    """The runs of a plan in order of time, from the live rows and from the search index, merged.

    ``stopped_at`` is the id at which a window ended, None when everything was seen.
    """

    def __init__(self, connection: Connection, plan: Plan, low: int, high: int, up: bool, limit: int) -> None:
        self.connection, self.plan, self.up, self.limit = connection, plan, up, limit
        self.low, self.high = low, high
        self.stopped_at: int | None = None

    def find(self) -> list[Key]:
        """Return up to ``limit`` keys; after a window has ended only those up to its end."""
        if self.plan.task_id:
            found = self._by_task_id()
        elif self.plan.by_phase:
            found = self._by_phase()
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
        query = _match(self.connection, self.plan)
        if self.plan.look or self.plan.task_id or self.plan.by_phase or query is None:
            return [key.id for key in self.find()]
        inner = index.matching(self.connection.dialect.name, "DESC")
        values = {"match": query, "low": self.low, "high": self.high, "limit": self.limit}
        found = list(self.connection.execute(text(inner), values).scalars())
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
        among = select(*_TEXTS).where(runs.c.task_id == self.plan.task_id, *self.plan.predicates)
        rows = self.connection.execute(among.where(runs.c.id > self.low, runs.c.id < self.high))
        return [_key(row) for row in rows if row.phase in self.plan.phases and self.plan.fits(row)]

    def _by_phase(self) -> list[Key]:
        if self.plan.phases == PHASES:
            return [_key(row) for row in self._in_order(_BETWEEN, self.limit)]
        # Each phase by itself is in order of time; together they would have to be sorted, however many they are.
        parts = (self._in_order(f"phase = :phase AND {_BETWEEN}", self.limit, phase=n) for n in self.plan.phases)
        return [_key(row) for part in parts for row in part]

    def _live(self) -> list[Key]:
        order = runs.c.id.asc() if self.up else runs.c.id.desc()
        statement = self._window(_TEXTS if self.plan.checks else _KEY)
        if not self.plan.checks:
            statement = statement.order_by(order).limit(self.limit)
        return [_key(row) for row in self.connection.execute(statement) if self.plan.fits(row)]

    def count_live(self) -> int:
        """Return how many live runs of the window fit."""
        if self.plan.checks:
            return len(self._live())
        return int(self.connection.execute(self._window([func.count()])).scalar_one())

    def _window(self, columns: Sequence[Any]) -> Select[Any]:
        """Return the selection of the live rows of one window, and note where it ends."""
        order = runs.c.id.asc() if self.up else runs.c.id.desc()
        inside = select(runs.c.id).where(runs.c.phase == LIVE, runs.c.id > self.low, runs.c.id < self.high)
        end = self.connection.execute(inside.order_by(order).offset(WINDOW - 1).limit(1)).scalar()
        if end is not None:
            self._stop(end)
        window = inside.order_by(order).limit(WINDOW).subquery()
        joined = select(*columns).select_from(window).join(runs, runs.c.id == window.c.id)
        return joined.where(*self.plan.predicates)

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

    def _matched(self, low: int, high: int, limit: int) -> Sequence[Row[Any]]:
        """Return settled runs by the search index, in order of time."""
        query = _match(self.connection, self.plan)
        if query is None:
            return []
        columns = ", ".join(f"r.{column.name}" for column in (_TEXTS if self.plan.look else _KEY))
        direction = "ASC" if self.up else "DESC"
        inner = index.matching(self.connection.dialect.name, direction)
        joined = f"FROM ({inner}) AS m JOIN task_runs AS r ON r.id = m.id"
        statement = text(f"SELECT {columns} {joined} ORDER BY r.id {direction}")  # names from this file
        return self.connection.execute(statement, {"match": query, "low": low, "high": high, "limit": limit}).all()


def _key(row: Any) -> Key:
    return Key(row.id, row.changed, row.phase)


def _match(connection: Connection, plan: Plan, phases: Sequence[int] = ()) -> str | None:
    settled = sorted((plan.phases - {LIVE}) & set(phases or PHASES))
    return index.match(connection.dialect.name, settled, plan.conditions) if settled else None


def _sorted_page(connection: Connection, wanted: Filter, plan: Plan, size: int) -> Page:
    order, cursor = _ORDERS[wanted.sort], wanted.cursor
    up = bool(cursor and cursor.up)
    key = tuple_(order, runs.c.id)
    statement = select(*_KEY, order.label("value")).where(order.is_not(None))
    if cursor:
        place = tuple_(cursor.value, cursor.id)
        statement = statement.where(key > place if up else key < place)
    window = ""
    anywhere = plan.by_phase and plan.low < 0 and plan.high == ID_MAX
    if anywhere and plan.phases != PHASES and _many(connection, plan.phases):
        # The index on the order holds the phase too, so that those of other phases are passed over inside it; the sum
        # keeps the planner from taking the index on the phase, and sorting all it finds there.
        statement = statement.where((runs.c.phase + 0).in_(plan.phases))
    elif not anywhere or plan.phases != PHASES:
        found = _Found(connection, plan, plan.low, plan.high, False, SORTED)
        ids = found.ids()
        statement = statement.where(_among(ids))
        if len(ids) == SORTED or found.stopped_at is not None:
            window = f"Sorted among the newest {len(ids):,} runs that fit; older ones are left out."
    ordering = (order.asc(), runs.c.id.asc()) if up else (order.desc(), runs.c.id.desc())
    rows = connection.execute(statement.order_by(*ordering).limit(size + 1)).all()
    more = len(rows) > size
    keys = [Key(row.id, row.changed, row.phase, row.value) for row in rows[:size]]
    if up:
        keys.reverse()
    result = Page(keys, window=window)
    if keys:
        below, above = Cursor(keys[-1].id, keys[-1].value), Cursor(keys[0].id, keys[0].value, up=True)
        result.older = below if more or up else None
        result.newer = above if cursor and (more or not up) else None
    return result


def _many(connection: Connection, phases: Iterable[int]) -> bool:
    """Say whether a list of these phases has more runs than are sorted for a page."""
    values = {"low": -1, "high": ID_MAX, "limit": SORTED}
    counted = text(f"SELECT count(*) FROM ({_OF_PHASE}) AS m")  # noqa: S608  # a constant, see below
    return any(connection.execute(counted, {**values, "phase": n}).scalar_one() == SORTED for n in phases)


def _among(ids: Sequence[int]) -> ColumnElement[bool]:
    """Return the condition that a run is one of these; as many parameters would cost more than the search."""
    # PostgreSQL takes no empty list.
    return text(f"task_runs.id IN ({', '.join(map(str, ids)) or 'NULL'})")  # type: ignore[return-value]  # numbers, of our own


def counts(connection: Connection, wanted: Filter) -> dict[int, tuple[int, bool]]:
    """Return for each phase how many runs fit the filter but for its state, and whether there may be more.

    None goes beyond ``COUNT_CAP``. Live runs that only their text can tell are counted in a window.
    """
    others = tuple(term for term in wanted.terms if term.field != "state" or term.negated)
    plan = plan_of(connection, replace(wanted, state="", terms=others, cursor=None), time.time())
    if plan.nothing:
        return dict.fromkeys(PHASES, (0, False))
    if plan.look or plan.task_id:
        seen = _Found(connection, plan, plan.low, plan.high, False, WINDOW)
        tally = Counter(key.phase for key in seen.find())
        more = seen.stopped_at is not None or tally.total() == WINDOW
        return {number: (tally[number], more and number in plan.phases) for number in sorted(PHASES)}
    if plan.by_phase or (len(plan.conditions) == 1 and plan.conditions[0].named and not plan.conditions[0].negated):
        return {number: _count(connection, plan, number) for number in sorted(PHASES)}
    return _count_in_window(connection, plan)


def _count(connection: Connection, plan: Plan, number: int) -> tuple[int, bool]:
    """Count one phase by a list that holds nothing else."""
    if number not in plan.phases:
        return 0, False
    if number == LIVE and not plan.by_phase:
        seen = _Found(connection, plan, plan.low, plan.high, False, WINDOW)
        return seen.count_live(), seen.stopped_at is not None
    values: dict[str, Any] = {"low": plan.low, "high": plan.high, "limit": COUNT_CAP + 1}
    if plan.by_phase:
        inner, values["phase"] = _OF_PHASE, number
    else:
        inner = index.matching(connection.dialect.name, "")
        values["match"] = _match(connection, plan, [number])
    found = connection.execute(text(f"SELECT count(*) FROM ({inner}) AS m"), values).scalar_one()  # noqa: S608
    return min(found, COUNT_CAP), found > COUNT_CAP


def _count_in_window(connection: Connection, plan: Plan) -> dict[int, tuple[int, bool]]:
    """Count the newest that fit several conditions by what their rows say; counting them all would read all lists."""
    live = _count(connection, plan, LIVE) if LIVE in plan.phases else (0, False)
    query = _match(connection, plan)
    found: dict[int, int] = {}
    if query is not None:
        inner = index.matching(connection.dialect.name, "DESC")
        joined = f"FROM ({inner}) AS m JOIN task_runs AS r ON r.id = m.id GROUP BY r.phase"
        values = {"match": query, "low": plan.low, "high": plan.high, "limit": WINDOW}
        rows = connection.execute(text(f"SELECT r.phase, count(*) {joined}"), values)
        found = {row[0]: row[1] for row in rows}
    more = sum(found.values()) == WINDOW
    return {LIVE: live} | {n: (found.get(n, 0), more and n in plan.phases) for n in sorted(PHASES - {LIVE})}


_OF_PHASE: Final = f"SELECT id FROM task_runs WHERE phase = :phase AND {_BETWEEN} LIMIT :limit"  # noqa: S608


def newer_than(connection: Connection, wanted: Filter, top: int) -> int:
    """Return how many runs that fit have come since ``top``, at most ``NEW_CAP`` + 1."""
    plan = plan_of(connection, wanted, time.time())
    if plan.nothing:
        return 0
    found = _Found(connection, plan, max(plan.low, top), plan.high, True, NEW_CAP + 1)
    return len(found.find())


def newest_id(connection: Connection) -> int:
    """Return the id of the newest run, 0 where there is none."""
    return connection.execute(select(runs.c.id).order_by(runs.c.id.desc()).limit(1)).scalar() or 0


def everything(connection: Connection, wanted: Filter, size: int = 500) -> Iterator[Row[Any]]:
    """Yield every run that fits, whole, newest first, a page at a time, so that no transaction stays open for long."""
    wanted = replace(wanted, sort="", cursor=None)
    while True:
        found = page(connection, wanted, size)
        ids = [key.id for key in found.keys]
        yield from connection.execute(select(runs).where(runs.c.id.in_(ids)).order_by(runs.c.id.desc()))
        connection.rollback()
        if found.older is None:
            return
        wanted = replace(wanted, cursor=found.older)
