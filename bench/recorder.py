"""The recorder after a million tasks: its memory, its start, and pages while it is busy; Flower after its 100,000."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from statistics import quantiles

import psutil
import redis

from bench.common import Figure, site
from bench.lists import full_flower
from bench.record import Flower
from bench.tape import record, replay, send
from tests.support import Stack, wait_until

SCALE = float(os.environ.get("BENCH_SCALE", "1"))
PART = 20_000
FEW, MANY = int(100_000 * SCALE), int(1_000_000 * SCALE)
BUSY = 5000.0
PAGES = 300
RECORDED = "SELECT count(*) FROM vase_task_runs WHERE phase = 1"


def megabytes(pid: int) -> float:
    """Return the resident memory of a process."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def measure() -> Iterator[Figure]:
    """Yield memory, start and busy pages."""
    with tempfile.TemporaryDirectory(prefix="vase-flower-") as folder:
        options = ("--persistent=True", f"--db={folder}/flower")
        with full_flower(*options) as theirs:
            full = megabytes(theirs.process.pid)
        with site(Stack, "redis") as stack:
            again = Flower(stack, *options)
            again.stop()
    with site(Stack, "redis", "recorder") as ours:
        few, many = _fill(ours)
        yield Figure("memory after 1,000,000 tasks", many, full, "MB", 0.2)
        yield Figure("memory, 1,000,000 against 100,000", many, few, "MB", 1.1)
        ours.stop("recorder")
        begin = time.monotonic()
        ours.start("recorder")
        yield Figure("start of the recorder, 1M rows", time.monotonic() - begin, again.seconds_to_start, "s", 1 / 3)
        yield _busy(ours)


def _fill(ours: Stack) -> tuple[float, float]:
    """Record a million tasks, a part at a time; return the most memory up to 100,000 tasks and over the last 100,000.

    Memory comes and goes with the batches, so a single look says little.
    """
    broker, seen, told = redis.Redis.from_url(ours.broker_url), [], 0
    while told < MANY:
        tape = record(PART)
        for start in range(0, len(tape), 200):
            send(broker, tape[start : start + 200], publish=False)
        told += PART
        wait_until(lambda told=told: ours.query(RECORDED)[0][0] >= told, f"{told} are recorded", 300)
        # What is stored of results would fill this machine's memory, which is not what is measured.
        for name in broker.scan_iter("celery-task-meta-*", count=5000):
            broker.unlink(name)
        seen.append(megabytes(ours.parts["recorder"].pid))
    looks = max(FEW // PART, 1)
    return max(seen[:looks]), max(seen[-looks:])


def _busy(ours: Stack) -> Figure:
    """Compare the 99th percentile of the list's time while 5,000 events a second are recorded with that of idleness."""
    broker = redis.Redis.from_url(ours.broker_url)
    idle = _percentile(ours)
    feeding = threading.Thread(target=replay, args=(broker, record(25_000), BUSY))
    feeding.start()
    time.sleep(2)
    busy = _percentile(ours)
    feeding.join()
    return Figure("page while 5,000 events/s, p99", busy, idle, "ms", 3)


def _percentile(ours: Stack) -> float:
    times = []
    for _ in range(PAGES):
        begin = time.perf_counter()
        ours.get("/")
        times.append((time.perf_counter() - begin) * 1000)
        time.sleep(0.02)
    return quantiles(times, n=100)[98]
