"""How long after a run is submitted a page that polls shows its end, beside enqueueing and reading the result."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from statistics import median

from celery import Celery

from bench.common import Figure, site
from tests.support import Stack

INTERVAL = 1.0
"""Seconds between two polls of a live page; see ``templates/_macros.html``."""
ALLOWED = 1.4
TIMES = 25


def measure() -> Iterator[Figure]:
    """Yield the median time from submission to the poll that shows SUCCESS, beside a plain client and one poll."""
    with site(Stack, "redis", "recorder", "worker", DIVIDE_SECONDS="0") as stack:
        client = Celery("floor", broker=stack.broker_url, backend=stack.broker_url)
        _floor(client)
        _seconds(stack)
        floor = median(_floor(client) for _ in range(TIMES))
        ours = median(_seconds(stack) for _ in range(TIMES))
    yield Figure("submit to SUCCESS on a page", ours * 1000, (floor + INTERVAL) * 1000, "ms", bar=ALLOWED)


def _floor(client: Celery) -> float:
    begin = time.perf_counter()
    client.send_task("webapp.tasks.divide", (1, 2), queue="vase").get(timeout=30, interval=0.001)
    return time.perf_counter() - begin


def _seconds(stack: Stack) -> float:
    """Submit a run and poll its page as a browser does; return the seconds until it shows the end."""
    begin = time.perf_counter()
    text = stack.submit("1", "2")[1]
    found = re.search(r'href="/(runs/[^"]+)"', text)
    if found is None:
        raise AssertionError("the list shows no run")
    address, due = f"/{found[1]}", begin + INTERVAL
    while True:
        time.sleep(max(due - time.perf_counter(), 0.0))
        if ">Success</span>" in stack.get(address)[1]:
            return time.perf_counter() - begin
        due += INTERVAL
