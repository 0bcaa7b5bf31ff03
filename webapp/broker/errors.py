"""What a broker's library says when a message was not taken: an outage, a refusal of this message, or something else.

Redis names its errors by their first word (https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors),
RabbitMQ by a number (https://www.rabbitmq.com/amqp-0-9-1-reference#constants).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from amqp.exceptions import ChannelError
from amqp.exceptions import ConnectionError as AmqpDown
from celery.exceptions import CeleryError, QueueNotFound
from kombu.exceptions import KombuError, SerializationError
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from webapp.errors import BrokerError, UnexplainedError, UnpublishableError
from webapp.text import one_line

REFUSALS: Final = frozenset({"WRONGTYPE", "CROSSSLOT"})
"""What Redis answers to one command on one key, whatever it does with others."""
OUTAGES: Final = frozenset(
    "OOM MISCONF READONLY LOADING BUSY MASTERDOWN NOAUTH WRONGPASS NOREPLICAS CLUSTERDOWN TRYAGAIN UNBLOCKED".split()
)
"""What Redis answers to every command that writes, until somebody has put it right."""
AMQP_REFUSALS: Final = frozenset({311, 403, 406})
"""CONTENT_TOO_LARGE, ACCESS_REFUSED and PRECONDITION_FAILED; not NOT_FOUND, as a queue comes with its worker."""
NO_COMMAND: Final = "to run the"
"""Part of the text by which Redis refuses a user a command whatever its key, so every message."""


def explained(fault: Exception) -> BrokerError:
    """Return a publisher's failure as ours.

    ``UnpublishableError`` is about this message alone, ``BrokerError`` about all of them as long as it lasts,
    ``UnexplainedError`` where nobody can say.
    """
    text = one_line(fault)
    for cause in causes(fault):
        if isinstance(cause, QueueNotFound | SerializationError):
            return UnpublishableError(text)
        if isinstance(cause, ResponseError):
            return _of_answer(cause, one_line(cause))
        if isinstance(cause, ChannelError):
            refused = cause.reply_code in AMQP_REFUSALS
            return UnpublishableError(one_line(cause)) if refused else UnexplainedError(one_line(cause))
        # A broker that is down shows as any of these.
        if isinstance(cause, RedisError | AmqpDown | OSError):
            return BrokerError(text)
    # And as a bare RuntimeError from Celery itself.
    return BrokerError(text) if isinstance(fault, KombuError | CeleryError | RuntimeError) else UnexplainedError(text)


def _of_answer(answer: ResponseError, text: str) -> BrokerError:
    word = getattr(answer, "status_code", None) or str(answer).split(" ", 1)[0]
    text = text if text.startswith(word) else f"{word} {text}"
    if word in REFUSALS or (isinstance(answer, NoPermissionError) and NO_COMMAND not in text):
        return UnpublishableError(text)
    if word in OUTAGES or isinstance(answer, NoPermissionError):
        return BrokerError(text, delivered=False)
    return UnexplainedError(text)


def causes(fault: BaseException | None) -> Iterator[BaseException]:
    """Yield a failure and what caused it: kombu hides the driver's error behind one of its own."""
    while fault is not None:
        yield fault
        fault = fault.__cause__
