"""Gives back to their queues the messages that a killed worker had taken and not acknowledged.

Redis as a broker would give them back too, after its visibility timeout: an hour by default. A message that was
acknowledged when its task began is gone with the worker, and nothing here brings it back.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any, Final

from celery import Celery
from sqlalchemy import Engine, select

from webapp.broker import worker_answers
from webapp.queries import runs
from webapp.recorder.workers import Lost
from webapp.states import LIVE

log = logging.getLogger(__name__)

RUNS_MAX: Final = 1000
"""Most runs of one worker looked for; a worker holds no more messages than it prefetches."""


def rescue(engine: Engine, celery: Celery, lost: Lost) -> int:
    """Return how many messages of a lost worker went back to their queues.

    A worker without an heir is asked once more before anything is taken from it: it may have been silent only for
    us. Does nothing for brokers other than Redis.
    """
    if not lost.replaced and worker_answers(celery, lost.hostname):
        return 0
    task_ids = _unfinished(engine, lost)
    if not task_ids:
        return 0
    with celery.connection_for_write() as connection:
        channel = connection.default_channel
        if not hasattr(channel, "unacked_key"):
            return 0
        tags = _tags(channel, task_ids)
    give_back(celery, tags)
    if tags:
        log.warning("Worker %s is gone; %d of its messages went back to their queues.", lost.hostname, len(tags))
    return len(tags)


def give_back(celery: Celery, tags: Iterable[str]) -> None:
    """Put messages that nobody is going to acknowledge back into their queues; only Redis holds such."""
    with celery.connection_for_write() as connection:
        for tag in tags:
            connection.default_channel.qos.restore_by_tag(tag)


def _unfinished(engine: Engine, lost: Lost) -> set[str]:
    mine = (runs.c.worker == lost.hostname) & (runs.c.phase == LIVE) & (runs.c.worker_at < lost.before)
    with engine.connect() as connection:
        return set(connection.execute(select(runs.c.task_id).where(mine).limit(RUNS_MAX)).scalars())


def _tags(channel: Any, task_ids: set[str]) -> list[str]:
    """Return the delivery tags under which these runs' messages wait for an acknowledgement."""
    found = []
    with channel.conn_or_acquire() as client:
        for tag, stored in client.hscan_iter(channel.unacked_key, count=100):
            try:
                task_id = json.loads(stored)[0]["headers"]["id"]
            except (ValueError, LookupError, TypeError):
                continue
            if task_id in task_ids:
                found.append(tag.decode() if isinstance(tag, bytes) else tag)
    return found
