"""Takes messages out of the queues of Redis that nobody is to begin, and keeps the order of the others.

A list is walked from its newest message to its oldest, which hides none from the walk while workers take and clients
send. Of each window a short script marks what is to go and removes it in the same step. To remove walks from the nearer
end of the list, so far from both ends a message is made to have expired instead: every worker drops it unrun. The
same is done to parts of a chord, of whose end a worker has to tell the others.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from celery import Celery
from redis.exceptions import ResponseError

from webapp.broker.redis import UNACKED, WINDOW_FIRST, id_of, lists_of, next_size, plain_redis

FAR: Final = 100_000
"""Messages from the nearer end of a list, from which on none is removed: Redis would be held for too long."""
AT_ONCE: Final = 200
"""Most messages that one script deals with."""
BUDGET: Final = 4000.0
"""Microseconds for which one script may hold Redis."""
FIND, REPLACE, REMOVE, SCAN = 2.0, 0.004, 0.05, 0.5
"""Microseconds that it takes to replace a message, the same for each message between it and the end of the list, to
pass one while removing, and to look at one; as measured, twice."""
MOVED: Final = 100
"""Messages that may come between a look and the script without hiding from it what was seen."""
TRIES: Final = 4
EXPIRED: Final = "2000-01-01T00:00:00+00:00"

_SCRIPT: Final = """
local key, from, to, token = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local length = redis.call('LLEN', key)
local wanted = {}
for i = 4, #ARGV, 2 do wanted[ARGV[i]] = i end
local near_tail = from * 2 > length
if near_tail then from, to = from - length, math.min(to, length - 1) - length end
local done, removed = {}, 0
for i, message in ipairs(redis.call('LRANGE', key, from, to)) do
  local at = wanted[message]
  if at then
    local instead = ARGV[at + 1]
    local answer = redis.pcall('LSET', key, from + i - 1, instead == '' and token or instead)
    if type(answer) == 'table' and answer.err then
      if #done == 0 then return answer end
      break
    end
    if instead == '' then removed = removed + 1 end
    done[#done + 1] = (at - 4) / 2
  end
end
if removed > 0 then redis.call('LREM', key, near_tail and -removed or removed, token) end
return done
"""


@dataclass(slots=True)
class Withdrawn:
    """The task ids of messages that nobody will begin, and which queues could not be dealt with whole, and why.

    ``expired`` are those that a worker still has to drop, in whose place nobody else can say that they have ended.
    """

    taken: set[str] = field(default_factory=set)
    expired: set[str] = field(default_factory=set)
    unread: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Found:
    """A message to be dealt with, and where in its list it was; ``instead`` is put in its place, if anything."""

    task_id: str
    message: bytes
    index: int
    instead: bytes = b""
    of_chord: bool = False


def withdraw(celery: Celery, queues: Iterable[str], task_ids: Collection[str]) -> Withdrawn:
    """Take the messages of these runs out of queues, all that there are of each.

    A queue that cannot be changed is told in ``unread`` and hinders no other; of brokers other than Redis all are.
    Raises what the broker's driver raises when it is away.
    """
    done = Withdrawn()
    names = list(dict.fromkeys(queues))
    with plain_redis(celery) as (keys, client):
        if keys is None:
            return Withdrawn(unread=dict.fromkeys([*names, UNACKED], "This broker cannot be looked into."))
        for queue in names if task_ids else ():
            try:
                for key in lists_of(client, keys, queue):
                    _walk(client, key, frozenset(task_ids), done)
            except ResponseError as fault:
                if "WRONGTYPE" not in str(fault):
                    done.unread[queue] = str(fault)
    return done


def _walk(client: Any, key: str, task_ids: Collection[str], done: Withdrawn) -> None:
    start, size, tries = 0, WINDOW_FIRST, TRIES
    while True:
        pipeline = client.pipeline(transaction=False)
        pipeline.llen(key)
        pipeline.lrange(key, start, start + size - 1)
        length, messages = pipeline.execute()
        found = list(_find(messages, start, length, task_ids))
        dealt, removed = _deal_with(client, key, length, found, done)
        if dealt < len(found) and tries:
            # Some have moved; those that were dealt with are not found again.
            tries -= 1
            continue
        if len(messages) < size:
            return
        start, size, tries = start + len(messages) - removed, next_size(size, messages), TRIES


def _find(messages: Iterable[bytes], start: int, length: int, task_ids: Collection[str]) -> Iterator[_Found]:
    """Yield what is to be dealt with, in order."""
    for index, message in enumerate(messages, start):
        task_id = id_of(message)
        if task_id is None or task_id not in task_ids or EXPIRED.encode() in message:
            continue
        of_chord, far = _is_of_chord(message), min(index, length - index) > FAR
        instead = _expired(message) if of_chord or far else b""
        if instead is not None:
            yield _Found(task_id, message, index, instead, of_chord)


def _deal_with(client: Any, key: str, length: int, found: list[_Found], done: Withdrawn) -> tuple[int, int]:
    """Remove messages, or let them expire; return how many that was, and how many are gone."""
    dealt = removed = 0
    while found:
        count = _fitting(found, length)
        part, found = found[:count], found[count:]
        for one in _run(client, key, part, length, removed):
            (done.expired if one.of_chord else done.taken).add(one.task_id)
            dealt, removed = dealt + 1, removed + (not one.instead)
    return dealt, removed


def _fitting(found: list[_Found], length: int) -> int:
    """Return how many of these, from the first on, one script has the time for."""
    part = found[:AT_ONCE]
    deepest = max(min(one.index, length - one.index) for one in part)
    passing = 0.0 if all(one.instead for one in part) else REMOVE * min(deepest, FAR)
    looking = SCAN * (part[-1].index - part[0].index + MOVED)
    return max(1, min(int((BUDGET - passing - looking) / (FIND + REPLACE * deepest)), AT_ONCE))


def _run(client: Any, key: str, part: list[_Found], length: int, removed: int) -> list[_Found]:
    """Deal with messages in one step and return which were still there; where scripts are forbidden, one by one."""
    first, last = part[0].index - removed, part[-1].index - removed + MOVED
    pairs = [text for one in part for text in (one.message, one.instead)]
    try:
        positions = client.eval(_SCRIPT, 1, key, first, last, f"taken back {uuid.uuid4()}", *pairs)
        return [part[int(position)] for position in positions]
    except ResponseError:
        nearer = [(one, 1 if one.index * 2 < length else -1) for one in part if not one.instead]
        return [one for one, end in nearer if client.lrem(key, end, one.message)]


def _is_of_chord(message: bytes) -> bool:
    """Say whether a message is part of a chord; one that cannot be read may be."""
    try:
        body = json.loads(message)["body"]
        _, _, embedded = json.loads(base64.b64decode(body))
        return embedded.get("chord") is not None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return True


def _expired(message: bytes) -> bytes | None:
    """Return a message as if it had expired long ago; None for one that no worker would take to have."""
    try:
        read = json.loads(message)
        if "task" not in read["headers"]:
            return None
        read["headers"]["expires"] = EXPIRED
        return json.dumps(read).encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
