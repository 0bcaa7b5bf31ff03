"""Cancels a run, and tells the truth about it: what was never sent ends here, for the rest the request is kept until
a worker has heard of it and the run has ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from typing import Any, Final

from flask import Flask
from kombu.exceptions import KombuError
from redis.exceptions import RedisError
from sqlalchemy import ColumnElement, Connection, bindparam, insert, select, update

from webapp.broker.revoked import mark_revoked
from webapp.celery_app import publisher_of
from webapp.errors import ActionNotAllowedError
from webapp.extensions import db
from webapp.history import index
from webapp.history.facets import FacetRecorder
from webapp.history.queries import bump, cancels, pool_of, runs
from webapp.runs.actions import CANCEL, TERMINATE, allowed
from webapp.runs.states import DOUBTS, OTHER, UNSENT
from webapp.services import services_of

log = logging.getLogger(__name__)

NEVER_SENT: Final = "cancelled before it was sent"
NOT_SENT: Final = "cancelled after attempts to send it had failed"
TAKEN_BACK: Final = "cancelled, and its message taken out of the queue"
BEGUN_BY_NOBODY: Final = ("PENDING", "RECEIVED", "RETRY", *sorted(DOUBTS))
"""States of runs that have ended when their messages are taken out of the queue; in others a worker is at work."""
TOLD_AT_ONCE: Final = 500
"""Most task ids in one command to the workers; for each they ask and tell the result backend."""

_SEEN: Final = (*index.COLUMNS, runs.c.task_id, runs.c.publish_attempts)


def cancel(app: Flask, task_id: str, reason: str = "", terminate: bool = False) -> bool:
    """Ask that a run does not happen; return whether that ended it already, because it had not been sent.

    Raises ``ActionNotAllowedError`` where the run's state does not allow it, with the reason in words.
    """
    with db.engine.begin() as connection:
        version = bump(connection)
        row = connection.execute(select(*_SEEN).where(runs.c.task_id == task_id)).one_or_none()
        if row is None:
            raise ActionNotAllowedError("This run is not known.")
        pool = pool_of(connection, row.worker)
        possible = allowed(row.state, row.phase, row.publish_state, pool)
        if (TERMINATE if terminate else CANCEL) not in possible:
            raise ActionNotAllowedError(_why_not(row.state, terminate, TERMINATE in possible))
        unsent = row.state == "PENDING" and row.publish_state in UNSENT
        if unsent:
            revoke_unsent(connection, [task_id], version, time.time())
            if not row.publish_attempts:
                return True
        # An attempt to send it failed, and may have been delivered all the same.
        request(connection, [task_id], version, time.time(), reason, terminate)
    broadcast_revoke(app, [task_id], terminate)
    return unsent


def _why_not(state: str, terminate: bool, could_terminate: bool) -> str:
    if terminate:
        return "Only a run that is being worked on can be terminated, by a worker whose pool can end a single task."
    if could_terminate:
        return "The run has started; it can be terminated, but no longer cancelled."
    return f"A run that is {state} cannot be cancelled."


def revoke_unsent(connection: Connection, task_ids: Sequence[str], version: int, now: float) -> None:
    """End runs that were not sent, as REVOKED."""
    unsent = {"publish_state": "dropped", "publish_owner": None, "publish_due_at": None}
    for which, why in ((runs.c.publish_attempts == 0, NEVER_SENT), (runs.c.publish_attempts > 0, NOT_SENT)):
        found = (runs.c.state == "PENDING") & runs.c.publish_state.in_(UNSENT) & which
        _revoke(connection, task_ids, found, version, now, {**unsent, "exception": why})


def revoke_withdrawn(connection: Connection, task_ids: Sequence[str], version: int, now: float) -> None:
    """End runs whose messages were taken out of their queues, as REVOKED."""
    values = {"exception": TAKEN_BACK, "doubt": None}
    _revoke(connection, task_ids, runs.c.state.in_(BEGUN_BY_NOBODY), version, now, values)
    connection.execute(update(cancels).where(cancels.c.task_id.in_(task_ids)).values(acknowledged_at=now, ended_at=now))


def _revoke(
    connection: Connection,
    task_ids: Sequence[str],
    which: ColumnElement[bool],
    version: int,
    now: float,
    more: dict[str, Any],
) -> None:
    """End runs that nobody works on and nobody will."""
    found = runs.c.task_id.in_(task_ids) & which
    rows = connection.execute(select(*_SEEN).where(found)).all()
    ended = {"state": "REVOKED", "phase": OTHER, "state_at": now, "outcome_at": now, "changed": version, **more}
    orders = {"run_order": None, "wait_order": None}
    connection.execute(update(runs).where(runs.c.id.in_([row.id for row in rows])).values(**ended, **orders))
    index.update_index(connection, [], [(row.id, index.tokens_of({**row._mapping, **ended})) for row in rows])
    FacetRecorder().note(connection, {("REVOKED", row.name, row.worker, row.queue) for row in rows}, now)


def request(
    connection: Connection,
    task_ids: Sequence[str],
    version: int,
    now: float,
    reason: str = "",
    terminate: bool = False,
    bulk_id: int | None = None,
) -> None:
    """Keep the request to cancel runs; a second one for the same run counts as the first one made stronger."""
    known = set(connection.execute(select(cancels.c.task_id).where(cancels.c.task_id.in_(task_ids))).scalars())
    again = update(cancels).where(cancels.c.task_id.in_(known))
    if terminate:
        again = again.values(terminate=True)
    if bulk_id is not None:
        again = again.values(bulk_id=bulk_id)
    connection.execute(again.values(due_at=0.0, ended_at=None))
    fresh = {"requested_at": now, "due_at": 0.0, "terminate": terminate, "reason": reason or None, "bulk_id": bulk_id}
    new = [{"task_id": task_id, **fresh} for task_id in task_ids if task_id not in known]
    if new:
        connection.execute(insert(cancels), new)
    # One at a time by their index: a page of the run shows the request at once.
    mark = update(runs).where(runs.c.task_id == bindparam("key")).values(changed=version)
    connection.execute(mark, [{"key": task_id} for task_id in task_ids])


def broadcast_revoke(app: Flask, task_ids: Collection[str], terminate: bool) -> None:
    """Tell all workers at once, without waiting for an answer; should that fail, the recorder tells them."""
    publisher, breaker = publisher_of(app), services_of(app).circuit_breaker
    if not breaker.allow():
        return
    try:
        mark_revoked(publisher, task_ids, time.time())
        publisher.control.revoke(list(task_ids), terminate=terminate, reply=False)
        breaker.record_success()
    except (KombuError, RedisError, OSError, RuntimeError) as fault:
        breaker.record_failure(str(fault))
        log.warning("The workers could not be told of a cancel: %s", fault)
