"""What is asked of RabbitMQ: whether it takes a message, before one is handed over, and whether a queue is empty, since
nobody can look into one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

from amqp.exceptions import AccessRefused, ChannelError, NotFound
from celery import Celery

from webapp.broker.errors import causes
from webapp.errors import BrokerError

CONFIRM_TIMEOUT: Final = 3.0
"""Seconds within which RabbitMQ has to answer and to confirm a message."""
QUEUES_MAX: Final = 500
"""Most queues that are asked for: anybody may name any number of them in events."""
SILENT: Final = "RabbitMQ takes no messages now: it did not confirm one in time, as when it is short of memory or disk"


def is_amqp(connection: Any) -> bool:
    """Say whether a connection of kombu's speaks AMQP."""
    return bool(connection.transport.driver_type == "amqp")


def expect_queue(publisher: Celery, producer: Any, queue: str) -> None:
    """Raise the driver's NotFound where a broker has no such queue: RabbitMQ would drop the message in silence."""
    declared = publisher.amqp.queues.get(queue)
    if not declared or declared.exchange.type == "direct":
        producer.channel.queue_declare(queue, passive=True)


def expect_confirmation(connection: Any) -> None:
    """Raise ``BrokerError`` where RabbitMQ takes messages without confirming them, or nothing at all.

    While an alarm is on (https://www.rabbitmq.com/docs/alarms) a message would wait on the connection, and run later
    besides the one that was sent again. So a message that has no queue, which RabbitMQ confirms and drops, goes first.
    """
    channel = connection.channel()
    try:
        channel.basic_publish(
            channel.prepare_message(b""),
            exchange="",
            routing_key=f"vase.{uuid.uuid4()}",
            timeout=CONFIRM_TIMEOUT,
            confirm_timeout=CONFIRM_TIMEOUT,
        )
    except AccessRefused:
        # A user need not have the right to write to the default exchange; the channel is closed by that.
        return
    channel.close()


def occupied(celery: Celery, queues: Sequence[str]) -> set[str] | None:
    """Return those of the queues in which messages may wait, for RabbitMQ; None for other brokers.

    Passive declarations, which change nothing; in a queue that is gone nothing waits. Of very many queues the first are
    asked for. Raises what the driver raises when the broker is away.
    """
    with celery.connection_or_acquire() as connection:
        if not is_amqp(connection):
            return None
        waiting = set(queues[QUEUES_MAX:])
        channel = connection.channel()
        for queue in queues[:QUEUES_MAX]:
            try:
                if channel.queue_declare(queue, passive=True).message_count:
                    waiting.add(queue)
            except ChannelError as exc:
                if not isinstance(exc, NotFound):
                    waiting.add(queue)
                # A refusal closes the channel.
                channel = connection.channel()
        channel.close()
        return waiting


def hang_up(connection: Any) -> None:
    """Close a connection that does not answer, without a goodbye that would wait for an answer too."""
    driver = connection.connection
    if driver is not None and driver.connected:
        driver.transport.close()


def silence(fault: Exception) -> BrokerError | None:
    """Return the failure of a broker that said nothing in time; None for any other."""
    timed_out = any(isinstance(cause, TimeoutError) for cause in causes(fault))
    return BrokerError(SILENT, delivered=False) if timed_out else None
