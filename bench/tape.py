"""Events as our workers send them, ready to be sent again: the bytes that go to pub/sub, and those for the stream.

A task has four events. Its task-sent goes alone; what a worker says goes two events a message, which is what a real
prefork worker under load was seen to send (2,000 tasks, 1.98 events a message).
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis

from webapp.broker.redis_keys import STREAM
from webapp.worker.events import FIELD, MARK

WORKERS = tuple(f"celery@worker-{letter}" for letter in "abcd")
TASK = "webapp.tasks.divide"
LAG = 40
"""Tasks that are sent before a worker takes the first of them."""
PIPELINE = 50


@dataclass(frozen=True, slots=True)
class Message:
    """One message: where it is published, its bytes there and in the stream, its events, and results before it."""

    channel: str
    published: bytes
    appended: bytes
    events: int
    results: tuple[tuple[str, bytes], ...] = ()


def record(tasks: int, pace: float = 0.001) -> list[Message]:
    """Return the messages of so many tasks, ``pace`` seconds apart, in the order in which they would be sent."""
    begin = time.time() - tasks * pace
    sent: list[list[dict[str, Any]]] = []
    said: list[dict[str, Any]] = []
    results: dict[str, tuple[str, bytes]] = {}
    for number in range(tasks):
        first, *others, result = _events(number, begin + number * pace)
        sent.append([first])
        said += others
        results[first["uuid"]] = result  # type: ignore[assignment]
    pairs = [said[start : start + 2] for start in range(0, len(said), 2)]
    mixed: list[list[dict[str, Any]]] = []
    for number in range(0, tasks + LAG, 2):
        mixed += sent[number : number + 2]
        first = max(number - LAG, 0) * 3 // 2
        mixed += pairs[first : first + 3] if number >= LAG else []
    return [_message(events, results) for events in mixed]


def _events(number: int, at: float) -> Iterator[Any]:
    task_id, worker = str(uuid.uuid4()), WORKERS[number % len(WORKERS)]
    x, y = number % 997, number % 19 + 1
    arguments = {"name": TASK, "args": f"({x}.0, {y}.0)", "kwargs": "{}", "root_id": task_id, "parent_id": None}
    more = {"retries": 0, "eta": None, "expires": None}
    base = {"utcoffset": 0.0, "pid": 4711, "uuid": task_id, "clock": number * 3}
    where = {"queue": "celery", "exchange": "", "routing_key": "celery"}
    yield {"hostname": "gen4712@web", **base, **arguments, **more, **where, "timestamp": at, "type": "task-sent"}
    base = {"hostname": worker, **base}
    yield {**base, **arguments, **more, "timestamp": at + 0.002, "type": "task-received"}
    yield {**base, "timestamp": at + 0.003, "type": "task-started"}
    runtime = {"result": f"{x / y!r}", "runtime": 0.0005}
    yield {**base, **runtime, "timestamp": at + 0.004, "type": "task-succeeded"}
    stored = {"status": "SUCCESS", "result": x / y, "traceback": None, "children": []}
    stored |= {"date_done": datetime.fromtimestamp(at + 0.004, UTC).isoformat(), "name": TASK, "args": [x, y]}
    stored |= {"kwargs": {}, "worker": worker, "retries": 0, "queue": "celery", "task_id": task_id}
    yield f"celery-task-meta-{task_id}", json.dumps(stored).encode()


def _message(events: list[dict[str, Any]], results: dict[str, tuple[str, bytes]]) -> Message:
    alone = events[0]["type"] == "task-sent"
    body = json.dumps(events[0] if alone else events).encode()
    properties = {"delivery_mode": 1, "delivery_tag": str(uuid.uuid4()), "priority": 0, "body_encoding": "base64"}
    key = ("task.sent" if alone else "task.multi") + MARK
    properties["delivery_info"] = {"exchange": "celeryev", "routing_key": key}
    envelope = {"body": base64.b64encode(body).decode(), "content-encoding": "utf-8"}
    envelope |= {"content-type": "application/json", "headers": {"hostname": events[0]["hostname"]}}
    ended = tuple(results[one["uuid"]] for one in events if one["type"] == "task-succeeded")
    published = json.dumps(envelope | {"properties": properties}).encode()
    return Message(f"/0.celeryev/{key}", published, body, len(events), ended)


def send(broker: redis.Redis, messages: list[Message], publish: bool = True, append: bool = True) -> None:
    """Send messages at once, both ways or one of them, each after the results that its events tell of."""
    pipeline = broker.pipeline(transaction=False)
    for message in messages:
        for key, value in message.results:
            pipeline.set(key, value)
        if append:
            pipeline.xadd(STREAM, {FIELD: message.appended})
        if publish:
            pipeline.publish(message.channel, message.published)
    pipeline.execute()


def replay(broker: redis.Redis, tape: list[Message], rate: float, append: bool = True) -> None:
    """Send a tape at so many events a second."""
    begin, told = time.monotonic(), 0
    for start in range(0, len(tape), PIPELINE):
        part = tape[start : start + PIPELINE]
        send(broker, part, append=append)
        told += sum(message.events for message in part)
        time.sleep(max(begin + told / rate - time.monotonic(), 0.0))
