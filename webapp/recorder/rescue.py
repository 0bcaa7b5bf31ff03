"""Gives back to their queues the messages that a killed worker had taken and not acknowledged.

Redis as a broker would give them back too, after its visibility timeout: an hour by default. A message that was
acknowledged when its task began is gone with the worker, and nothing here brings it back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

from celery import Celery
from sqlalchemy import Engine, Row, select

from webapp.allowed import is_solo
from webapp.broker import rate_limited_tasks, tasks_known_to, worker_answers
from webapp.queries import runs, workers
from webapp.queues import waiting
from webapp.recorder.signs import hostnames_online
from webapp.recorder.workers import Lost
from webapp.states import LIVE

log = logging.getLogger(__name__)

IDS_MAX: Final = 20_000
"""Most messages looked at; workers hold no more than they prefetch."""


def rescue(engine: Engine, celery: Celery, lost: Lost) -> int:
    """Return how many messages of a lost worker went back to their queues.

    A worker without an heir is asked once more before anything is taken from it: it may have been silent only for
    us. Does nothing for brokers other than Redis.
    """
    if not lost.replaced and (_is_solo(engine, lost.hostname) or worker_answers(celery, lost.hostname)):
        return 0
    held = waiting(celery, ()).unacked
    tags = [held[task_id] for task_id in _left_behind(engine, celery, lost, list(held)[:IDS_MAX])]
    give_back(celery, tags)
    if tags:
        log.warning("Worker %s is gone; %d of its messages went back to their queues.", lost.hostname, len(tags))
    return len(tags)


def _is_solo(engine: Engine, hostname: str) -> bool:
    """Say whether a worker says nothing while it runs a task, so that its silence says nothing either."""
    with engine.connect() as connection:
        return is_solo(connection.execute(select(workers.c.pool).where(workers.c.hostname == hostname)).scalar())


def give_back(celery: Celery, tags: Iterable[str]) -> None:
    """Put messages that nobody is going to acknowledge back into their queues; only Redis holds such."""
    with celery.connection_for_write() as connection:
        for tag in tags:
            connection.default_channel.qos.restore_by_tag(tag)


def _left_behind(engine: Engine, celery: Celery, lost: Lost, task_ids: list[str]) -> set[str]:
    """Return those of these runs that the lost worker had.

    Where another process has taken its name, that includes what it took without a word about it: nobody was heard to
    receive it, and nobody who lives has it.
    """
    columns = [runs.c[name] for name in "task_id name worker worker_at created_at eta".split()]
    with engine.connect() as connection:
        rows = connection.execute(select(*columns).where(runs.c.phase == LIVE, runs.c.task_id.in_(task_ids))).all()
    mine = {row.task_id for row in rows if row.worker == lost.hostname and row.worker_at < lost.before}
    if mine and lost.same:
        mine = _forgotten(celery, lost.hostname, [row for row in rows if row.task_id in mine])
    unheard = {row.task_id for row in rows if lost.replaced and not row.worker and row.created_at < lost.before}
    if unheard:
        asked = sorted(unheard)
        busy = tasks_known_to(celery, dict.fromkeys(hostnames_online(engine), asked))
        unheard.difference_update(*(unheard if known is None else known for known in busy.values()))
    return mine | unheard


def _forgotten(celery: Celery, hostname: str, rows: Sequence[Row[Any]]) -> set[str]:
    """Return the runs that a worker says it does not have; not every worker tells of those that it holds for later."""
    limited = rate_limited_tasks(celery, {hostname})
    certain = {row.task_id for row in rows if not row.eta and row.name not in limited}
    known = tasks_known_to(celery, {hostname: sorted(certain)})[hostname] if certain else None
    return certain - known if known is not None else set()
