"""The outbox: accepted runs are rows first and messages second, and the row says how far it got."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from celery import Celery
from celery.backends.base import BaseKeyValueStoreBackend
from celery.backends.redis import RedisBackend
from flask import Flask
from kombu.exceptions import KombuError
from redis.exceptions import RedisError
from sqlalchemy import ColumnElement, Connection, Engine, and_, bindparam, case, literal_column, select, update

from webapp.broker import amqp
from webapp.broker.errors import explained
from webapp.broker.redis import waiting
from webapp.broker.redis_keys import check_queue
from webapp.celery_app import celery_of, publisher_of
from webapp.errors import BrokerError, InvalidArgumentsError, UnexplainedError, UnpublishableError
from webapp.history.queries import bump, database_time, runs
from webapp.runs.durations import wait_order
from webapp.runs.ids import new_id
from webapp.runs.merge import SUBMITTED
from webapp.runs.states import LIVE, UNSENT
from webapp.text import NAME_MAX
from webapp.worker.submissions import HEADER

LEASE: Final = 8.0
"""Seconds for which a publisher owns a run; afterwards the relay takes it for abandoned."""
RETRY_MAX: Final = 30.0
"""Longest pause between two attempts to publish, in seconds."""
CLAIM_MAX: Final = 50
WAITS: Final = runs.c.publish_state.in_([literal_column(f"'{state}'") for state in ("new", "sending", "held")])
"""What an index holds, in the very words by which databases see that it is the one to use."""
OUTAGE_PAUSE: Final = 5.0
"""Seconds until the next attempt while the broker takes nothing."""
ATTEMPTS_MAX: Final = 10
"""Attempts that failed for no known reason, over two and a half minutes, after which only a person tries again."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is published for a run. ``args`` and ``kwargs`` are JSON, and so are ``options``, where there are any."""

    task_id: str
    name: str
    args: str
    kwargs: str
    attempts: int = 0
    queue: str | None = None
    options: str | None = None


def publish(app: Flask, message: Message) -> None:
    """Publish one message and nothing else: what it declared, the broker may have in another way.

    Raises ``BrokerError`` when the broker does not take it within seconds, see ``webapp.broker.errors``. A publish that
    raised may have been delivered all the same, unless it was ``UnpublishableError``.
    """
    task = celery_of(app).tasks.get(message.name)
    options = dict(task._get_exec_options()) if task else {}
    options |= json.loads(message.options) if message.options else {}
    publisher = publisher_of(app)
    try:
        queue = options.get("queue") or queue_of(app, message.name)
        # What was accepted before such names were refused must not be sent either.
        check_queue(publisher, queue)
        with publisher.producer_pool.acquire(block=True, timeout=2) as producer, _fresh_channel(producer.connection):
            is_amqp = amqp.is_amqp(producer.connection)
            if is_amqp:
                _expect_answers(publisher, producer, queue)
            publisher.send_task(
                message.name,
                args=json.loads(message.args),
                kwargs=json.loads(message.kwargs),
                task_id=message.task_id,
                producer=producer,
                task_type=task,
                retry=False,
                declare=[],
                headers={HEADER: message.task_id},
                timeout=amqp.CONFIRM_TIMEOUT if is_amqp else None,
                **{
                    name: value
                    for name, value in options.items()
                    if name not in ("retry", "serializer", "headers", "declare")
                },
            )
    except InvalidArgumentsError as fault:
        raise UnpublishableError(str(fault)) from fault
    except BrokerError:
        raise
    # Each driver has errors of its own, and a message ends in sent, held or dead whatever it says.
    except Exception as fault:
        raise explained(fault) from fault


@contextmanager
def _fresh_channel(connection: Any) -> Iterator[None]:
    """Leave no channel behind that a broker has closed to refuse a message: others would fail on it."""
    try:
        yield
    except Exception:
        connection.revive(None)
        raise


def _expect_answers(publisher: Celery, producer: Any, queue: str) -> None:
    """Raise ``BrokerError`` where RabbitMQ would not confirm a message, and the driver's NotFound without the queue."""
    try:
        amqp.expect_queue(publisher, producer, queue)
        amqp.expect_confirmation(producer.connection)
    except Exception as fault:
        if silent := amqp.silence(fault):
            amqp.hang_up(producer.connection)
            raise silent from fault
        raise


def owner_name() -> str:
    """Return the name of this process among those that publish."""
    return f"{os.getpid()}@{socket.gethostname()}"[:NAME_MAX]


_MARK_SENT: Final = (
    update(runs)
    .where(runs.c.task_id.in_(bindparam("task_ids", expanding=True)), runs.c.publish_state != "sent")
    .values(publish_state="sent", publish_owner=None, publish_due_at=None, publish_error=None)
    # A worker may have been heard of the message before its sender came to note that it is on its way.
    .values(sent_at=case((runs.c.received_at < bindparam("now"), runs.c.received_at), else_=bindparam("now")))
    .values(changed=bindparam("version"))
)


def mark_sent(connection: Connection, task_ids: Sequence[str], now: float) -> None:
    """Note that messages are on their way; ``now`` in seconds UTC."""
    connection.execute(_MARK_SENT, {"task_ids": list(task_ids), "now": now, "version": bump(connection)})


def mark_held(connection: Connection, message: Message, fault: BrokerError) -> None:
    """Note that the broker did not take a message of ours, and when to try again, or that it was the last time.

    An outage is nobody's fault, so it is waited out however long it lasts; only what nobody can explain is counted.
    """
    pause, attempts = min(2.0 ** min(message.attempts, 10) / 2, RETRY_MAX), message.attempts
    over = isinstance(fault, UnpublishableError)
    if isinstance(fault, UnexplainedError):
        over = message.attempts >= ATTEMPTS_MAX
    elif not over:
        pause, attempts = OUTAGE_PAUSE, int(fault.delivered)
    due_at = None if over else database_time(connection) + pause
    connection.execute(
        update(runs)
        .where(runs.c.task_id == message.task_id, _mine())
        .values(publish_state="dead" if over else "held", publish_owner=None, publish_error=str(fault))
        .values(publish_due_at=due_at, publish_attempts=attempts, changed=bump(connection))
    )


def something_waits(engine: Engine) -> bool:
    """Say whether an accepted run waits to be sent, now or later."""
    with engine.connect() as connection:
        return connection.execute(select(runs.c.id).where(WAITS).limit(1)).first() is not None


def _mine() -> ColumnElement[bool]:
    return and_(runs.c.publish_state == "sending", runs.c.publish_owner == owner_name())


def claim(engine: Engine, later: float = 0.0, impatient: bool = False, first_only: bool = False) -> list[Message]:
    """Take the runs that are due, by state and never by order of id, and own them for ``LEASE`` seconds.

    Leases go by the database's clock, the only one that all share; ``later`` is how far it is taken to be ahead.

    ``impatient`` takes waiting runs before their time, for a broker that has just come back; ``first_only`` those alone
    that nobody has tried to publish. A run that a worker has been seen with was published after all and is marked so.
    """
    with engine.connect() as connection:
        now = database_time(connection) + later
        due = runs.c.publish_due_at <= now
        if impatient:
            due |= runs.c.publish_state.in_(("new", "held"))
        if first_only:
            due &= runs.c.publish_attempts == 0
        find = select(*_CLAIMED).where(WAITS, due).order_by(runs.c.publish_due_at).limit(CLAIM_MAX)
        if not connection.execute(find.limit(1)).first():
            return []
    with engine.begin() as connection:
        version = bump(connection)
        rows = connection.execute(find).all()
        seen = [row.task_id for row in rows if row.state != "PENDING"]
        if seen:
            mark_sent(connection, seen, time.time())
        unseen = [row for row in rows if row.state == "PENDING"]
        _own(connection, [row.id for row in unseen], now, version)
    return [Message(r.task_id, r.name, r.args, r.kwargs, r.publish_attempts + 1, r.queue, r.options) for r in unseen]


_CLAIMED: Final = [runs.c[name] for name in "id task_id name args kwargs publish_attempts state queue options".split()]


def _own(connection: Connection, ids: Sequence[int], now: float, version: int) -> None:
    """Take runs for this process, for as long as a lease lasts."""
    connection.execute(
        update(runs)
        .where(runs.c.id.in_(ids))
        .values(publish_state="sending", publish_owner=owner_name(), publish_due_at=now + LEASE, changed=version)
        .values(publish_attempts=runs.c.publish_attempts + 1)
    )


def take(engine: Engine, task_id: str) -> Message | None:
    """Own one run that waits or could not be sent, its attempts counted anew; None when there is nothing to send."""
    unsent = (runs.c.task_id == task_id) & runs.c.publish_state.in_(UNSENT)
    with engine.begin() as connection:
        version = bump(connection)
        row = connection.execute(select(*_CLAIMED).where(unsent)).one_or_none()
        if row is None or row.state != "PENDING":
            return None
        connection.execute(update(runs).where(runs.c.id == row.id).values(publish_attempts=0))
        _own(connection, [row.id], database_time(connection), version)
    return Message(row.task_id, row.name, row.args, row.kwargs, 1, row.queue, row.options)


def release(engine: Engine, messages: Sequence[Message], fault: BrokerError | None = None) -> None:
    """Give back messages that were claimed and not tried, for whoever claims them next; after a ``fault`` of the broker
    not at once."""
    with engine.begin() as connection:
        due_at = database_time(connection) + (OUTAGE_PAUSE if fault else 0.0)
        error = {"publish_error": str(fault)} if fault else {}
        connection.execute(
            update(runs)
            .where(runs.c.task_id.in_([message.task_id for message in messages]), _mine())
            .values(publish_state="held", publish_owner=None, publish_due_at=due_at, **error)
            .values(publish_attempts=runs.c.publish_attempts - 1, changed=bump(connection))
        )


def send(app: Flask, engine: Engine, message: Message, there: Collection[str] = ()) -> str | None:
    """Publish a message that this process owns, unless it is ``there`` already, and note how that went.

    Returns None when it is on its way, else why it can never be sent. Raises ``BrokerError`` when the broker did not
    take it; then it is tried again later.
    """
    sent_at = time.time()
    try:
        if message.task_id not in there:
            publish(app, message)
    except BrokerError as fault:
        with engine.begin() as connection:
            mark_held(connection, message, fault)
        if isinstance(fault, UnpublishableError):
            return str(fault)
        raise
    with engine.begin() as connection:
        mark_sent(connection, [message.task_id], sent_at)
    return None


def relay(app: Flask, engine: Engine, impatient: bool = False, first_only: bool = False) -> int:
    """Publish what is due and return how many messages were dealt with; stop when the broker takes nothing at all.

    After half of its lease it goes on with none: somebody else may take the rest for abandoned before long. With
    ``first_only`` it leaves alone what may have been delivered, as long as it is not known what workers have said.
    """
    began = time.monotonic()
    messages = claim(engine, impatient=impatient, first_only=first_only)
    there = delivered_before(app, [message for message in messages if message.attempts > 1])
    for position, message in enumerate(messages):
        if time.monotonic() - began > LEASE / 2:
            release(engine, messages[position:])
            return position
        try:
            send(app, engine, message, there)
        except UnexplainedError:
            continue
        except BrokerError as fault:
            release(engine, messages[position + 1 :], fault)
            return position
    return len(messages)


def delivered_before(app: Flask, messages: Sequence[Message]) -> set[str]:
    """Return those of the messages that wait in the broker or have left a result: an attempt that failed may have been
    delivered."""
    if not messages:
        return set()
    queues = {message.queue for message in messages if message.queue}
    backend = celery_of(app).backend
    try:
        # Whoever published it was killed, or saw the broker fail, seconds ago.
        found = waiting(publisher_of(app), queues, newest_first=True).task_ids
        if isinstance(backend, BaseKeyValueStoreBackend):
            stored = _stored(backend, [backend.get_key_for_task(message.task_id) for message in messages])
            found.update(message.task_id for message, there in zip(messages, stored, strict=True) if there)
        return found
    except (KombuError, RedisError, OSError):
        # It cannot be asked, so it takes no message either; the attempt itself will tell.
        return set()


def _stored(backend: BaseKeyValueStoreBackend, keys: Sequence[bytes]) -> list[Any]:
    """Return for each key something true where there is a result, which may be of any size."""
    if not isinstance(backend, RedisBackend):
        return list(backend.mget(keys))
    asked = backend.client.pipeline(transaction=False)
    for key in keys:
        asked.exists(key)
    return list(asked.execute())


def producer_name() -> str:
    """Return who published: this process, as Celery names one."""
    return f"web@{socket.gethostname()}"[:NAME_MAX]


def queue_of(app: Flask, name: str) -> str:
    """Return the queue that a task goes to by its own options and the routes."""
    task = celery_of(app).tasks.get(name)
    options = task._get_exec_options() if task else {}
    queue = publisher_of(app).amqp.router.route(dict(options), name, task_type=task).get("queue")
    return str(getattr(queue, "name", queue) or celery_of(app).conf.task_default_queue)


def new_row(
    app: Flask,
    message: Message,
    now: float,
    held: str | None = None,
    taken: Collection[int] = (),
    lease_from: float = 0,
) -> dict[str, Any]:
    """Return the columns of an accepted run, which its maker is about to publish unless it is ``held``, and why.

    Its id is none of those ``taken``; its lease begins at the time of the database ``lease_from``.
    """
    publishing = {
        "publish_state": "held" if held else "sending",
        "publish_owner": None if held else owner_name(),
        "publish_attempts": 0 if held else 1,
        "publish_due_at": lease_from if held else lease_from + LEASE,
        "publish_error": held,
    }
    options = json.loads(message.options) if message.options else {}
    return publishing | {
        "id": new_id(now, taken),
        "queue": options.get("queue") or queue_of(app, message.name),
        "options": message.options,
        "eta": options.get("eta"),
        "expires": options.get("expires"),
        "task_id": message.task_id,
        "name": message.name,
        "args": message.args,
        "kwargs": message.kwargs,
        "arguments_rank": SUBMITTED,
        "state": "PENDING",
        "phase": LIVE,
        "state_at": now,
        "clock": 0,
        "created_at": now,
        "wait_order": wait_order(LIVE, None, now, None),
        "outcome_exact": 0,
        "origin": producer_name(),
    }
