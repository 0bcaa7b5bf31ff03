"""Looks at what waits in Redis: messages in the queues, and those that a worker took and has not acknowledged; takes
back those that nobody is to begin.

Commands: ``LRANGE``, ``LLEN``, ``LINDEX`` and ``EXISTS`` on the lists of a queue, ``HSCAN`` on what is unacknowledged,
and to take back ``EVAL``, or ``LREM`` where scripts are not allowed. None of them holds Redis for more than a few
milliseconds, however long a queue is.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from celery import Celery
from redis import Redis
from redis.exceptions import ResponseError

from webapp.broker.redis_keys import Keys, keys_of_channel

NEWEST: Final = 20_000
"""Messages of a list that are looked at where only what was sent lately is looked for."""
UNACKED_MAX: Final = 100_000
"""Most unacknowledged messages that are looked at."""
QUEUES_MAX: Final = 500
"""Most queues that are looked at: anybody may name any number of them in events."""
CHUNK: Final = 500
"""Fields of the hash of unacknowledged messages that are looked at in one step."""
WINDOW_FIRST: Final = 50
WINDOW_MAX: Final = 2000
"""Messages that are read at once: a few, as long as nobody knows how long they are, and at most so many."""
WINDOW_BYTES: Final = 2 * 1024 * 1024
"""Bytes that are to be read at once."""
UNACKED: Final = "(unacknowledged messages)"
"""Stands among the names of queues for what workers took."""
# The id of a task stands in its message's headers as plain JSON; in texts the quotes would be escaped. Messages of
# Celery's first protocol have it in their bodies, and beside them as well.
_TASK_ID: Final = re.compile(rb'"id": ?("(?:[^"\\]|\\.)*")')
_CORRELATION_ID: Final = re.compile(rb'"correlation_id": ?("(?:[^"\\]|\\.)*")')


@dataclass(slots=True)
class Waiting:
    """The task ids found in the queues or unacknowledged, and which queues could not be looked at whole, and why.

    ``unacked`` holds the delivery tags of those that some worker took and that wait in no queue.
    """

    task_ids: set[str] = field(default_factory=set)
    unacked: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether everything was looked at, so that what was not found waits nowhere of that."""
        return not self.unread

    def knows(self, queue: str) -> bool:
        """Say whether a message that was not found is neither in this queue nor with a worker."""
        return queue not in self.unread and UNACKED not in self.unread


def is_redis(channel: Any) -> bool:
    """Say whether a kombu channel speaks to Redis, whose queues alone can be looked into."""
    return hasattr(channel, "unacked_key") and hasattr(channel, "conn_or_acquire")


@contextmanager
def redis_of(celery: Celery) -> Iterator[tuple[Any, Any]]:
    """Give the channel to the broker and kombu's client of Redis behind it; both are None for other brokers.

    The connection is one of the pool. Raises what the broker's driver raises.
    """
    with celery.connection_or_acquire() as connection:
        channel = connection.default_channel
        if not is_redis(channel):
            yield None, None
            return
        with channel.conn_or_acquire() as client:
            yield channel, client


def plain(channel: Any) -> Redis:
    """Return a client over a channel's connections that leaves keys as they are, which kombu's own does not."""
    return Redis(connection_pool=channel.pool)


@contextmanager
def plain_redis(celery: Celery) -> Iterator[tuple[Keys | None, Any]]:
    """Give the names of keys and a client that leaves them as they are; both are None for brokers other than Redis.

    The connection is one of the pool. Raises what the broker's driver raises.
    """
    with celery.connection_or_acquire() as connection:
        channel = connection.default_channel
        yield (keys_of_channel(channel), plain(channel)) if is_redis(channel) else (None, None)


def queues_of(celery: Celery) -> set[str]:
    """Return the queues that an app itself names: its default one and those of ``task_queues``."""
    return {celery.conf.task_default_queue, *celery.amqp.queues}


@dataclass(slots=True)
class _Seen:
    """A list as it was when last read: its task ids, as hashes, and its first message's own hash."""

    first: int
    task_ids: array[int]
    tags: array[int]


@dataclass(slots=True)
class Memory:
    """What was read of lists before, so that a look at a long queue costs as much as what changed in it.

    Messages come at the head of a list and go at its tail. So where the oldest message is one that was there before,
    and the one that was the newest stands where it must stand, everything in between is as it was. For one thread.
    """

    lists: dict[str, _Seen] = field(default_factory=dict)

    def read(self, client: Any, key: str) -> Iterator[array[int]]:
        """Yield hashes of the task ids in a list; 0 stands for a message that is none of Celery's."""
        fresh = self._changed(client, key)
        if fresh is None:
            self.lists.pop(key, None)
            fresh = _Seen(0, array("q"), array("q"))
            for messages in _windows(client, key):
                _add(fresh, messages)
        if fresh.tags:
            fresh.first = fresh.tags[0]
            self.lists[key] = fresh
        else:
            self.lists.pop(key, None)
        yield fresh.task_ids

    def _changed(self, client: Any, key: str) -> _Seen | None:
        """Return the list as it is now, by what has come and gone, or None where it must be read whole."""
        before = self.lists.get(key)
        if before is None:
            return None
        guess = WINDOW_FIRST
        while guess <= WINDOW_MAX:
            pipeline = client.pipeline(transaction=True)
            pipeline.llen(key)
            pipeline.lindex(key, -1)
            pipeline.lrange(key, 0, guess - 1)
            length, oldest, newest = pipeline.execute()
            tag = hash(oldest)
            # The next to be taken is near the end of what was there.
            left = next((n for n in range(len(before.tags), 0, -1) if before.tags[n - 1] == tag), 0)
            come = length - left
            if not left or come < 0:
                return None
            if come < len(newest):
                return _joined(newest[:come], before, left) if hash(newest[come]) == before.first else None
            guess = come + WINDOW_FIRST
        return None


def _joined(come: Iterable[bytes], before: _Seen, left: int) -> _Seen:
    now = _Seen(0, array("q"), array("q"))
    _add(now, come)
    now.tags.extend(before.tags[:left])
    now.task_ids.extend(before.task_ids[:left])
    return now


def _add(seen: _Seen, messages: Iterable[bytes]) -> None:
    for message in messages:
        seen.tags.append(hash(message))
        task_id = id_of(message)
        seen.task_ids.append(hash(task_id) if task_id else 0)


def waiting(
    celery: Celery,
    queues: Iterable[str],
    newest_first: bool = False,
    wanted: Collection[str] | None = None,
    memory: Memory | None = None,
) -> Waiting:
    """Return what waits in these queues, whatever their names are, and what no worker acknowledged.

    With ``newest_first`` only the ``NEWEST`` messages of each list are looked at. With a ``memory`` of former looks
    only those that came since are read, and only ``wanted`` task ids are found. Of very many queues the first are
    looked at. A queue that cannot be looked at is told in ``unread`` and hinders no other; a key that is no list holds
    no messages. For brokers other than Redis nothing is known. Raises what the broker's driver raises when it is away.
    """
    found = Waiting()
    names = list(dict.fromkeys(queues))
    with plain_redis(celery) as (keys, client):
        if keys is None:
            return Waiting(unread=dict.fromkeys([*names, UNACKED], "This broker cannot be looked into."))
        by_hash = {hash(task_id): task_id for task_id in wanted} if wanted is not None else {}
        found.unread |= dict.fromkeys(names[QUEUES_MAX:], "There are too many queues.")
        for queue in names[:QUEUES_MAX]:
            try:
                for key in lists_of(client, keys, queue):
                    if memory is not None and wanted is not None:
                        _recall(memory, client, key, by_hash, found, queue)
                    else:
                        _read(client, key, queue, found, NEWEST if newest_first else None)
            except ResponseError as fault:
                _note(found, queue, fault)
        try:
            if wanted is None or not found.task_ids.issuperset(wanted):
                _read_unacked(client, keys, found)
        except ResponseError as fault:
            _note(found, UNACKED, fault)
    return found


def _note(found: Waiting, queue: str, fault: ResponseError) -> None:
    """Note why a queue cannot be looked at, if it is one."""
    if "WRONGTYPE" not in str(fault):
        found.unread[queue] = str(fault)


def drop_lists(celery: Celery, queues: Iterable[str]) -> None:
    """Remove queues in which nobody waits for answers any more, with what came in since; Redis alone keeps such."""
    with plain_redis(celery) as (keys, client):
        if keys is not None:
            client.delete(*(key for queue in queues for key in keys.lists(queue)))


def lists_of(client: Any, keys: Keys, queue: str) -> list[str]:
    """Return the lists of a queue, those included that only an app with other priorities than ours would have."""
    first, *more = [*keys.lists(queue), *keys.other_lists(queue)]
    return [first, *more] if more and client.exists(*more) else [first]


def _recall(memory: Memory, client: Any, key: str, by_hash: dict[int, str], found: Waiting, queue: str) -> None:
    for hashes in memory.read(client, key):
        for number in hashes:
            if number in by_hash:
                found.task_ids.add(by_hash[number])
            elif not number:
                found.unread[queue] = "A message in it is none of Celery's."


def _read(client: Any, key: str, queue: str, found: Waiting, most: int | None) -> None:
    """Note the task ids in a list, from its newest message on."""
    seen = 0
    for messages in _windows(client, key):
        seen += len(messages)
        for message in messages:
            task_id = id_of(message)
            if task_id:
                found.task_ids.add(task_id)
            else:
                found.unread[queue] = "A message in it is none of Celery's."
        if most is not None and seen >= most:
            found.unread[queue] = f"It is longer than {most:,} messages."
            return


def _windows(client: Any, key: str) -> Iterator[list[bytes]]:
    """Yield a list's messages from the newest to the oldest.

    What comes meanwhile makes some appear twice, and what is taken at the other end hides none.
    """
    start, size = 0, WINDOW_FIRST
    while messages := client.lrange(key, start, start + size - 1):
        yield messages
        if len(messages) < size:
            return
        start, size = start + size, next_size(size, messages)


def next_size(size: int, messages: Collection[bytes]) -> int:
    """Return how many messages to read next, after so many of this length."""
    fitting = WINDOW_BYTES * len(messages) // max(sum(map(len, messages)), 1)
    return max(1, min(fitting, size * 10, WINDOW_MAX))


def _read_unacked(client: Any, keys: Keys, found: Waiting) -> None:
    for number, (tag, stored) in enumerate(client.hscan_iter(keys.key(keys.unacked), count=CHUNK)):
        if number == UNACKED_MAX:
            found.unread[UNACKED] = f"They are more than {UNACKED_MAX:,}."
            break
        task_id = id_of(stored)
        if task_id and task_id not in found.task_ids:
            found.unacked[task_id] = tag.decode(errors="replace") if isinstance(tag, bytes) else tag
    found.task_ids.update(found.unacked)


def id_of(message: bytes) -> str | None:
    """Return the task id of a message, None for one that is none of Celery's."""
    found = _TASK_ID.search(message) or _CORRELATION_ID.search(message)
    try:
        return json.loads(found[1]) if found else None
    except ValueError:
        return None


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
