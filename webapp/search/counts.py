"""How many runs of each phase fit a filter: exact while they are few."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection, text

from webapp.history import index
from webapp.runs.states import LIVE
from webapp.search.finder import OF_PHASE, WINDOW, PlanExecutor, match
from webapp.search.planner import PHASES, SearchPlan, build_plan
from webapp.search.query import Filter

COUNT_CAP: Final = 10_000
COUNT_WINDOW: Final = 500
"""Most runs that are counted where several conditions must be compared for each."""


def counts(
    connection: Connection,
    wanted: Filter,
    many: Collection[int] = (),
    plan: SearchPlan | None = None,
    live: int | None = None,
) -> dict[int, tuple[int, bool]]:
    """Return for each phase how many runs fit the filter but for its tab, and whether there may be more.

    ``plan`` is that of the filter and ``live`` how many live runs fit it, where they are known already.

    None goes beyond ``COUNT_CAP``. Live runs that only their text can tell are counted in a window. The phases in
    ``many`` are known to have more, and not counted once again.
    """
    if plan is None or wanted.state:
        plan, live = build_plan(connection, wanted.of_any_state(), time.time()), None
    if plan.nothing:
        return dict.fromkeys(PHASES, (0, False))
    if plan.look or plan.task_id:
        seen = PlanExecutor(connection, plan, plan.low, plan.high, False, WINDOW)
        tally = Counter(key.phase for key in seen.find())
        more = seen.stopped_at is not None or tally.total() == WINDOW
        return {number: (tally[number], more and number in plan.phases) for number in sorted(PHASES)}
    if plan.by_phase or (len(plan.conditions) == 1 and plan.conditions[0].named and not plan.conditions[0].negated):
        known = {n: (0, False) if n not in plan.phases else (COUNT_CAP, True) for n in PHASES - plan.phases | set(many)}
        if live is not None and not plan.by_phase:
            known.setdefault(LIVE, (live, False))
        return _count(connection, plan, PHASES - known.keys()) | known
    return _count_in_window(connection, plan, live)


def _count(connection: Connection, plan: SearchPlan, phases: Collection[int]) -> dict[int, tuple[int, bool]]:
    """Count each phase by a list that holds nothing else, all in one statement."""
    found: dict[int, tuple[int, bool]] = {}
    if LIVE in phases and not plan.by_phase:
        found[LIVE] = _count_live(connection, plan)
    values: dict[str, Any] = {"low": plan.low, "high": plan.high}
    parts = []
    for number in sorted(phases - found.keys()):
        if plan.by_phase:
            source = OF_PHASE.replace(":phase", str(number))
        else:
            source = index.matching(connection.dialect.name).replace(":match", f":match{number}")
            values[f"match{number}"] = match(connection, plan, [number])
        capped = f"FROM (SELECT 1 {source} LIMIT {COUNT_CAP + 1}) AS few{number}"
        parts.append(f"SELECT {number}, count(*) {capped}")
    if parts:
        rows = connection.execute(text(" UNION ALL ".join(parts)), values).all()
        found |= {number: (min(count, COUNT_CAP), count > COUNT_CAP) for number, count in rows}
    return found


def _count_live(connection: Connection, plan: SearchPlan) -> tuple[int, bool]:
    seen = PlanExecutor(connection, plan, plan.low, plan.high, False, WINDOW)
    return seen.count_live(), seen.stopped_at is not None


def _count_in_window(connection: Connection, plan: SearchPlan, known: int | None) -> dict[int, tuple[int, bool]]:
    """Count the newest that fit several conditions by what their rows say; counting them all would read all lists."""
    live = (0, False)
    if LIVE in plan.phases:
        live = (known, False) if known is not None else _count_live(connection, plan)
    query = match(connection, plan)
    found: dict[int, int] = {}
    if query is not None:
        inner = index.matching_ids(connection.dialect.name, "DESC")
        joined = f"FROM ({inner}) AS m JOIN vase_task_runs AS r ON r.id = m.id GROUP BY r.phase"
        values = {"match": query, "low": plan.low, "high": plan.high, "limit": COUNT_WINDOW}
        rows = connection.execute(text(f"SELECT r.phase, count(*) {joined}"), values)
        found = {row[0]: row[1] for row in rows}
    more = sum(found.values()) == COUNT_WINDOW
    return {LIVE: live} | {n: (found.get(n, 0), more and n in plan.phases) for n in sorted(PHASES - {LIVE})}
