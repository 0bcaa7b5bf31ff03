"""Asks the broker and the workers how they are, always with a bound on the time it may take."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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


def tasks_known_to(
    celery: Celery, asked: Mapping[str, list[str]], processes: Mapping[str, int] | None = None
) -> dict[str, set[str] | None]:
    """Ask workers, given by name with task ids, which of these they hold or run; None for one that does not answer.

    All are asked at once and have a second together. Two processes of one name answer as one, and only once both have:
    ``processes`` says how many there are, one where it does not say.
    """
    if not asked:
        return {}
    expected = {hostname: max((processes or {}).get(hostname, 1), 1) for hostname in asked}
    replies = celery.control.broadcast(
        "query_task",
        destination=list(asked),
        arguments={"ids": sorted({task_id for ids in asked.values() for task_id in ids})},
        reply=True,
        timeout=PING_TIMEOUT,
        limit=sum(expected.values()),
    )
    answers: dict[str, list[set[str]]] = {hostname: [] for hostname in asked}
    for reply in replies or []:
        for hostname, known in reply.items():
            if hostname in answers and isinstance(known, dict):
                answers[hostname].append(set(known))
    return {
        hostname: set().union(*given) if len(given) >= expected[hostname] or any(given) else None
        for hostname, given in answers.items()
    }
