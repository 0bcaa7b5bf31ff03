"""Asks the broker and the workers how they are, always with a bound on the time it may take."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from webapp.errors import BrokerError
from webapp.text import one_line

PING_TIMEOUT: Final = 1.0


def ping(publisher: Celery) -> None:
    """Return when the broker answered; raise ``BrokerError`` after about a second otherwise.

    ``publisher`` is one that gives up within seconds; to connect to Redis, kombu asks for a PONG.
    """
    try:
        with publisher.connection_for_write(connect_timeout=PING_TIMEOUT) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.05, timeout=PING_TIMEOUT)
    except (KombuError, RedisError, OSError) as fault:
        raise BrokerError(one_line(fault)) from fault


def answering_worker(celery: Celery) -> str | None:
    """Return the name of the first worker that answers a ping within a second, or None.

    Asking for one answer takes milliseconds; asking for all always takes the whole second.
    """
    replies = celery.control.ping(timeout=PING_TIMEOUT, limit=1)
    return next((hostname for reply in replies for hostname in reply), None)


def answering_workers(celery: Celery) -> set[str]:
    """Return the names of all workers that answer a ping within a second, which it always takes."""
    return {hostname for reply in celery.control.ping(timeout=PING_TIMEOUT) or [] for hostname in reply}


def worker_answers(celery: Celery, hostname: str) -> bool:
    """Say whether one worker answers a ping within a second."""
    return bool(celery.control.ping(destination=[hostname], timeout=PING_TIMEOUT, limit=1))


def rate_limited_tasks(celery: Celery, hostnames: Collection[str]) -> set[str]:
    """Return the tasks that one of these workers runs no oftener than so and so; it may hold some and not say so."""
    inspect = celery.control.inspect(destination=list(hostnames), timeout=PING_TIMEOUT, limit=len(hostnames))
    replies = inspect.registered("rate_limit") or {}
    return {task.partition(" [")[0] for tasks in replies.values() for task in tasks if " [rate_limit=" in task}


def tasks_known_to(celery: Celery, asked: dict[str, list[str]]) -> dict[str, set[str] | None]:
    """Ask workers, given by name with task ids, which of these they hold or run; None for one that does not answer.

    All are asked at once and have a second together.
    """
    if not asked:
        return {}
    task_ids = sorted({task_id for ids in asked.values() for task_id in ids})
    inspect = celery.control.inspect(destination=list(asked), timeout=PING_TIMEOUT, limit=len(asked))
    replies = inspect.query_task(task_ids) or {}
    return {hostname: set(replies[hostname]) if hostname in replies else None for hostname in asked}
