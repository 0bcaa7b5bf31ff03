"""What recording costs, beside Flower: processor time for the same events, and how many a second each keeps up with."""

from __future__ import annotations

import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import psutil
import redis

from bench.common import Figure, site
from bench.tape import Message, record, replay, send
from tests import postgres
from tests.support import BIN, ROOT, Stack, free_port, wait_until

SCALE = float(os.environ.get("BENCH_SCALE", "1"))
TASKS = int(12_000 * SCALE)
RATE = 3000.0
"""Events a second that Flower keeps up with easily."""
AHEAD = 4000
"""Most events that Flower has not taken yet while it is fed as fast as it can take them."""


class Flower:
    """Flower beside a site, and what it has heard."""

    def __init__(self, stack: Stack, *options: str) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        command = [
            BIN / "celery",
            "-A",
            "celery_worker",
            "flower",
            f"--port={self.port}",
            "--address=127.0.0.1",
            *options,
        ]
        self.log = (stack.folder / "flower.log").open("wb")
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, cwd=ROOT, env=stack.environ, stdout=self.log, stderr=self.log)
        wait_until(self.answers, "Flower answers", 60)
        self.seconds_to_start = time.monotonic() - self.began
        # It answers before it listens to events, and does not say when it does.
        time.sleep(2)

    def answers(self) -> bool:
        """Say whether it answers requests."""
        try:
            return bool(self.get("/healthcheck"))
        except OSError:
            return False

    def get(self, path: str) -> str:
        """Return what an address of Flower answers."""
        with urllib.request.urlopen(self.address + path, timeout=30) as answer:
            return str(answer.read().decode())

    def taken(self) -> int:
        """Return how many task events it has taken."""
        counts = re.findall(r'^flower_events_total\{[^}]*type="task-[^}]*\} ([\d.e+]+)$', self.get("/metrics"), re.M)
        return int(sum(float(count) for count in counts))

    def milliseconds_of_table(self, start: int) -> float:
        """Return the median time of a page of its task table, newest first, beginning at the task of this number."""
        column = "columns%5B0%5D%5Bdata%5D=received&order%5B0%5D%5Bcolumn%5D=0&order%5B0%5D%5Bdir%5D=desc"
        address = f"/tasks/datatable?draw=1&start={start}&length=50&search%5Bvalue%5D=&{column}"
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            if '"data": [{' not in self.get(address)[:2000].replace('"data":[{', '"data": [{'):
                raise AssertionError("Flower's table is empty")
            times.append((time.perf_counter() - begin) * 1000)
        return sorted(times)[2]

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


@contextmanager
def flower(stack: Stack, *options: str) -> Iterator[Flower]:
    """Run Flower beside a site."""
    running = Flower(stack, *options)
    try:
        yield running
    finally:
        running.stop()


def seconds_used(pid: int) -> float:
    """Return the processor time, in seconds, that a process and its children have used."""
    found = psutil.Process(pid)
    return sum(sum(one.cpu_times()[:2]) for one in [found, *found.children(recursive=True)])


def recorded(stack: Stack) -> int:
    """Return how many runs are recorded as successful with their whole results."""
    return int(stack.query("SELECT count(*) FROM vase_task_runs WHERE phase = 1 AND outcome_exact = 1")[0][0])


def measure() -> Iterator[Figure]:
    """Yield processor time per 1,000 tasks, and sustained events a second into both databases, in turns."""
    yield _cost()
    tape = record(TASKS)
    events = sum(message.events for message in tape)
    found: list[tuple[float, float, float]] = []
    for _ in range(3):
        theirs = _flower_rate(tape)
        sqlite = events / _time_to_record(tape)
        found.append((theirs, sqlite, events / _time_to_record(tape, DATABASE_URL=postgres.fresh_database())))
    for number, name in enumerate(("SQLite", "PostgreSQL"), 1):
        rates = [(turn[number], turn[0]) for turn in found]
        ratio = median(ours / theirs for ours, theirs in rates)
        mine, peer = (median(column) for column in zip(*rates, strict=True))
        yield Figure(f"recording into {name}", mine, peer, "ev/s", 2.5, at_least=True, ratio=ratio)


def _cost() -> Figure:
    """Let both hear the same events at the same time."""
    tape = record(TASKS)
    events = sum(message.events for message in tape)
    with site(Stack, "redis", "recorder") as ours, flower(ours, "--max_tasks=100000") as theirs:
        broker = redis.Redis.from_url(ours.broker_url)
        send(broker, record(200))
        wait_until(lambda: recorded(ours) == 200 and theirs.taken() == 800, "both have warmed up")
        pids = (ours.parts["recorder"].pid, theirs.process.pid)
        before = [seconds_used(pid) for pid in pids]
        replay(broker, tape, RATE)
        wait_until(lambda: theirs.taken() == events + 800, f"Flower has taken all: {theirs.taken()}", 60)
        wait_until(lambda: recorded(ours) == TASKS + 200, f"all is recorded: {recorded(ours)}", 60)
        used = [seconds_used(pid) - start for pid, start in zip(pids, before, strict=True)]
    thousands = TASKS / 1000
    return Figure("recording, CPU per 1,000 tasks", used[0] / thousands * 1000, used[1] / thousands * 1000, "ms", 0.35)


def _flower_rate(tape: list[Message]) -> float:
    """Return the events a second that Flower takes when it is fed as fast as it can take them."""
    with site(Stack, "redis") as stack, flower(stack, "--max_tasks=100000") as theirs:
        broker = redis.Redis.from_url(stack.broker_url)
        send(broker, tape[:100], append=False)
        base = sum(message.events for message in tape[:100])
        wait_until(lambda: theirs.taken() == base, "Flower has warmed up")
        begin, told, taken = time.monotonic(), 0, 0
        for start in range(0, len(tape), 200):
            part = tape[start : start + 200]
            send(broker, part, append=False)
            told += sum(message.events for message in part)
            while told - taken > AHEAD:
                taken = theirs.taken() - base
                time.sleep(0.02)
        wait_until(
            lambda: theirs.taken() - base == told, f"Flower has taken all: {theirs.taken() - base} of {told}", 60
        )
        return told / (time.monotonic() - begin)


def _time_to_record(tape: list[Message], **settings: str) -> float:
    """Return the seconds in which a recorder that has just been started writes what waits in the stream."""
    with site(Stack, "redis", **settings) as stack:
        broker = redis.Redis.from_url(stack.broker_url)
        for start in range(0, len(tape), 200):
            send(broker, tape[start : start + 200], publish=False)
        stack.start("recorder")
        begin = time.monotonic()
        first = recorded(stack)
        wait_until(lambda: recorded(stack) == TASKS, "all is recorded", 200)
        return (time.monotonic() - begin) * TASKS / max(TASKS - first, 1)
