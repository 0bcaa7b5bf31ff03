"""Holds the dashboard against what truly happened: nothing lost, nothing invented, nothing that goes back."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import redis
from flask import Flask

from tests.faults.witness import DEATHS, SIDE_FILE
from tests.support import Stack, wait_until

READY = frozenset("SUCCESS FAILURE REVOKED REJECTED IGNORED".split())
DOUBT = frozenset({"LOST", "UNCERTAIN"})
AWAY = (sqlite3.Error, psycopg.Error)


class FragileStack(Stack):
    """A Vase whose workers know the witness tasks, with parts that may be doubled or told to die.

    A part named ``recorder-2`` is a second recorder. ``extra`` holds arguments more by part, ``mortal`` the parts
    that are started by ``tests.faults.dying``.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        include = '["webapp.tasks", "tests.faults.witness"]'
        super().__init__(folder, CELERY_INCLUDE=include, **{"DOUBT_SECONDS": "6", **settings})
        self.environ |= {SIDE_FILE: str(folder / "truth"), DEATHS: str(folder / "deaths")}
        (folder / "truth").touch()
        (folder / "deaths").mkdir()
        self.extra: dict[str, list[str]] = {"worker-2": ["-n", "second@%h"]}
        self.mortal: set[str] = set()

    def command(self, part: str) -> list[str]:
        """Return the command line of a part."""
        words = super().command(part.partition("-")[0])
        if part in self.mortal:
            words = [{"app": "tests.faults.dying", "app:app": "tests.faults.dying:app"}.get(w, w) for w in words]
        return words + self.extra.get(part, [])

    def is_up(self, part: str) -> bool:
        """Say whether a part does its work."""
        base = part.partition("-")[0]
        if base == part:
            return super().is_up(part)
        assert self.parts[part].poll() is None, self.log(part)[-3000:]
        return {"worker": " ready.", "recorder": "Recording events."}[base] in self.log(part)

    def send_signal(self, part: str, number: int) -> None:
        """Send a signal to a part with all its processes."""
        os.killpg(self.parts[part].pid, number)

    def doom(self, place: str) -> None:
        """Let the next process die that comes to this place of ``tests.faults.dying``."""
        (self.folder / "deaths" / place).touch()

    def is_dead(self, place: str) -> bool:
        """Say whether a process came to that place."""
        return not (self.folder / "deaths" / place).exists()


@dataclass
class Truth:
    """What the side file says of a run: the processes that began it, its result as JSON, its exception."""

    pids: list[int] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@dataclass
class Line:
    """One line of the table: what was tried and what was lost."""

    tried: str
    submitted: int = 0
    recorded: int = 0
    doubtful: int = 0
    lost: int = 0
    twice: int = 0
    seconds: float = 0.0
    verdict: str = "not settled"


TABLE: list[Line] = []


class Checker:
    """Submits runs, remembers what was accepted, watches the table all the time and compares it in the end."""

    def __init__(self, stack: FragileStack, tried: str) -> None:
        self.stack = stack
        self.redis = redis.Redis.from_url(stack.broker_url)
        self.accepted: set[str] = set()
        self.attempted: set[str] = set()
        self.admitted: tuple[str, ...] = ()
        """Exceptions that Celery gives a run whose task itself ended well."""
        self.violations: list[str] = []
        self.line = Line(tried)
        TABLE.append(self.line)
        self._began = time.monotonic()
        self._seen: dict[str, str] = {}
        self._version = -1
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch no more and let go of all connections."""
        self._closing.set()
        self._thread.join()
        self.redis.close()
        if "app" in self.__dict__:
            from webapp.extensions import db
            from webapp.services import services_of

            with self.app.app_context():
                db.engine.dispose()
            services = services_of(self.app)
            for celery in (services.celery, services.publisher):
                celery.close()

    @cached_property
    def app(self) -> Flask:
        """The site's app in this process, by which runs are submitted."""
        from webapp import create_app

        include = {"CELERY_INCLUDE": ("webapp.tasks", "tests.faults.witness")}
        return create_app(self.stack.settings | include)

    def submit(self, task: str, number: int, seconds: float = 0.0) -> str:
        """Submit a run of a witness task from this process."""
        from webapp.outbox.submit import submit

        task_id = self.attempt()
        with self.app.app_context():
            launched = submit(self.app, f"tests.faults.witness.{task}", [number, seconds], task_id=task_id)
        assert launched.task_id == task_id
        self.accepted.add(task_id)
        return task_id

    def submit_many(self, task: str, count: int, seconds: float = 0.0) -> list[str]:
        """Submit some runs and return their task ids."""
        return [self.submit(task, number, seconds) for number in range(count)]

    def attempt(self) -> str:
        """Return the task id of a run that is about to be submitted; it may be recorded or not."""
        task_id = str(uuid.uuid4())
        self.attempted.add(task_id)
        return task_id

    def post(self, task_id: str, x: int = 1, y: int = 2) -> str:
        """Submit a division by the form, with the key that makes the same form sent twice one run."""
        status, page = self.stack.submit(str(x), str(y), key=task_id)
        assert status == 200, page
        self.accepted.add(task_id)
        return page

    def truth(self) -> dict[str, Truth]:
        """Return what the side file says by task id."""
        found: dict[str, Truth] = {}
        for line in (self.stack.folder / "truth").read_text().splitlines():
            task_id, what, value, *_ = json.loads(line)
            kept = found.setdefault(task_id, Truth())
            {"started": kept.pids, "ended": kept.results, "failed": kept.faults}[what].append(
                json.dumps(value) if what == "ended" else value
            )
        return found

    def witness(self, lines: Iterable[tuple[Any, ...]]) -> None:
        """Add facts to the side file, of runs that are told of by hand."""
        with (self.stack.folder / "truth").open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    def started(self, *task_ids: str) -> None:
        """Wait until these runs have begun."""
        wait_until(lambda: set(task_ids) <= set(self.truth()), "the runs have begun")

    def states(self) -> Counter[str]:
        """Return how many runs are in which state."""
        return Counter(dict(self.stack.query("SELECT state, count(*) FROM vase_task_runs GROUP BY state")))

    def settle(self, timeout: float = 60.0, unknowable: Iterable[str] = (), beyond_cap: bool = False) -> Counter[str]:
        """Wait until every run has settled as it truly ended; return how many are in which state.

        ``unknowable`` are runs whose end nobody can tell, because what told of it was destroyed; ``beyond_cap`` admits
        runs without a row, which are counted as lost.
        """
        end = time.monotonic() + timeout
        while (complaints := self.complaints(unknowable, beyond_cap)) and time.monotonic() < end:
            time.sleep(0.2)
        self.line.seconds = time.monotonic() - self._began
        complaints += self.violations
        self.line.verdict = "as expected" if not complaints else f"{len(complaints)} complaints"
        assert not complaints, "\n".join([f"{len(complaints)} complaints:", *complaints[:20]])
        return self.states()

    def complaints(self, unknowable: Iterable[str] = (), beyond_cap: bool = False) -> list[str]:
        """Return in what the table differs from the truth by now."""
        unknowable = frozenset(unknowable)
        rows: dict[str, tuple[str, str | None, str | None]] = {}
        complaints = []
        columns = "task_id, state, result, exception, publish_state"
        for task_id, state, result, exception, published in self.stack.query(f"SELECT {columns} FROM vase_task_runs"):
            if task_id in rows:
                complaints.append(f"{task_id} has two rows")
            if published not in (None, "sent"):
                complaints.append(f"{task_id} is {published}")
            rows[task_id] = state, result, exception
        truth = self.truth()
        complaints += [f"{i} was accepted and has no row" for i in self.accepted - set(rows) if not beyond_cap]
        complaints += [f"{i} is invented" for i in set(rows) - self.accepted - self.attempted - set(truth)]
        complaints += [f"{i} has vanished" for i in set(self._seen) - set(rows)]
        for task_id, (state, result, exception) in rows.items():
            fault = _fault(truth.get(task_id, Truth()), state, result, exception, task_id in unknowable)
            if fault and not (state == "FAILURE" and (exception or "").startswith(self.admitted or "-")):
                complaints.append(f"{task_id} {fault}")
        self.line.submitted, self.line.recorded = len(self.accepted), len(rows)
        self.line.lost = len(self.accepted - set(rows))
        self.line.doubtful = sum(state in DOUBT for state, _, _ in rows.values())
        self.line.twice = sum(len(run.pids) > 1 for run in truth.values())
        return complaints

    def _watch(self) -> None:
        while not self._closing.wait(0.1):
            with contextlib.suppress(*AWAY):
                self._look()

    def _look(self) -> None:
        """Look at what has changed since the last time: what was ready stays so."""
        changed = self.stack.query(
            "SELECT task_id, state, changed FROM vase_task_runs WHERE changed > ?", self._version
        )
        for task_id, state, version in changed:
            before = self._seen.get(task_id)
            # A second delivery may end well after a first one that failed; nothing else may follow an end.
            if before in READY and state != before and (before, state) != ("FAILURE", "SUCCESS"):
                self.violations.append(f"{task_id} went from {before} to {state}")
            self._seen[task_id] = state
            self._version = max(self._version, version)


def _fault(truth: Truth, state: str, result: str | None, exception: str | None, unknowable: bool) -> str | None:
    """Return what is wrong with a row, None if it says what truly happened."""
    if state == "SUCCESS":
        return None if result in truth.results else f"shows the result {result}, in truth {truth}"
    if state == "FAILURE" and (exception or "").startswith("WorkerLostError"):
        return None if len(truth.pids) > len(truth.results) else f"shows {exception}, in truth {truth}"
    if state == "FAILURE":
        return None if exception in truth.faults else f"shows {exception}, in truth {truth}"
    if state in DOUBT:
        return f"is {state}, in truth {truth}" if (truth.results or truth.faults) and not unknowable else None
    return None if state in READY and not truth.results else f"is {state}, in truth {truth}"


def table() -> list[str]:
    """Return the table of everything that was tried in this session."""
    wide = max((len(line.tried) for line in TABLE), default=0)
    head = (
        f"{'tried':{wide}} {'submitted':>9} {'rows':>7} {'doubt':>6} {'lost':>6} {'twice':>6} {'seconds':>8}  verdict"
    )
    return [head] + [
        f"{line.tried:{wide}} {line.submitted:9,} {line.recorded:7,} {line.doubtful:6,} {line.lost:6,} {line.twice:6,} "
        f"{line.seconds:8.1f}  {line.verdict}"
        for line in TABLE
    ]
