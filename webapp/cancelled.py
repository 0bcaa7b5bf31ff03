"""What the broker remembers of cancels, for workers that were away when they were told: a worker of our app asks
before it takes a message."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import Any, Final

from celery import Celery
from celery.worker.request import Request
from celery.worker.state import revoked as revoked_tasks

from webapp.lease import own, took
from webapp.queues import is_redis, redis_of

log = logging.getLogger(__name__)

CANCELLED: Final = "vase.cancelled"
"""A sorted set of task ids by the time of their cancel."""
REMEMBERED: Final = 14 * 24 * 3600.0
"""Seconds after which a cancel is forgotten by the broker; the database keeps it."""
SOON: Final = 600.0
"""Seconds for which a cancel is remembered that a worker was heard to carry out."""
LOOKED: Final = 1.0
"""Seconds for which a worker takes the set to be as empty as it was. Who is cancelled meanwhile, it is told at once."""


def remember(celery: Celery, task_ids: Collection[str], now: float) -> None:
    """Leave word for workers that are not there; raises what the broker's driver raises."""
    with redis_of(celery) as (_, client):
        if client:
            client.zadd(CANCELLED, dict.fromkeys(task_ids, now))


def forget_soon(celery: Celery, task_ids: Collection[str], now: float) -> None:
    """Take back a little later what was left for workers: one that is about to drop a message may die before it does,
    and then another one gets it."""
    with redis_of(celery) as (_, client):
        if client:
            client.zadd(CANCELLED, dict.fromkeys(task_ids, now - REMEMBERED + SOON), xx=True)


def forget_old(celery: Celery, now: float) -> None:
    """Forget what is to be remembered no longer."""
    with redis_of(celery) as (_, client):
        if client:
            client.zremrangebyscore(CANCELLED, 0, now - REMEMBERED)


def forget(celery: Celery, task_ids: Collection[str]) -> None:
    """Take back what was left for workers, of runs that have ended; raises what the broker's driver raises."""
    with redis_of(celery) as (_, client):
        if client:
            client.zrem(CANCELLED, *task_ids)


class CancellableRequest(Request):  # type: ignore[misc]  # Celery carries no type hints
    """Celery's request, which is marked as revoked when it was cancelled while its worker was away."""

    _empty_until = 0.0

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        redelivered = (message.delivery_info or {}).get("redelivered") or (message.headers or {}).get("redelivered")
        self._vase_tag = None if redelivered else str(message.delivery_tag)
        took(self.id, self._vase_tag)
        try:
            if self._was_cancelled(message.channel):
                revoked_tasks.add(self.id)
        # A service to the dashboard; whatever happens to it is no concern of the task.
        except Exception as fault:  # noqa: BLE001
            log.warning("It could not be asked whether %s was cancelled: %s", self.id, fault)

    def info(self, safe: bool = False) -> dict[str, Any]:
        """Return what a worker tells of a request, with the life that has it and the message that it came by."""
        lease = own()
        more = {"life": lease.token, "tag": self._vase_tag} if lease else {}
        return {**super().info(safe), **more}

    def _was_cancelled(self, channel: Any) -> bool:
        now = time.monotonic()
        if now < CancellableRequest._empty_until or not is_redis(channel):
            return False
        with channel.conn_or_acquire() as client:
            pipeline = client.pipeline(transaction=False)
            pipeline.zcard(CANCELLED)
            pipeline.zscore(CANCELLED, self.id)
            size, score = pipeline.execute()
        if not size:
            CancellableRequest._empty_until = now + LOOKED
        return score is not None
