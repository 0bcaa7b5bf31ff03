"""One action on many runs: kept as a row with the filter as it was, and carried out a part at a time, each part in
one transaction with the place that it reached. Whoever is killed in between has done a part or has not."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from flask import Flask
from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from webapp.actions.cancel import request, revoke_unsent
from webapp.actions.retry import original_call, retry_options
from webapp.errors import ActionNotAllowedError, VaseError
from webapp.history.models import BulkAction
from webapp.history.queries import bump, cancels, database_time, runs
from webapp.outbox.relay import WAITS, Message, new_row
from webapp.outbox.submit import check_call
from webapp.runs.actions import CANCEL, allowed
from webapp.runs.arguments import exact_json
from webapp.runs.states import GROUPS, UNSENT
from webapp.search.counts import counts
from webapp.search.finder import PlanExecutor
from webapp.search.pages import fetch_page, newest_id
from webapp.search.planner import ID_MAX, build_plan
from webapp.search.query import Filter

bulk_actions = BulkAction.__table__

KINDS: Final = ("retry", "cancel")
RATE: Final = 100.0
"""Runs a second, where nobody says otherwise."""
RATE_MAX: Final = 1000.0
PICKED_MAX: Final = 1000
PART_MAX: Final = 200
"""Most runs of one transaction; while it lasts nobody else can write."""
PAUSE_MAX: Final = 1.0
"""Seconds of an action's rate that are made up for after nothing was done."""
UNSENT_MAX: Final = 1000
"""Runs that wait to be sent, with which no more are made: an action that is aborted then is over soon."""
TIMES: Final = ("since", "start", "end", "zone", "sort", "top", "before", "after")
"""What a frozen filter does not say again: its times have become ids, and it has no place of its own."""


def create(
    connection: Connection, kind: str, wanted: Filter, picked: Sequence[int], reason: str, rate: float = RATE
) -> int:
    """Keep a new action on all runs that fit, or on those picked, and return its number.

    Raises ``ActionNotAllowedError`` for a filter that is not understood whole, or that nothing fits.
    """
    if kind not in KINDS:
        raise ActionNotAllowedError("There is no such action.")
    if wanted.problems:
        raise ActionNotAllowedError(f"The filter is not understood: {wanted.problems[0][1]}")
    plan = build_plan(connection, wanted, time.time())
    if plan.problems:
        raise ActionNotAllowedError(plan.problems[0])
    total, more = size(connection, wanted, picked)
    if not total:
        raise ActionNotAllowedError("No run fits.")
    bump(connection)
    values = {
        "kind": kind,
        "state": "running",
        "query": urlencode(wanted.to_params(**dict.fromkeys(TIMES, ""))),
        "picked": json.dumps(sorted(picked, reverse=True)[:PICKED_MAX]) if picked else None,
        "reason": reason or None,
        "created_at": time.time(),
        "low": plan.low,
        # What comes later, and what this action makes, is no part of it.
        "cursor": min(plan.high, newest_id(connection) + 1),
        "total": total,
        "more": more,
        "rate": min(max(rate, 1.0), RATE_MAX) if math.isfinite(rate) else RATE,
        "done": 0,
        "failed": 0,
    }
    return int(connection.execute(insert(bulk_actions).values(**values).returning(bulk_actions.c.id)).scalar_one())


def size(connection: Connection, wanted: Filter, picked: Sequence[int]) -> tuple[int, bool]:
    """Return how many runs an action would be on, and whether there may be more."""
    if picked:
        return len(picked[:PICKED_MAX]), False
    totals = counts(connection, wanted)
    plan = build_plan(connection, wanted, time.time())
    fits = [totals[number] for number in plan.phases]
    names = {name for term in wanted.terms if term.field == "state" for name in term.value.lower().split(",")}
    if not names <= GROUPS.keys():
        # States within a phase are not counted apart, so the whole phase is the most there can be.
        found = fetch_page(connection, Filter.parse(wanted.to_params(before="", after="", sort="")), 1000)
        if found.older is None:
            return len(found.keys), False
        return max(len(found.keys), 1), True
    return sum(number for number, _ in fits), any(more for _, more in fits)


def carry_out(app: Flask, engine: Engine, now: float) -> int | None:
    """Carry out the next part of the oldest action, as much as its rate allows by now.

    Returns how many, None where there is no action.
    """
    oldest = select(bulk_actions).where(bulk_actions.c.state == "running").order_by(bulk_actions.c.id).limit(1)
    with engine.connect() as connection:
        if connection.execute(select(runs.c.id).where(WAITS).offset(UNSENT_MAX).limit(1)).first():
            oldest = oldest.where(bulk_actions.c.kind != "retry")
        action = connection.execute(oldest).one_or_none()
        if action is None:
            return None
        if not _due(action, now):
            return 0
    with engine.begin() as connection:
        # Writers form a line behind this, so that two recorders never carry out the same part.
        version = bump(connection)
        action = connection.execute(oldest).one_or_none()
        part = _due(action, now) if action else 0
        if action is None or not part:
            return 0
        ids, cursor = _next(connection, action, part)
        failed, last_error = _ACTIONS[action.kind](app, connection, action, _rows(connection, ids), version)
        values: dict[str, Any] = {"cursor": cursor, "done": action.done + len(ids), "failed": action.failed + failed}
        values["worked_at"] = _worked_at(action, now) + part / action.rate
        if last_error:
            values["last_error"] = last_error
        if cursor <= action.low + 1 or cursor <= 0:
            values |= {"state": "done", "ended_at": now}
        connection.execute(update(bulk_actions).where(bulk_actions.c.id == action.id).values(**values))
    return len(ids)


def _worked_at(action: Row[Any], now: float) -> float:
    """Return until when the rate of an action has been used up; what a pause left unused is not made up for."""
    return max(float(action.worked_at or action.created_at), now - PAUSE_MAX)


def _due(action: Row[Any], now: float) -> int:
    """Return how many runs the rate of an action allows by now."""
    return min(max(int(action.rate * (now - _worked_at(action, now))), 0), PART_MAX)


def _next(connection: Connection, action: Row[Any], part: int) -> tuple[list[int], int]:
    """Return the next runs, newest first, and the place after them; 0 when there are no more."""
    if action.picked:
        left = [id_ for id_ in json.loads(action.picked) if id_ < action.cursor]
        return left[:part], left[part - 1] if len(left) > part else 0
    plan = build_plan(connection, Filter.parse(dict(parse_qsl(action.query))), time.time())
    if plan.nothing:
        return [], 0
    found = PlanExecutor(connection, plan, action.low, min(action.cursor, ID_MAX), False, part + 1, nearby=True)
    keys = [key.id for key in found.find()]
    if len(keys) > part:
        return keys[:part], keys[part - 1]
    return keys, found.stopped_at if found.stopped_at is not None else 0


def _rows(connection: Connection, ids: Sequence[int]) -> Sequence[Row[Any]]:
    return connection.execute(select(runs).where(runs.c.id.in_(ids)).order_by(runs.c.id.desc())).all()


def _retry(
    app: Flask, connection: Connection, action: Row[Any], rows: Sequence[Row[Any]], version: int
) -> tuple[int, str]:
    """Put a new run for each into the outbox; the relay sends them."""
    new, failed, last_error, taken = [], 0, "", set[int]()
    due_at = database_time(connection)
    for row, options in zip(rows, retry_options(app, connection, rows), strict=True):
        try:
            args, kwargs = original_call(row)
            # Of this action, the same run is run again under the same id, whoever does it and how often.
            task_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{action.id}:{action.created_at}:{row.task_id}"))
            asked = exact_json(options) if options else None
            check_call(app, row.name, args, kwargs, options)
            message = Message(task_id, row.name, exact_json(args), exact_json(kwargs), options=asked)
        except VaseError as fault:
            failed, last_error = failed + 1, str(fault)
            continue
        now = time.time()
        values = new_row(app, message, now, taken=taken)
        values |= {"publish_state": "new", "publish_owner": None, "publish_attempts": 0}
        values |= {"publish_due_at": due_at, "retry_of": row.task_id, "note": action.reason, "changed": version}
        taken.add(values["id"])
        new.append(values)
    if new:
        connection.execute(insert(runs), new)
    return failed, last_error


def _cancel(
    app: Flask, connection: Connection, action: Row[Any], rows: Sequence[Row[Any]], version: int
) -> tuple[int, str]:
    """Drop what was never sent, and ask for the others; the recorder tells the workers."""
    can = [row for row in rows if CANCEL in allowed(row.state, row.phase, row.publish_state)]
    waits = [row for row in can if row.state == "PENDING" and row.publish_state in UNSENT]
    unsent = [row.task_id for row in waits]
    never_tried = {row.task_id for row in waits if not row.publish_attempts}
    sent = [row.task_id for row in can if row.task_id not in never_tried]
    if unsent:
        revoke_unsent(connection, unsent, version, time.time())
    if sent:
        request(connection, sent, version, time.time(), action.reason or "", bulk_id=action.id)
    failed = len(rows) - len(can)
    return failed, "Some runs had begun or ended, and could not be cancelled any more." if failed else ""


_ACTIONS: Final[dict[str, Callable[..., tuple[int, str]]]] = {"retry": _retry, "cancel": _cancel}


def unconfirmed(connection: Connection, number: int) -> int:
    """Return how many cancels of an action nobody can say yet to have worked, or to have come too late."""
    mine = (cancels.c.bulk_id == number) & cancels.c.ended_at.is_(None)
    return int(connection.execute(select(func.count()).select_from(cancels).where(mine)).scalar_one())


def abort(connection: Connection, number: int) -> bool:
    """End an action where it stands; return whether it was still going on."""
    bump(connection)
    running = (bulk_actions.c.id == number) & (bulk_actions.c.state == "running")
    values = {"state": "aborted", "ended_at": time.time()}
    return bool(connection.execute(update(bulk_actions).where(running).values(**values)).rowcount)
