"""A page of runs, however many there are, and what has come since it was drawn."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, select, text

from webapp.history import queries
from webapp.history.models import TaskRun
from webapp.search.finder import OF_PHASE, WINDOW, Key, PlanExecutor
from webapp.search.planner import ID_MAX, PHASES, SearchPlan, build_plan
from webapp.search.query import Cursor, Filter
from webapp.search.timeout import time_limit

runs = TaskRun.__table__

PAGE_SIZE: Final = 50
NEW_CAP: Final = 99
SORTED: Final = 500
"""Runs that are sorted for one page where a filter leaves no index to read them in order from."""

_ORDERS: Final = {"running": "run_order", "waiting": "wait_order"}


@dataclass(slots=True)
class Page:
    """A page of a list; ``older`` and ``newer`` are where the neighbouring pages begin, None at the ends.

    ``window`` says in how far the page is not the whole truth, as a sentence, where it is not.
    """

    keys: list[Key] = field(default_factory=list)
    older: Cursor | None = None
    newer: Cursor | None = None
    window: str = ""
    live: int | None = None
    """How many live runs fit the filter, where that was seen on the way."""


def fetch_page(connection: Connection, wanted: Filter, size: int = PAGE_SIZE, plan: SearchPlan | None = None) -> Page:
    """Return a page of what is asked for; cost does not grow with the table."""
    plan = plan or build_plan(connection, wanted, time.time())
    if plan.nothing:
        return Page()
    if wanted.sort:
        return _sorted_page(connection, wanted, plan, size)
    return _page_by_time(connection, wanted, plan, size)


def _page_by_time(connection: Connection, wanted: Filter, plan: SearchPlan, size: int) -> Page:
    cursor = wanted.cursor
    up = bool(cursor and cursor.up)
    low, high = plan.low, plan.high
    if wanted.top is not None and not up:
        high = min(high, wanted.top + 1)
    if cursor:
        low, high = (max(low, cursor.id), high) if up else (low, min(high, cursor.id))
    found = PlanExecutor(connection, plan, low, high, up, size + 1, nearby=cursor is not None or plan.high < ID_MAX)
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
    live = found.live if cursor is None and wanted.top is None else None
    return Page(keys, older=back if up else onward, newer=onward if up else back, window=window, live=live)


def _sorted_page(connection: Connection, wanted: Filter, plan: SearchPlan, size: int) -> Page:
    order, cursor = _ORDERS[wanted.sort], wanted.cursor
    up = bool(cursor and cursor.up)
    # Plain SQL text, of names from this file: its compiled form is found at a tenth of the cost.
    conditions, values = [f"{order} IS NOT NULL"], dict[str, Any](limit=size + 1)
    if cursor:
        conditions.append(f"({order}, id) {'>' if up else '<'} (:value, :id)")
        values |= {"value": cursor.value, "id": cursor.id}
    window, live = "", None
    anywhere = plan.by_phase and plan.low < 0 and plan.high == ID_MAX
    if anywhere and plan.phases != PHASES and _many(connection, plan.phases):
        # The index on the order holds the phase too, so that those of other phases are passed over inside it; the sum
        # keeps the planner from taking the index on the phase, and sorting all it finds there.
        conditions.append(f"phase + 0 IN ({', '.join(map(str, sorted(plan.phases)))})")
    elif not anywhere or plan.phases != PHASES:
        found = PlanExecutor(connection, plan, plan.low, plan.high, False, SORTED)
        ids, live = found.ids(), found.live
        conditions.append(queries.AMONG[connection.dialect.name])
        values["ids"] = queries.among(connection, ids)
        if len(ids) == SORTED or found.stopped_at is not None:
            window = f"Sorted among the newest {len(ids):,} runs that fit; older ones are left out."
    direction = "ASC" if up else "DESC"
    selected = f"id, changed, phase, {order} AS value FROM vase_task_runs WHERE {' AND '.join(conditions)}"
    statement = text(f"SELECT {selected} ORDER BY {order} {direction}, id {direction} LIMIT :limit")
    rows = connection.execute(statement, values).all()
    more = len(rows) > size
    keys = [Key(row.id, row.changed, row.phase, row.value) for row in rows[:size]]
    if up:
        keys.reverse()
    result = Page(keys, window=window, live=live)
    if keys:
        below, above = Cursor(keys[-1].id, keys[-1].value), Cursor(keys[0].id, keys[0].value, up=True)
        result.older = below if more or up else None
        result.newer = above if cursor and (more or not up) else None
    return result


def _many(connection: Connection, phases: Iterable[int]) -> bool:
    """Say whether a list of these phases has more runs than are sorted for a page."""
    values = {"low": -1, "high": ID_MAX, "limit": SORTED}
    last = text(f"SELECT 1 {OF_PHASE} LIMIT 1 OFFSET :limit")
    return any(connection.execute(last, {**values, "phase": n}).first() for n in phases)


def newer_than(connection: Connection, wanted: Filter, top: int) -> int:
    """Return how many runs that fit have come since ``top``, at most ``NEW_CAP`` + 1."""
    plan = build_plan(connection, wanted, time.time())
    if plan.nothing:
        return 0
    found = PlanExecutor(connection, plan, max(plan.low, top), plan.high, True, NEW_CAP + 1, nearby=True)
    return len(found.find())


def newest_id(connection: Connection) -> int:
    """Return the id of the newest run, 0 where there is none."""
    return connection.execute(select(runs.c.id).order_by(runs.c.id.desc()).limit(1)).scalar() or 0


def everything(connection: Connection, wanted: Filter, seconds: float, size: int = PAGE_SIZE) -> Iterator[Row[Any]]:
    """Yield every run that fits, whole, newest first, a page at a time, so that no transaction stays open for long.

    Raises ``SearchTimeoutError`` where one page takes longer than so many seconds.
    """
    wanted = replace(wanted, sort="", cursor=None)
    while True:
        with time_limit(connection, seconds):
            found = fetch_page(connection, wanted, size)
            ids = [key.id for key in found.keys]
            rows = connection.execute(select(runs).where(runs.c.id.in_(ids)).order_by(runs.c.id.desc())).all()
        connection.rollback()
        yield from rows
        if found.older is None:
            return
        wanted = replace(wanted, cursor=found.older)
