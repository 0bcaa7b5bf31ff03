"""Looks at what waits in Redis: messages in the queues, and those that a worker took and has not acknowledged; takes
back those that nobody is to begin."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from celery import Celery

MESSAGES_MAX: Final = 20_000
"""Most messages of a queue that are looked at."""
UNACKED_MAX: Final = 100_000
"""Most unacknowledged messages that are looked at."""
CHUNK: Final = 500
# The id of a task stands in its message's headers as plain JSON; in texts the quotes would be escaped.
_TASK_ID: Final = re.compile(rb'"id": ?("(?:[^"\\]|\\.)*")')


@dataclass(slots=True)
class Waiting:
    """The task ids found in the queues or unacknowledged; ``complete`` says whether everything was looked at.

    ``unacked`` holds the delivery tags of those that some worker took and that wait in no queue.
    """

    task_ids: set[str] = field(default_factory=set)
    unacked: dict[str, str] = field(default_factory=dict)
    complete: bool = True


def is_redis(channel: Any) -> bool:
    """Say whether a kombu channel speaks to Redis, whose queues alone can be looked into."""
    return hasattr(channel, "unacked_key") and hasattr(channel, "conn_or_acquire")


@contextmanager
def redis_of(celery: Celery) -> Iterator[tuple[Any, Any]]:
    """Give the channel to the broker and the client of Redis behind it; both are None for other brokers.

    The connection is one of the pool. Raises what the broker's driver raises.
    """
    with celery.connection_or_acquire() as connection:
        channel = connection.default_channel
        if not is_redis(channel):
            yield None, None
            return
        with channel.conn_or_acquire() as client:
            yield channel, client


def waiting(celery: Celery, queues: Iterable[str], newest_first: bool = False) -> Waiting:
    """Return what waits in these queues, at most ``MESSAGES_MAX`` messages of each, and what no worker acknowledged.

    Of a longer queue these are the oldest messages, or the newest. Nothing, and not complete, for brokers other than
    Redis.
    """
    found = Waiting()
    with redis_of(celery) as (channel, client):
        if client is None:
            return Waiting(complete=False)
        for queue in queues:
            for step in channel.priority_steps:
                found.complete &= _read(client, channel._q_for_pri(queue, step), found.task_ids, newest_first)
        for number, (tag, stored) in enumerate(client.hscan_iter(channel.unacked_key, count=CHUNK)):
            if number == UNACKED_MAX:
                found.complete = False
                break
            for task_id in _ids([stored]):
                if task_id not in found.task_ids:
                    found.unacked[task_id] = tag.decode() if isinstance(tag, bytes) else tag
        found.task_ids.update(found.unacked)
    return found


def withdraw(celery: Celery, queue: str, task_ids: Collection[str]) -> set[str]:
    """Take the messages of these runs out of a queue, and return which were there: nobody will ever begin those.

    Left alone are queues longer than ``MESSAGES_MAX``, brokers other than Redis, and parts of a chord, of whose end the
    worker has to tell the others.
    """
    taken: set[str] = set()
    with redis_of(celery) as (channel, client):
        for step in channel.priority_steps if client else ():
            key = channel._q_for_pri(queue, step)
            if client.llen(key) > MESSAGES_MAX:
                continue
            read = ((next(_ids([message]), ""), message) for part in _parts(client, key) for message in part)
            # All are found before the first is taken, which moves the others.
            for task_id, message in [one for one in read if one[0] in task_ids]:
                if not _is_of_chord(message) and client.lrem(key, 0, message):
                    taken.add(task_id)
    return taken


def _is_of_chord(message: bytes | str) -> bool:
    """Say whether a message is part of a chord; one that cannot be read may be."""
    try:
        body = json.loads(message)["body"]
        _, _, embedded = json.loads(base64.b64decode(body))
        return embedded.get("chord") is not None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return True


def _read(client: Any, key: str, into: set[str], newest_first: bool) -> bool:
    """Note the task ids of a queue; say whether it was read to its end."""
    length = CHUNK
    for messages in _parts(client, key, newest_first):
        into.update(_ids(messages))
        length = len(messages)
    return length < CHUNK


def _parts(client: Any, key: str, newest_first: bool = False) -> Iterator[list[bytes | str]]:
    """Yield a queue's messages; what is added or taken meanwhile makes some appear twice, or those be missed that
    went."""
    for start in range(0, MESSAGES_MAX, CHUNK):
        messages = client.lrange(key, *((start, start + CHUNK - 1) if newest_first else (-start - CHUNK, -start - 1)))
        yield messages
        if len(messages) < CHUNK:
            return


def _ids(messages: Iterable[bytes | str]) -> Iterator[str]:
    for message in messages:
        found = _TASK_ID.search(message if isinstance(message, bytes) else message.encode())
        if found:
            try:
                yield json.loads(found[1])
            except ValueError:
                continue


def give_back(celery: Celery, tags: Iterable[str], again: bool = False) -> set[str]:
    """Put messages that a worker took back into their queues; return the delivery tags of those that went.

    Left alone is what was given back since it was first taken, unless ``again`` says so: somebody else may have it now.
    And what kombu would not bring to exactly one queue, which it does not for topics that this process knows nothing
    of. Only Redis holds such messages. Raises what the broker's driver raises.
    """
    with redis_of(celery) as (channel, client):
        return {tag for tag in tags if client and _give_back(channel, client, tag, again)}


def _give_back(channel: Any, client: Any, tag: str, again: bool) -> bool:
    stored = client.hget(channel.unacked_key, tag)
    try:
        message, exchange, routing_key = json.loads(stored or "null")
        queue = _only_queue(channel, exchange, routing_key)
        if queue is None or (not again and _was_given_back(message)):
            return False
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    went = False

    def restore(pipe: Any) -> None:
        nonlocal went
        went = pipe.hget(channel.unacked_key, tag) == stored
        pipe.multi()
        if went:
            channel.qos._remove_from_indices(tag, pipe)
            channel._do_restore_message(message, "", queue, pipe)

    client.transaction(restore, channel.unacked_key)
    return went


def _was_given_back(message: dict[str, Any]) -> bool:
    """Say whether a message was ever given back, of which kombu leaves a mark in it each time."""
    marks = (message["headers"], (message["properties"] or {}).get("delivery_info"))
    return any((mark or {}).get("redelivered") for mark in marks)


def _only_queue(channel: Any, exchange: str, routing_key: str) -> str | None:
    """Return the one queue that an exchange has for a message, None where that cannot be told."""
    if not exchange:
        return routing_key or None
    table = channel.get_table(exchange)
    if any(mark in binding[0] for binding in table for mark in "*#"):
        return None
    found = {binding[2] for binding in table if binding[0] == routing_key}
    return found.pop() if len(found) == 1 else None
