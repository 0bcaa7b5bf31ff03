"""Looks at what waits in Redis: messages in the queues, and those that a worker took and has not acknowledged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from celery import Celery

MESSAGES_MAX: Final = 20_000
"""Most messages of a queue that are looked at."""
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


def waiting(celery: Celery, queues: Iterable[str], newest_first: bool = False) -> Waiting:
    """Return what waits in these queues, at most ``MESSAGES_MAX`` messages of each, and what no worker acknowledged.

    Of a longer queue these are the oldest messages, or the newest. Nothing, and not complete, for brokers other than
    Redis.
    """
    found = Waiting()
    with celery.connection_or_acquire() as connection:
        channel = connection.default_channel
        if not is_redis(channel):
            return Waiting(complete=False)
        with channel.conn_or_acquire() as client:
            for queue in queues:
                for step in channel.priority_steps:
                    found.complete &= _read(client, channel._q_for_pri(queue, step), found.task_ids, newest_first)
            for tag, stored in client.hscan_iter(channel.unacked_key, count=CHUNK):
                for task_id in _ids([stored]):
                    if task_id not in found.task_ids:
                        found.unacked[task_id] = tag.decode() if isinstance(tag, bytes) else tag
            found.task_ids.update(found.unacked)
    return found


def _read(client: Any, key: str, into: set[str], newest_first: bool) -> bool:
    """Read a queue; what is added or taken meanwhile makes messages appear twice, or those be missed that went."""
    for start in range(0, MESSAGES_MAX, CHUNK):
        part = (start, start + CHUNK - 1) if newest_first else (-start - CHUNK, -start - 1)
        messages = client.lrange(key, *part)
        into.update(_ids(messages))
        if len(messages) < CHUNK:
            return True
    return False


def _ids(messages: Iterable[bytes | str]) -> Iterator[str]:
    for message in messages:
        found = _TASK_ID.search(message if isinstance(message, bytes) else message.encode())
        if found:
            try:
                yield json.loads(found[1])
            except ValueError:
                continue
