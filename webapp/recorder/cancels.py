"""Follows every cancel to its end: drops what was never sent, tells the workers until one has answered, tells those
that come up later, and notes when the run has ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, Final

from celery import Celery
from flask import Flask
from sqlalchemy import Engine, select, update

from webapp.cancelled import forget, remember
from webapp.cancelling import TOLD_AT_ONCE, UNSENT, cancels, drop
from webapp.celery_app import publisher_of
from webapp.queries import bump, runs, workers
from webapp.states import is_ready

log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 1.0
"""Seconds for which answers of workers are awaited."""
AGAIN_SECONDS: Final = 30.0
"""Seconds after which a run is looked at again, and workers are told once more should it go on."""
NAMES_MAX: Final = 20
"""Most workers that are named as having answered."""


def follow(app: Flask, engine: Engine, newcomer: bool) -> None:
    """Do what is due for open cancels, the longest untold first; a ``newcomer`` among the workers is told all."""
    now = time.time()
    columns = (cancels.c.task_id, cancels.c.terminate, runs.c.state, runs.c.publish_state)
    query = (
        select(*columns)
        .select_from(cancels.outerjoin(runs, runs.c.task_id == cancels.c.task_id))
        .where(cancels.c.ended_at.is_(None), cancels.c.told_at < now - AGAIN_SECONDS)
        .order_by(cancels.c.told_at)
        .limit(TOLD_AT_ONCE)
    )
    if newcomer:
        with engine.begin() as connection:
            connection.execute(update(cancels).where(cancels.c.ended_at.is_(None)).values(told_at=0.0))
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    if not rows:
        return
    # A run in doubt may come back, so it stays as open as a live one. One without a row was pruned.
    live = [row for row in rows if row.state and not is_ready(row.state)]
    _end(engine, publisher_of(app), [row for row in rows if not row.state or is_ready(row.state)], now)
    unsent = [row.task_id for row in live if row.state == "PENDING" and row.publish_state in UNSENT]
    if unsent:
        with engine.begin() as connection:
            drop(connection, unsent, bump(connection), now)
    for terminate in (False, True):
        told = [row.task_id for row in live if row.terminate == terminate and row.task_id not in unsent]
        if told:
            _tell(engine, publisher_of(app), told, terminate, now)


def _end(engine: Engine, celery: Celery, rows: Sequence[Any], now: float) -> None:
    """Note that nothing is left to be done, and let the broker forget it."""
    task_ids = [row.task_id for row in rows]
    if not task_ids:
        return
    forget(celery, task_ids)
    with engine.begin() as connection:
        version = bump(connection)
        connection.execute(update(cancels).where(cancels.c.task_id.in_(task_ids)).values(ended_at=now))
        # A worker revoked them before there was time to ask it.
        unasked = cancels.c.task_id.in_([row.task_id for row in rows if row.state == "REVOKED"])
        unasked &= cancels.c.acknowledged_at.is_(None)
        by = select(runs.c.worker).where(runs.c.task_id == cancels.c.task_id).scalar_subquery()
        connection.execute(update(cancels).where(unasked).values(acknowledged_at=now, acknowledged_by=by))
        connection.execute(update(runs).where(runs.c.task_id.in_(task_ids)).values(changed=version))


def _tell(engine: Engine, celery: Celery, task_ids: list[str], terminate: bool, now: float) -> None:
    """Tell all workers, and note who answered."""
    with engine.connect() as connection:
        online = connection.execute(select(workers.c.hostname).where(workers.c.online)).scalars().all()
    remember(celery, task_ids, now)
    replies: list[dict[str, Any]] = celery.control.revoke(
        task_ids, terminate=terminate, reply=True, timeout=ANSWER_SECONDS, limit=len(online) or None
    )
    names = sorted({hostname for reply in replies or [] for hostname in reply})
    noted: dict[str, Any] = {"told_at": now}
    if names:
        noted |= {"acknowledged_at": time.time(), "acknowledged_by": " ".join(names[:NAMES_MAX])}
    with engine.begin() as connection:
        version = bump(connection)
        connection.execute(update(cancels).where(cancels.c.task_id.in_(task_ids)).values(**noted))
        connection.execute(update(runs).where(runs.c.task_id.in_(task_ids)).values(changed=version))
