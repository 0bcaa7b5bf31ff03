"""Asks the broker and the workers how they are, always with a bound on the time it may take."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from amqp.exceptions import AMQPError
from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from webapp.broker.content import TolerantMailbox
from webapp.broker.redis import drop_lists, is_redis
from webapp.errors import BrokerError
from webapp.text import one_line

PING_TIMEOUT: Final = 1.0
FAULTS: Final = (KombuError, RedisError, AMQPError, OSError)
LATE_SECONDS: Final = 5.0
"""Seconds after which no worker is going to answer a question any more."""

_reply_queues: dict[str, float] = {}
"""The queues in which answers were awaited and may have come in since, with when that was (monotonic seconds)."""


def ping(publisher: Celery) -> str:
    """Return which kind of broker answered, such as ``redis``; raise ``BrokerError`` after two seconds at most.

    ``publisher`` is one that gives up within seconds. The connection is one of its pool, which stays open; one that
    died meanwhile is made anew once.
    """
    try:
        try:
            return _ask(publisher)
        except FAULTS:
            return _ask(publisher)
    except FAULTS as fault:
        raise BrokerError(one_line(fault)) from fault


def _ask(publisher: Celery) -> str:
    with publisher.connection_or_acquire() as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0.05, timeout=PING_TIMEOUT)
            channel = connection.default_channel
            if is_redis(channel):
                with channel.conn_or_acquire() as client:
                    client.ping()
            else:
                connection.channel().close()
            return str(connection.transport.driver_type)
        except AMQPError:
            # What the pool gives out again must not be the dead one; Redis's driver sees to that by itself.
            connection.collect()
            raise


def ask(
    celery: Celery, command: str, destination: Collection[str] | None = None, limit: int | None = None, **arguments: Any
) -> list[dict[str, Any]]:
    """Return the workers' answers to a question, each with its hostname, as Celery's ``broadcast`` does.

    It waits for a second, or until ``limit`` workers, or all of ``destination``, have answered. Raises what the
    broker's driver raises.
    """
    with celery.connection_or_acquire() as connection:
        mailbox = TolerantMailbox.of(celery.control.mailbox(connection), celery)
        limit = limit or (len(destination) if destination else None)
        wanted = {"timeout": PING_TIMEOUT, "limit": limit, "channel": connection.default_channel}
        try:
            if destination is None:
                found = mailbox.multi_call(command, arguments, **wanted)
            else:
                found = mailbox._broadcast(command, arguments, list(destination), reply=True, **wanted)
        finally:
            note_asked(mailbox)
    return [reply for reply in found or [] if isinstance(reply, dict)]


def note_asked(mailbox: Any) -> None:
    """Note that answers were awaited in a mailbox's queue; they may go on coming in."""
    _reply_queues[mailbox.reply_queue.name] = time.monotonic()


def answers(replies: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return answers by hostname."""
    return {hostname: answer for reply in replies for hostname, answer in reply.items()}


def forget_replies(celery: Celery, late: float = LATE_SECONDS) -> None:
    """Remove what came in after nobody waited for it any more; Redis would keep it for ever."""
    now = time.monotonic()
    names = [name for name, at in list(_reply_queues.items()) if now - at >= late]
    if names:
        drop_lists(celery, names)
    for name in names:
        _reply_queues.pop(name, None)


def answering_workers(celery: Celery) -> set[str]:
    """Return the names of all workers that answer a ping within a second, which it always takes."""
    return set(answers(ask(celery, "ping")))


def worker_answers(celery: Celery, hostname: str) -> bool:
    """Say whether one worker answers a ping within a second."""
    return bool(ask(celery, "ping", [hostname]))


def rate_limited_tasks(celery: Celery, hostnames: Collection[str]) -> set[str]:
    """Return the tasks that one of these workers runs no oftener than so and so; it may hold some and not say so."""
    replies = answers(ask(celery, "registered", hostnames, taskinfoitems=["rate_limit"]))
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
    task_ids = sorted({task_id for ids in asked.values() for task_id in ids})
    given: dict[str, list[set[str]]] = {hostname: [] for hostname in asked}
    for reply in ask(celery, "query_task", asked, sum(expected.values()), ids=task_ids):
        for hostname, known in reply.items():
            if hostname in given and isinstance(known, dict):
                given[hostname].append(set(known))
    return {
        hostname: set().union(*known) if len(known) >= expected[hostname] or any(known) else None
        for hostname, known in given.items()
    }
