"""The outbox: accepted runs are rows first and messages second, and the row says how far it got."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask import Flask
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine, bindparam, case, select, update

from webapp.celery_app import celery_of, publisher_of
from webapp.errors import BrokerError
from webapp.queries import bump, runs
from webapp.states import PENDING_RANK

LEASE: Final = 8.0
"""Seconds for which a publisher owns a run; afterwards the relay takes it for abandoned."""
RETRY_MAX: Final = 30.0
"""Longest pause between two attempts to publish, in seconds."""
CLAIM_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class Message:
    """What is published for a run. ``args`` and ``kwargs`` are JSON."""

    task_id: str
    name: str
    args: str
    kwargs: str
    attempts: int = 0


def publish(app: Flask, message: Message) -> None:
    """Publish one message; raise ``BrokerError`` when the broker does not take it within seconds.

    A publish that raised may have been delivered all the same.
    """
    task = celery_of(app).tasks.get(message.name)
    options = task._get_exec_options() if task else {}
    publisher = publisher_of(app)
    try:
        with publisher.producer_pool.acquire(block=True, timeout=2) as producer:
            publisher.send_task(
                message.name,
                args=json.loads(message.args),
                kwargs=json.loads(message.kwargs),
                task_id=message.task_id,
                producer=producer,
                task_type=task,
                retry=False,
                **{name: value for name, value in options.items() if name not in ("retry", "serializer")},
            )
    # A broker that is down shows as any of these, and as a bare RuntimeError from Celery itself.
    except (OperationalError, RedisError, OSError, RuntimeError) as fault:
        raise BrokerError(_one_line(fault)) from fault


def _one_line(fault: BaseException) -> str:
    return " ".join(str(fault).split())[:200] or type(fault).__name__


_MARK_SENT: Final = (
    update(runs)
    .where(runs.c.task_id.in_(bindparam("task_ids", expanding=True)), runs.c.publish_state != "sent")
    .values(publish_state="sent", publish_due_at=None, publish_error=None)
    # A worker may have been heard of the message before its sender came to note that it is on its way.
    .values(sent_at=case((runs.c.received_at < bindparam("now"), runs.c.received_at), else_=bindparam("now")))
    .values(changed=bindparam("version"))
)


def mark_sent(connection: Connection, task_ids: Sequence[str], now: float) -> None:
    """Note that messages are on their way; ``now`` in seconds UTC."""
    connection.execute(_MARK_SENT, {"task_ids": list(task_ids), "now": now, "version": bump(connection)})


def mark_waiting(connection: Connection, message: Message, now: float, error: str) -> None:
    """Note that the broker did not take a message, and when to try again."""
    pause = min(2.0 ** min(message.attempts, 10) / 2, RETRY_MAX)
    connection.execute(
        update(runs)
        .where(runs.c.task_id == message.task_id, runs.c.publish_state == "sending")
        .values(publish_state="new", publish_due_at=now + pause, publish_error=error, changed=bump(connection))
    )


def claim(engine: Engine, now: float, impatient: bool = False) -> list[Message]:
    """Take the runs that are due, by state and never by order of id, and own them for ``LEASE`` seconds.

    ``impatient`` takes waiting runs before their time, for a broker that has just come back. A run that a worker
    has been seen with was published after all and is marked so.
    """
    due = (runs.c.publish_state == "sending") & (runs.c.publish_due_at <= now)
    waiting = runs.c.publish_state == "new"
    due |= waiting if impatient else waiting & (runs.c.publish_due_at <= now)
    columns = [runs.c[name] for name in ("id", "task_id", "name", "args", "kwargs", "publish_attempts", "rank")]
    find = select(*columns).where(due).order_by(runs.c.publish_due_at).limit(CLAIM_MAX)
    with engine.connect() as connection:
        if not connection.execute(find.limit(1)).first():
            return []
    with engine.begin() as connection:
        version = bump(connection)
        rows = connection.execute(find).all()
        seen = [row.task_id for row in rows if row.rank > PENDING_RANK]
        if seen:
            mark_sent(connection, seen, now)
        unseen = [row for row in rows if row.rank <= PENDING_RANK]
        attempts = runs.c.publish_attempts + 1
        connection.execute(
            update(runs)
            .where(runs.c.id.in_([row.id for row in unseen]))
            .values(publish_state="sending", publish_due_at=now + LEASE, publish_attempts=attempts, changed=version)
        )
    return [Message(r.task_id, r.name, r.args, r.kwargs, r.publish_attempts + 1) for r in unseen]


def relay(app: Flask, engine: Engine, impatient: bool = False) -> int:
    """Publish what is due and return how many messages went out; stop at the first that the broker refuses."""
    sent = 0
    messages = claim(engine, time.time(), impatient)
    for position, message in enumerate(messages):
        sent_at = time.time()
        try:
            publish(app, message)
        except BrokerError as fault:
            with engine.begin() as connection:
                for left in messages[position:]:
                    mark_waiting(connection, left, time.time(), str(fault))
            break
        with engine.begin() as connection:
            mark_sent(connection, [message.task_id], sent_at)
        sent += 1
    return sent


def producer_name() -> str:
    """Return who published: this process, as Celery names one."""
    return f"web@{socket.gethostname()}"


def queue_of(app: Flask, name: str) -> str:
    """Return the queue that a task goes to by its own options and the routes."""
    task = celery_of(app).tasks.get(name)
    options = task._get_exec_options() if task else {}
    queue = publisher_of(app).amqp.router.route(dict(options), name, task_type=task).get("queue")
    return str(getattr(queue, "name", queue) or celery_of(app).conf.task_default_queue)


def new_row(app: Flask, message: Message, now: float) -> dict[str, Any]:
    """Return the columns of an accepted run that its maker is about to publish."""
    return {
        "queue": queue_of(app, message.name),
        "task_id": message.task_id,
        "name": message.name,
        "args": message.args,
        "kwargs": message.kwargs,
        "arguments_rank": 2,
        "state": "PENDING",
        "rank": PENDING_RANK,
        "state_at": now,
        "clock": 0,
        "created_at": now,
        "outcome_exact": 0,
        "origin": producer_name(),
        "publish_state": "sending",
        "publish_attempts": 1,
        "publish_due_at": now + LEASE,
    }
