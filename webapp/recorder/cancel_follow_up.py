"""Follows every cancel to its end: drops what was never sent, tells the workers until one has answered, tells those
that come up later, and notes when the run has ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from celery import Celery
from flask import Flask
from sqlalchemy import Engine, select, update

from webapp.actions.cancel import BEGUN_BY_NOBODY, TAKEN_BACK, TOLD_AT_ONCE, revoke_unsent, revoke_withdrawn
from webapp.broker.control import answers, ask
from webapp.broker.redis import Memory, queues_of, waiting
from webapp.broker.revoked import expire_soon, forget, mark_revoked
from webapp.broker.withdrawal import withdraw
from webapp.celery_app import celery_of, publisher_of
from webapp.history.queries import bump, cancels, queues_read, runs
from webapp.history.writer import write
from webapp.recorder.heartbeat import hostnames_online
from webapp.recorder.result_facts import read_results
from webapp.runs.states import DOUBTS, UNSENT, is_ready

log = logging.getLogger(__name__)

AT_ONCE: Final = 5000
"""Most cancels that are followed in one turn; for all of them the queues are walked once."""
AGAIN_SECONDS: Final = 30.0
"""Seconds after which a run is looked at again, and workers are told once more should it go on."""
DOUBTFUL_SECONDS: Final = 600.0
"""The same for a run whose result says that it was revoked while nobody was heard to drop its message."""
NAMES_MAX: Final = 20
"""Most workers that are named as having answered."""


def follow(app: Flask, engine: Engine, newcomer: bool, memory: Memory) -> None:
    """Do what is due for open cancels, the longest due first; ``newcomer`` makes all due.

    ``memory`` is what was read of the queues before, so that to look again costs next to nothing.

    A worker that is told of a cancel stores at once that the run was revoked, and remembers the last 50,000 for three
    hours (Celery's ``REVOKES_MAX`` and ``REVOKE_EXPIRES``). So the word of the result alone ends nothing: the message
    may still be there, or go back to its queue with the end of the worker that holds it.
    """
    now = time.time()
    columns = (cancels.c.task_id, cancels.c.terminate, runs.c.state, runs.c.publish_state, runs.c.publish_attempts)
    query = (
        select(*columns, runs.c.worker, runs.c.received_at, runs.c.queue, cancels.c.due_at, cancels.c.requested_at)
        .select_from(cancels.outerjoin(runs, runs.c.task_id == cancels.c.task_id))
        .where(cancels.c.ended_at.is_(None), cancels.c.due_at <= now)
        .order_by(cancels.c.due_at)
        .limit(AT_ONCE)
    )
    if newcomer:
        with engine.begin() as connection:
            connection.execute(update(cancels).where(cancels.c.ended_at.is_(None)).values(due_at=0.0))
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    if not rows:
        return
    over = {row.task_id for row in rows if _is_over(row)}
    # What workers hold is asked for before the queues, into which it may go back meanwhile.
    held = _held(app, [row for row in rows if row.task_id not in over])
    gone = _withdraw(app, engine, [row for row in rows if row.task_id not in over], now, memory)
    unsent = [row.task_id for row in rows if row.state == "PENDING" and row.publish_state in UNSENT]
    if unsent:
        with engine.begin() as connection:
            revoke_unsent(connection, unsent, bump(connection), now)
    gone.update(unsent)
    over |= {row.task_id for row in rows if row.task_id not in held and _was_dropped(row)}
    left = [row for row in rows if row.task_id not in gone]
    over |= _vanished(app, engine, [row for row in left if row.task_id not in over], now)
    _end(engine, publisher_of(app), [row for row in left if row.task_id in over], now)
    going_on = [row for row in left if row.task_id not in over]
    told = [row for row in going_on if _is_to_be_told(row, now)]
    for terminate in (False, True):
        some = [row.task_id for row in told if row.terminate == terminate]
        for start in range(0, len(some), TOLD_AT_ONCE):
            part = some[start : start + TOLD_AT_ONCE]
            if _tell(engine, publisher_of(app), part, terminate, now):
                # A worker that answers has stored by then that it revoked them, and whoever cancelled looks on.
                value_max = app.config["VALUE_MAX_BYTES"]
                write(engine, dict(read_results(celery_of(app), part, time.time(), value_max)))
    _look_again(engine, [row.task_id for row in going_on if row.state == "REVOKED"], held, now)


def _look_again(engine: Engine, revoked: Sequence[str], held: Collection[str], now: float) -> None:
    """Set when those are looked at again that are said to be revoked: soon where a worker has the message."""
    for some, seconds in ((held, AGAIN_SECONDS), (set(revoked).difference(held), DOUBTFUL_SECONDS)):
        if mine := [task_id for task_id in revoked if task_id in some]:
            with engine.begin() as connection:
                later = update(cancels).where(cancels.c.task_id.in_(mine))
                connection.execute(later.values(due_at=now + seconds))


def _places(app: Flask, engine: Engine, rows: Iterable[Any]) -> set[str]:
    """Return the queues in which the messages of runs may wait: which one a foreign run came from nobody tells."""
    with engine.connect() as connection:
        known = queues_read(connection) | queues_of(celery_of(app))
    return known | {row.queue for row in rows if row.queue}


def _held(app: Flask, rows: Iterable[Any]) -> set[str]:
    """Return those runs that were revoked at a worker which has not acknowledged the message."""
    revoked = {row.task_id for row in rows if row.state == "REVOKED" and row.worker is not None}
    return revoked & waiting(publisher_of(app), ()).unacked.keys() if revoked else set()


def _withdraw(app: Flask, engine: Engine, rows: Sequence[Any], now: float, memory: Memory) -> set[str]:
    """Take what waits out of the queues, which does more than to tell workers: one that is away hears of nothing.

    Return which runs have ended by that; whoever waits for a result is told as Celery would tell it.
    """
    places, wanted = _places(app, engine, rows), {row.task_id for row in rows}
    if rows and all(row.due_at for row in rows):
        # All have been looked for before; most are with a worker.
        seen = waiting(publisher_of(app), places, wanted=wanted, memory=memory)
        if not (wanted & seen.task_ids) - seen.unacked.keys():
            return set()
    taken = withdraw(publisher_of(app), places, wanted).taken
    ended = {row.task_id: row for row in rows if row.task_id in taken and row.state in (*BEGUN_BY_NOBODY, "REVOKED")}
    if ended:
        with engine.begin() as connection:
            revoke_withdrawn(connection, sorted(ended), bump(connection), now)
        received = {task_id for task_id, row in ended.items() if row.received_at is not None}
        if received:
            # A worker may have another copy of the message.
            expire_soon(publisher_of(app), received, now)
        if others := ended.keys() - received:
            forget(publisher_of(app), others)
        for task_id in ended:
            celery_of(app).backend.mark_as_revoked(task_id, TAKEN_BACK, store_result=True)
    return set(ended)


def _vanished(app: Flask, engine: Engine, rows: Sequence[Any], now: float) -> set[str]:
    """Return which of those that are said to be revoked, or in doubt, have had no message for long: an emptied queue,
    say, or a recorder that was killed when it had just taken the message out."""
    doubtful = [row for row in rows if row.state in {"REVOKED", *DOUBTS} and now - row.requested_at > DOUBTFUL_SECONDS]
    if not doubtful:
        return set()
    places = waiting(publisher_of(app), _places(app, engine, doubtful))
    return {row.task_id for row in doubtful if row.task_id not in places.task_ids} if places.complete else set()


def _is_to_be_told(row: Any, now: float) -> bool:
    """Say whether workers are to be told; of what they say is revoked, only for the first time and now and then."""
    return row.state != "REVOKED" or not row.due_at or now - row.requested_at > DOUBTFUL_SECONDS


def _is_over(row: Any) -> bool:
    """Say whether nothing is left to be done; a run in doubt may come back, and one without a row was pruned."""
    if row.state == "REVOKED":
        return row.publish_state == "dropped" and not row.publish_attempts
    return row.state is None or is_ready(row.state)


def _was_dropped(row: Any) -> bool:
    """Say whether a worker says that it revoked a run, which is over unless it still has the message."""
    return row.state == "REVOKED" and row.worker is not None


def _end(engine: Engine, celery: Celery, rows: Sequence[Any], now: float) -> None:
    """Note that nothing is left to be done, and let the broker forget it."""
    if not rows:
        return
    task_ids = [row.task_id for row in rows]
    held = {row.task_id for row in rows if row.state == "REVOKED" and row.received_at is not None}
    if gone := [task_id for task_id in task_ids if task_id not in held]:
        forget(celery, gone)
    if held:
        expire_soon(celery, held, now)
    with engine.begin() as connection:
        version = bump(connection)
        connection.execute(update(cancels).where(cancels.c.task_id.in_(task_ids)).values(ended_at=now))
        # A worker revoked them before there was time to ask it.
        unasked = cancels.c.task_id.in_([row.task_id for row in rows if row.state == "REVOKED"])
        unasked &= cancels.c.acknowledged_at.is_(None)
        by = select(runs.c.worker).where(runs.c.task_id == cancels.c.task_id).scalar_subquery()
        connection.execute(update(cancels).where(unasked).values(acknowledged_at=now, acknowledged_by=by))
        connection.execute(update(runs).where(runs.c.task_id.in_(task_ids)).values(changed=version))


def _tell(engine: Engine, celery: Celery, task_ids: list[str], terminate: bool, now: float) -> list[str]:
    """Tell all workers, note who answered and return their names."""
    online = hostnames_online(engine)
    mark_revoked(celery, task_ids, now)
    # Where nobody is known to listen, nobody is waited for; whoever comes up is told then.
    if online:
        told = ask(celery, "revoke", limit=len(online), task_id=task_ids, terminate=terminate, signal="SIGTERM")
        names = sorted(answers(told))
    else:
        celery.control.revoke(task_ids, terminate=terminate)
        names = []
    noted: dict[str, Any] = {"due_at": now + AGAIN_SECONDS}
    if names:
        noted |= {"acknowledged_at": time.time(), "acknowledged_by": " ".join(names[:NAMES_MAX])}
    with engine.begin() as connection:
        version = bump(connection)
        connection.execute(update(cancels).where(cancels.c.task_id.in_(task_ids)).values(**noted))
        connection.execute(update(runs).where(runs.c.task_id.in_(task_ids)).values(changed=version))
    return names
