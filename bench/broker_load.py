"""What Vase asks of a broker at which nothing happens: commands and connections a minute, the slowest command, and the
recorder's processor time; Flower's, side by side.

Redis itself counts: what is in ``INFO`` after a minute and was not there before. Web and recorder run, and no worker,
so that every command is theirs; each broker is asked by one of the two and by nobody else.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import psutil
import redis

from bench.common import Figure, site
from bench.record import Flower
from tests.support import Stack

SECONDS: Final = float(os.environ.get("BENCH_WINDOW", "60"))
SETTLING: Final = float(os.environ.get("BENCH_SETTLING", "20"))
"""Seconds for which a part may look around after its start, or after what it finds has changed."""
MANY: Final = int(100_000 * float(os.environ.get("BENCH_SCALE", "1")))
PART: Final = 10_000
COMMANDS_MAX: Final = 120
CPU_MAX: Final = 0.005
SLOW: Final = 20.0
"""Milliseconds that no command may take."""
OURS: Final = {"info", "slowlog|get", "slowlog|len", "slowlog|reset", "config|set"}
"""Commands of this script, by the names under which Redis counts them."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a broker was asked in a minute, the milliseconds of its slowest command, and a process's share of a core."""

    commands: float
    connections: float
    slowest: float
    cpu: float
    by_command: dict[str, float]


def measure() -> Iterator[Figure]:
    """Yield the figures of a broker at rest, one full of results and one full of messages."""
    with site(Stack, "redis", "recorder") as ours, site(Stack, "redis") as theirs:
        flower = Flower(theirs)
        try:
            for what, fill in FILLED.items():
                for stack in (ours, theirs):
                    fill(redis.Redis.from_url(stack.broker_url))
                mine, peer = loads((ours, ours.parts["recorder"].pid), (theirs, flower.process.pid))
                print(f"  {what}: {mine.by_command}", flush=True)
                yield bounded(f"commands/min, {what}", mine.commands, peer.commands, "/min", COMMANDS_MAX)
                yield bounded(f"connections/min, {what}", mine.connections, peer.connections, "/min", 0)
                yield bounded(f"slowest command, {what}", mine.slowest, peer.slowest, "ms", SLOW)
                yield bounded(f"recorder, core seconds/s, {what}", mine.cpu, peer.cpu, "", CPU_MAX)
        finally:
            flower.stop()


def bounded(name: str, ours: float, peer: float, unit: str, bar: float) -> Figure:
    """Return a figure that keeps to a number and not to a part of the peer's, which is shown all the same."""
    return Figure(name, ours, peer, unit, bar, ratio=ours)


def loads(*sites: tuple[Stack, int]) -> list[Load]:
    """Measure several sites over the same seconds, each with the process whose time is taken."""
    brokers = [redis.Redis.from_url(stack.broker_url) for stack, _ in sites]
    for broker in brokers:
        broker.config_set("slowlog-log-slower-than", 100)
        broker.config_set("slowlog-max-len", 5000)
    time.sleep(SETTLING)
    for broker in brokers:
        broker.slowlog_reset()
    before = [_look(broker, pid) for broker, (_, pid) in zip(brokers, sites, strict=True)]
    began = time.monotonic()
    time.sleep(SECONDS)
    after = [_look(broker, pid) for broker, (_, pid) in zip(brokers, sites, strict=True)]
    seconds = time.monotonic() - began
    return [_load(one, other, seconds, broker) for one, other, broker in zip(before, after, brokers, strict=True)]


def _look(broker: Any, pid: int) -> tuple[dict[str, int], int, float]:
    commands = {name.removeprefix("cmdstat_"): told["calls"] for name, told in broker.info("commandstats").items()}
    times = psutil.Process(pid).cpu_times()
    return commands, broker.info("stats")["total_connections_received"], times.user + times.system


def _load(
    before: tuple[dict[str, int], int, float], after: tuple[dict[str, int], int, float], seconds: float, broker: Any
) -> Load:
    minute = 60 / seconds
    made = {name: (calls - before[0].get(name, 0)) * minute for name, calls in after[0].items() if name not in OURS}
    made = {name: round(number, 1) for name, number in sorted(made.items(), key=lambda one: -one[1]) if number}
    slow = [entry["duration"] / 1000 for entry in broker.slowlog_get(5000) if not _is_ours(entry["command"])]
    connections = (after[1] - before[1]) * minute
    return Load(sum(made.values()), connections, max(slow, default=0.1), (after[2] - before[2]) / seconds, made)


def _is_ours(command: bytes) -> bool:
    return command.lower().startswith((b"info", b"slowlog", b"config"))


def nothing(broker: Any) -> None:
    """Leave the broker as it is."""


def results(broker: Any) -> None:
    """Store results of runs that nobody has heard of."""
    stored = json.dumps({"status": "SUCCESS", "result": 1, "traceback": None, "children": []})
    for _ in range(0, MANY, PART):
        broker.mset({f"celery-task-meta-{uuid.uuid4()}": stored for _ in range(PART)})


def messages(broker: Any) -> None:
    """Put messages into the default queue."""
    for _ in range(0, MANY, PART):
        broker.lpush("vase", *(_message(str(uuid.uuid4())) for _ in range(PART)))


def _message(task_id: str) -> str:
    headers = {"lang": "py", "task": "shop.pay", "id": task_id, "root_id": task_id, "parent_id": None}
    properties = {"delivery_tag": task_id, "delivery_info": {"exchange": "", "routing_key": "vase"}}
    return json.dumps({"body": "W1tdLCB7fSwge31d", "headers": headers, "properties": properties})


FILLED: Final[dict[str, Callable[[Any], None]]] = {
    "at rest": nothing,
    f"{MANY:,} results": results,
    f"{MANY:,} messages": messages,
}
