"""Tells of runs that never were: what workers of our app would send about them, by our app's own dispatcher."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from celery.events import EventDispatcher

from tests.faults.checker import Checker
from webapp.celery_app import celery_of

NAME = "tests.faults.of_hearsay"

Event = dict[str, Any]


@contextlib.contextmanager
def dispatcher(checker: Checker, buffered: bool = True) -> Iterator[EventDispatcher]:
    """Give a dispatcher such as a worker has: it sends 24 events in one message, unless it is not ``buffered``."""
    celery = celery_of(checker.app)
    group = {"task"} if buffered else set()
    with (
        celery.connection_for_write() as connection,
        celery.events.Dispatcher(connection, hostname="hearsay@here", buffer_group=group) as sender,
    ):
        yield sender
        sender.flush()


def send(sender: EventDispatcher, events: Sequence[Event]) -> None:
    """Send events as they are, with their own timestamps where they have some."""
    for event in events:
        sender.send(event["type"], **{name: value for name, value in event.items() if name != "type"})


def run_of(number: int, **fields: Any) -> list[Event]:
    """Return the four events of one run that ends well, with ``fields`` in each."""
    task_id = str(uuid.uuid4())
    message = {"name": NAME, "args": f"({number},)", "kwargs": "{}"}
    return [
        {"type": "task-sent", "uuid": task_id, "queue": "celery", **message, **fields},
        {"type": "task-received", "uuid": task_id, **message, **fields},
        {"type": "task-started", "uuid": task_id, **fields},
        {"type": "task-succeeded", "uuid": task_id, "result": str(number), "runtime": 0.01, **fields},
    ]


def witness(checker: Checker, runs: Sequence[list[Event]]) -> None:
    """Hold the dashboard to these runs as to any other."""
    checker.accepted.update(events[0]["uuid"] for events in runs)
    checker.witness((events[0]["uuid"], "ended", int(events[-1]["result"])) for events in runs)


def flood(checker: Checker, count: int, buffered: bool = True) -> list[list[Event]]:
    """Send the events of so many runs, one run after the other, as fast as it goes; return them."""
    runs = [run_of(number) for number in range(count)]
    witness(checker, runs)
    with dispatcher(checker, buffered) as sender:
        for events in runs:
            send(sender, events)
    return runs


def store_results(checker: Checker, runs: Sequence[list[Event]]) -> None:
    """Put the results of runs into the result backend, as their worker would have done."""
    for events in runs:
        meta = {"status": "SUCCESS", "result": int(events[-1]["result"]), "traceback": None, "name": NAME}
        checker.redis.set(f"celery-task-meta-{events[0]['uuid']}", json.dumps(meta))
