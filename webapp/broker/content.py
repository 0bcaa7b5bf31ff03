"""What may be read of messages of other apps' workers: which serializers, and who speaks one that is refused.

JSON, msgpack and YAML say only what they say. Pickle runs what it names, so nobody reads it who was not told to, by
``CELERY_ACCEPT_CONTENT``.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Final

from celery import Celery
from kombu.exceptions import SerializerNotInstalled
from kombu.messaging import Consumer
from kombu.pidbox import Mailbox
from kombu.serialization import registry

SAFE: Final = ("json", "msgpack", "yaml")
NODES_MAX: Final = 50_000
"""Most values within a message of YAML, in which a few bytes may stand for any number of values."""
REFUSED: Final = (SerializerNotInstalled,)
"""What decoding raises where content is not accepted, or no library for it is installed."""


def accepted(celery: Celery) -> set[str]:
    """Return the serializers that are read: the safe ones, and those that the configuration names."""
    return {*SAFE, *celery.conf.accept_content, celery.conf.event_serializer}


def notice_of(content_type: str, events: bool) -> str:
    """Return what is said of a worker whose events, or answers, are refused."""
    name = registry.type_to_name.get(content_type, content_type)
    lacking = "nothing is heard of its runs" if events else "its tasks, queues and pool are not known"
    what = f"It sends its {'events' if events else 'answers'} as {name}"
    if name in SAFE:
        return f"{what}, and no library that reads it is installed here, so {lacking}."
    return (
        f"{what}, which is refused, since to read it is to run what it names; so {lacking}. If you trust all who can "
        f'send to this broker: CELERY_ACCEPT_CONTENT=["json", "{name}"].'
    )


def is_bounded(value: Any, content_type: str | None) -> bool:
    """Say whether a message holds no more values than it may; only YAML can, by naming the same ones again."""
    if "yaml" not in str(content_type):
        return True
    rest, seen = [value], 0
    while rest:
        seen += 1
        if seen > NODES_MAX:
            return False
        one = rest.pop()
        if isinstance(one, dict):
            rest += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set):
            rest += one
    return True


class TolerantMailbox(Mailbox):
    """Kombu's mailbox, in which an answer that is refused does not keep the others from being read.

    ``refused`` is the content type of those; an answer says who gave it in what cannot be read.
    """

    accept: Any
    refused: list[str]

    @classmethod
    def of(cls, bound: Mailbox, celery: Celery) -> Any:
        """Return a mailbox that is bound to a connection as one of this kind."""
        mine = cls.__new__(cls)
        mine.__dict__.update(bound.__dict__)
        mine.accept, mine.refused = accepted(celery), []
        return mine

    def _collect(
        self,
        ticket: str,
        limit: int | None = None,
        timeout: float = 1,
        callback: Callable[[Any], object] | None = None,
        channel: Any = None,
        accept: Any = None,
    ) -> list[Any]:
        connection: Any = self.connection
        channel, queue = channel or connection.default_channel, self.reply_queue
        found: list[Any] = []

        def take(body: Any, message: Any) -> None:
            self.clock.adjust(message.headers.get("clock") or 0)
            # What comes late is the answer to a question that nobody asks any more.
            if message.headers.get("ticket", ticket) == ticket and is_bounded(body, message.content_type):
                if callback:
                    callback(body)
                found.append(body)

        def refuse(message: Any, fault: Exception) -> None:
            if not isinstance(fault, REFUSED):
                raise fault
            self.refused.append(str(message.content_type))

        consumer: Any = Consumer(channel, [queue], accept=self.accept, no_ack=True)  # type: ignore[no-untyped-call]
        consumer.register_callback(take)
        consumer.on_decode_error = refuse
        try:
            with consumer:
                for _ in range(limit) if limit else count():
                    try:
                        connection.drain_events(timeout=timeout)
                    except TimeoutError:
                        break
            return found
        finally:
            channel.after_reply_message_received(queue.name)
