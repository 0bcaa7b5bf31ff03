"""What the broker remembers of cancels, for workers that were away when they were told; see ``request``.

Commands: ``ZADD``, ``ZREM`` and, once a minute, ``ZREMRANGEBYSCORE``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any, Final

from celery import Celery
from redis.exceptions import NoPermissionError

from webapp.broker.redis import plain_redis
from webapp.broker.redis_keys import CANCELLED

log = logging.getLogger(__name__)

REMEMBERED: Final = 14 * 24 * 3600.0
"""Seconds after which a cancel is forgotten by the broker; the database keeps it."""
SOON: Final = 600.0
"""Seconds for which a cancel is remembered that a worker was heard to carry out."""


def mark_revoked(celery: Celery, task_ids: Collection[str], now: float) -> None:
    """Leave word for workers that are not there; raises what the broker's driver raises."""
    _run(celery, lambda client, key: client.zadd(key, dict.fromkeys(task_ids, now)))


def expire_soon(celery: Celery, task_ids: Collection[str], now: float) -> None:
    """Take back a little later what was left for workers: one that is about to drop a message may die before it does,
    and then another one gets it."""
    at = dict.fromkeys(task_ids, now - REMEMBERED + SOON)
    _run(celery, lambda client, key: client.zadd(key, at, xx=True))


def forget_old(celery: Celery, now: float) -> None:
    """Forget what is to be remembered no longer."""
    _run(celery, lambda client, key: client.zremrangebyscore(key, 0, now - REMEMBERED))


def forget(celery: Celery, task_ids: Collection[str]) -> None:
    """Take back what was left for workers, of runs that have ended; raises what the broker's driver raises."""
    _run(celery, lambda client, key: client.zrem(key, *task_ids))


def _run(celery: Celery, command: Callable[[Any, str], object]) -> None:
    """Run a command on the set, which is a service: a user that may not use it cancels all the same."""
    with plain_redis(celery) as (keys, client):
        if keys is not None:
            try:
                command(client, keys.key(CANCELLED))
            except NoPermissionError as fault:
                log.debug("The broker remembers no cancels: %s", fault)
