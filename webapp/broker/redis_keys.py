"""Everything that is known of keys in Redis: those of kombu, of Celery's result backend and our own, by the names that
an app's transport options give them.

kombu's own client puts ``global_keyprefix`` before the keys of some commands and not of others. So our commands go by
a plain client over the same pool (see ``queues.redis_of``), and every key that they name is made here.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Self

from celery import Celery
from kombu.transport.redis import Channel, Transport

from webapp.errors import InvalidArgumentsError

STREAM: Final = "vase.events"
"""The stream of events (``stream``)."""
DROPPED: Final = "vase.events:dropped"
"""Counts the messages that were dropped from the full stream before anybody had read them."""
LIFE: Final = "vase.events:life:"
"""What a site's recorder leaves to say that its group is still read, by the name of the group."""
CANCELLED: Final = "vase.cancelled"
"""A sorted set of task ids by the time of their cancel (``cancelled``)."""
BEGUN: Final = "vase.begun:"
"""The delivery tag of the message by which a worker of ours took a submission, by task id (``submissions``)."""

STEPS: Final = 10
"""Celery's priorities go from 0 to 9, so no app keeps a queue in more lists than these."""
_OURS: Final = "vase."
_KOMBU: Final = "_kombu."
_PIDBOX: Final = ".pidbox"
_EVENT_QUEUE: Final = "celeryev"
_RESULTS: Final = ("celery-task-meta-", "celery-taskset-meta-", "chord-unlock-")
_UNACKED: Final = ("unacked_key", "unacked_index_key", "unacked_mutex_key")


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of keys for one app: ``prefix`` goes before all, ``separator`` and a step after a queue's name."""

    prefix: str
    separator: str
    steps: tuple[int, ...]
    unacked: str
    """A hash of what workers took and have not acknowledged, by delivery tag; without the prefix."""
    reserved: frozenset[str]
    """kombu's keys that are no queues; without the prefix."""

    @classmethod
    def of(cls, option: Callable[[str], Any]) -> Self:
        """Make them from a function that returns a transport option by its name."""
        names = {str(option(name)) for name in _UNACKED} | {str(getattr(Channel, name)) for name in _UNACKED}
        steps = tuple(option("priority_steps"))
        return cls(option("global_keyprefix") or "", option("sep"), steps, str(option("unacked_key")), frozenset(names))

    def key(self, name: str) -> str:
        """Return the whole name of a key that is no queue."""
        return self.prefix + name

    def lists(self, queue: str) -> list[str]:
        """Return the lists in which the messages of a queue wait, the ones taken first before the others."""
        return [self.prefix + name for name in dict.fromkeys(self._names(queue))]

    def other_lists(self, queue: str) -> list[str]:
        """Return the lists that this queue would have besides, for an app with other ``priority_steps`` than ours."""
        known = set(self.lists(queue))
        every = (f"{self.prefix}{queue}{self.separator}{step}" for step in range(1, STEPS))
        return [key for key in (self.prefix + queue, *every) if key not in known]

    def _names(self, queue: str) -> Iterator[str]:
        for step in self.steps:
            # As kombu does it, whose steps need not be in order.
            held = self.steps[bisect(self.steps, step) - 1]
            yield f"{queue}{self.separator}{held}" if held else queue

    def is_reserved(self, queue: str) -> bool:
        """Say whether a message sent to a queue of this name would land on a key of kombu's, Celery's or ours."""
        return any(self._is_taken(name) for name in {queue, self.prefix + queue, *self._names(queue)})

    def _is_taken(self, name: str) -> bool:
        bare = name.removeprefix(self.prefix) if self.prefix else name
        return any(
            one in self.reserved
            or one.startswith((_OURS, _KOMBU, _EVENT_QUEUE))
            or one.endswith(_PIDBOX)
            or any(result in one for result in _RESULTS)
            for one in {name, bare}
        )


def keys_of_channel(channel: Any) -> Keys:
    """Return the keys as a channel to Redis, which has read the transport options, calls them."""
    return Keys.of(lambda name: getattr(channel, name))


@lru_cache(maxsize=8)
def keys_of(celery: Celery) -> Keys | None:
    """Return the keys as an app's options call them, without a connection; None for brokers other than Redis."""
    with celery.connection_for_write() as connection:
        transport = connection.get_transport_cls()
        if not (isinstance(transport, type) and issubclass(transport, Transport)):
            return None
        options = connection.transport_options or {}
        return Keys.of(lambda name: options.get(name, getattr(transport.Channel, name)))


def check_queue(celery: Celery, queue: str) -> None:
    """Raise ``InvalidArgumentsError`` for a queue's name that belongs to something else in the broker.

    A message sent there would turn the key into a list: workers could take nothing any more, from any queue.
    """
    keys = keys_of(celery)
    # On other brokers these are no keys, but event queues and mailboxes of workers are queues of the same names.
    taken = keys.is_reserved(queue) if keys else queue.endswith(_PIDBOX) or queue.startswith(_EVENT_QUEUE)
    if taken:
        raise InvalidArgumentsError(
            f"The name {queue} is used by Celery, by its broker or by Vase for something that is no queue of tasks; "
            "a message sent there would stop workers. Choose another queue."
        )
