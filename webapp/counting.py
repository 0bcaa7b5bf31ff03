"""How many runs of each phase fit a filter: exact while they are few."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, text

from webapp import index
from webapp.asking import PHASES, Plan, plan_of
from webapp.filters import Filter
from webapp.finding import OF_PHASE, WINDOW, Found, match
from webapp.states import LIVE

COUNT_CAP: Final = 10_000
COUNT_WINDOW: Final = 1000
"""Most runs that are counted where several conditions must be compared for each."""


def counts(
    connection: Connection, wanted: Filter, many: Collection[int] = (), plan: Plan | None = None
) -> dict[int, tuple[int, bool]]:
    """Return for each phase how many runs fit the filter but for its state, and whether there may be more.

    ``plan`` is that of the filter, where it is known already.

    None goes beyond ``COUNT_CAP``. Live runs that only their text can tell are counted in a window. The phases in
    ``many`` are known to have more, and not counted once again.
    """
    others = tuple(term for term in wanted.terms if term.field != "state" or term.negated)
    if plan is None or others != wanted.terms:
        plan = plan_of(connection, replace(wanted, state="", terms=others, cursor=None), time.time())
    if plan.nothing:
        return dict.fromkeys(PHASES, (0, False))
    if plan.look or plan.task_id:
        seen = Found(connection, plan, plan.low, plan.high, False, WINDOW)
        tally = Counter(key.phase for key in seen.find())
        more = seen.stopped_at is not None or tally.total() == WINDOW
        return {number: (tally[number], more and number in plan.phases) for number in sorted(PHASES)}
    if plan.by_phase or (len(plan.conditions) == 1 and plan.conditions[0].named and not plan.conditions[0].negated):
        return {n: (COUNT_CAP, True) if n in many else _count(connection, plan, n) for n in sorted(PHASES)}
    return _count_in_window(connection, plan)


def _count(connection: Connection, plan: Plan, number: int) -> tuple[int, bool]:
    """Count one phase by a list that holds nothing else."""
    if number not in plan.phases:
        return 0, False
    if number == LIVE and not plan.by_phase:
        seen = Found(connection, plan, plan.low, plan.high, False, WINDOW)
        return seen.count_live(), seen.stopped_at is not None
    values: dict[str, Any] = {"low": plan.low, "high": plan.high}
    if plan.by_phase:
        source, values["phase"] = OF_PHASE, number
    else:
        source = index.matching(connection.dialect.name)
        values["match"] = match(connection, plan, [number])
    capped = f"FROM (SELECT 1 {source} LIMIT {COUNT_CAP + 1}) AS few"
    found = connection.execute(text(f"SELECT count(*) {capped}"), values).scalar_one()
    return min(found, COUNT_CAP), found > COUNT_CAP


def _count_in_window(connection: Connection, plan: Plan) -> dict[int, tuple[int, bool]]:
    """Count the newest that fit several conditions by what their rows say; counting them all would read all lists."""
    live = _count(connection, plan, LIVE) if LIVE in plan.phases else (0, False)
    query = match(connection, plan)
    found: dict[int, int] = {}
    if query is not None:
        inner = index.matching_ids(connection.dialect.name, "DESC")
        joined = f"FROM ({inner}) AS m JOIN task_runs AS r ON r.id = m.id GROUP BY r.phase"
        values = {"match": query, "low": plan.low, "high": plan.high, "limit": COUNT_WINDOW}
        rows = connection.execute(text(f"SELECT r.phase, count(*) {joined}"), values)
        found = {row[0]: row[1] for row in rows}
    more = sum(found.values()) == COUNT_WINDOW
    return {LIVE: live} | {n: (found.get(n, 0), more and n in plan.phases) for n in sorted(PHASES - {LIVE})}
