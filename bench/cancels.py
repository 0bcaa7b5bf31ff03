"""For how long one command holds Redis while every other of 100,000 waiting messages is taken out of its queue."""

from __future__ import annotations

import base64
import json
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from bench.common import Figure
from tests.support import Stack
from webapp.broker.redis import Memory, waiting
from webapp.broker.withdrawal import withdraw

MESSAGES = 100_000
BAR = 20.0
"""Milliseconds."""


def message(task_id: str) -> bytes:
    """Return a message as Celery sends it, of the usual length."""
    body = base64.b64encode(json.dumps([[1, 2], {}, {"callbacks": None, "chain": None, "chord": None}]).encode())
    headers = {
        **{"lang": "py", "task": "webapp.tasks.divide", "id": task_id, "shadow": None, "eta": None, "expires": None},
        **{"group": None, "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": task_id},
        **{"parent_id": None, "argsrepr": "[1, 2]", "kwargsrepr": "{}", "origin": "bench", "stamps": {}},
    }
    properties = {"correlation_id": task_id, "delivery_tag": str(uuid.uuid4()), "reply_to": str(uuid.uuid4())}
    return json.dumps({"body": body.decode(), "headers": headers, "properties": properties}).encode()


def measure() -> Iterator[Figure]:
    """Fill a queue, look at it twice, and take every other message out."""
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder))
        try:
            stack.start("redis")
            yield from _measure(redis.Redis(port=stack.redis_port), stack.broker_url)
        finally:
            stack.stop_all()


def _measure(broker: Any, url: str) -> Iterator[Figure]:
    task_ids = [str(uuid.uuid4()) for _ in range(MESSAGES)]
    for start in range(0, MESSAGES, 2000):
        broker.lpush("celery", *(message(task_id) for task_id in task_ids[start : start + 2000]))
    celery, memory = Celery("bench", broker=url, set_as_current=False), Memory()
    broker.config_set("slowlog-log-slower-than", 1000)
    broker.config_set("slowlog-max-len", 10_000)
    broker.slowlog_reset()
    waiting(celery, ["celery"], wanted=task_ids, memory=memory)
    broker.config_resetstat()
    waiting(celery, ["celery"], wanted=task_ids, memory=memory)
    commands = broker.info("commandstats").values()
    yield Figure("commands of a second look at a queue", sum(stats["calls"] for stats in commands), 15, "")
    withdraw(celery, ["celery"], set(task_ids[::2]))
    assert broker.llen("celery") == MESSAGES / 2
    slowest = max((entry["duration"] for entry in broker.slowlog_get(10_000)), default=0) / 1000
    yield Figure("slowest command of a cancel", slowest, BAR, "ms")
