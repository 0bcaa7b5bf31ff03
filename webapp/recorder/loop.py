"""The recorder's two loops: one hears events and writes rows, the other keeps up everything around it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from celery import Celery
from celery.events import EventReceiver
from flask import Flask
from kombu.messaging import Consumer
from kombu.exceptions import OperationalError as BrokerDown
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError

from webapp.broker import ping
from webapp.celery_app import celery_of, publisher_of
from webapp.errors import BrokerError
from webapp.extensions import db
from webapp.merge import Facts, merge
from webapp.outbox import relay
from webapp.recorder.events import facts_of, task_id_of
from webapp.recorder.results import read_results
from webapp.recorder.rescue import rescue
from webapp.recorder.signs import hostnames_online, say_goodbye, write_signs
from webapp.recorder.sweep import Sweep
from webapp.recorder.watch import Watch
from webapp.recorder.workers import Lost, Workers
from webapp.recorder.writer import record_each
from webapp.states import READY_RANK

log = logging.getLogger(__name__)

BATCH_SECONDS: Final = 0.2
BATCH_RUNS: Final = 500
BACKLOG_RUNS: Final = 50_000
"""Runs held while the database is away; then events stay in Redis."""
BACKOFF_MAX: Final = 5.0
SOCKET_TIMEOUT: Final = 2.0
SWEEP_SECONDS: Final = 300.0
"""Seconds between walks over all stored results; one also follows each start and each return of the broker."""
DATABASE_AWAY: Final = (OperationalError, InterfaceError)
BROKER_AWAY: Final = (BrokerDown, RedisError, OSError, BrokerError)


class LocalClockReceiver(EventReceiver):  # type: ignore[misc]  # Celery carries no type hints
    """Celery's receiver without its shift of timestamps by the difference of time zones."""

    def event_from_message(self, body: dict[str, Any], **_: Any) -> tuple[str, dict[str, Any]]:
        """Return the event as it is; anything without a type goes by the name "unknown"."""
        return (str(body.get("type")), body) if isinstance(body, dict) else ("unknown", {})


class EventRecorder:
    """Hears events, folds them by run and writes them in batches."""

    def __init__(self, app: Flask, engine: Engine, stopping: threading.Event) -> None:
        self.celery: Celery = celery_of(app)
        self.engine = engine
        self.stopping = stopping
        self.value_max: int = app.config["VALUE_MAX_BYTES"]
        self.batch: dict[str, Facts] = {}
        self.unread: deque[str] = deque(maxlen=BACKLOG_RUNS)
        self.workers = Workers()
        self.new_worker = threading.Event()
        self.flushed_at = time.monotonic()

    def run(self) -> None:
        """Hear events until stopped; reconnect with growing pauses when the broker goes away."""
        pause = 0.2
        while not self.stopping.is_set():
            try:
                for _ in self._hear():
                    pause = 0.2
            except BROKER_AWAY as fault:
                log.warning("The broker is away (%s); trying again in %.1f s.", fault, pause)
                self._flush(force=True)
                self.stopping.wait(pause)
                pause = min(pause * 2, BACKOFF_MAX)
        self._flush(force=True)

    def _hear(self) -> Any:
        """Yield after each successful wait for events."""
        with self.celery.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.1)
            with connection.channel() as channel:
                receiver = LocalClockReceiver(channel, handlers={"*": self._take}, app=self.celery)
                (consumer,) = receiver.get_consumers(partial(Consumer, channel), channel)
                with consumer:
                    self.celery.control.enable_events(connection=connection)
                    receiver.wakeup_workers(channel=channel)
                    log.info("Recording events.")
                    while not self.stopping.is_set():
                        self._drain(connection)
                        self._flush()
                        yield

    def _drain(self, connection: Any) -> None:
        if len(self.batch) >= BACKLOG_RUNS:
            self.stopping.wait(BATCH_SECONDS)
            return
        try:
            connection.drain_events(timeout=BATCH_SECONDS)
        except TimeoutError:
            pass

    def _take(self, event: dict[str, Any]) -> None:
        now = time.time()
        if str(event.get("type")).startswith("worker-"):
            if self.workers.hear(event, now):
                self.new_worker.set()
            return
        task_id = task_id_of(event)
        facts = facts_of(event, now, self.value_max) if task_id else None
        if not task_id or not facts:
            return
        self._fold(task_id, facts)
        if facts["key"][0] >= READY_RANK:
            self.unread.append(task_id)

    def _fold(self, task_id: str, facts: Facts) -> None:
        known = self.batch.get(task_id)
        self.batch[task_id] = merge(known, facts) if known else facts

    def _flush(self, force: bool = False) -> None:
        """Write the batch when it is large or old enough."""
        if not self.batch and not self.unread:
            return
        if not force and len(self.batch) < BATCH_RUNS and time.monotonic() - self.flushed_at < BATCH_SECONDS:
            return
        self.flushed_at = time.monotonic()
        self._read_results()
        try:
            left_out = record_each(self.engine, self.batch, DATABASE_AWAY)
        except DATABASE_AWAY as fault:
            log.error("The database is away (%s); %d runs are kept for later.", fault.orig, len(self.batch))
            self.stopping.wait(0.5)
            return
        for task_id in left_out:
            log.error("The database refused what was heard of run %r; it is left out.", task_id)
        self.batch = {}

    def _read_results(self) -> None:
        """Add the whole results of runs that ended; without the backend the event's short text stands for now."""
        wanted = list(dict.fromkeys(self.unread))
        try:
            for task_id, facts in read_results(self.celery, wanted, time.time(), self.value_max):
                # A stored live state is older than the end that was heard, and has no date of its own.
                if facts["key"][0] >= READY_RANK:
                    self._fold(task_id, facts)
            self.unread.clear()
        except BROKER_AWAY as fault:
            log.warning("Results could not be read (%s); they are read later.", fault)


class Upkeep:
    """Everything that is done by the clock: heartbeat, relay of the outbox, live runs, events switched on."""

    def __init__(self, app: Flask, engine: Engine, recorder: EventRecorder) -> None:
        self.app = app
        self.engine = engine
        self.recorder = recorder
        self.celery = celery_of(app)
        self.broker_error: str | None = "not asked yet"
        self.lost: list[Lost] = []
        self.running = Watch(running_only=True)
        self.live = Watch(running_only=False)
        self.sweep = Sweep()
        self.jobs: list[tuple[float, Callable[[], None]]] = [
            (2.0, self._beat),
            (0.5, self._relay),
            (1.0, self._rescue),
            (0.4, partial(self._look, self.running)),
            (3.0, partial(self._look, self.live)),
            (0.2, self._sweep),
            (SWEEP_SECONDS, self.sweep.start),
            (10.0, self._enable_events),
        ]

    def run(self) -> None:
        """Do each job when it is due, until stopped; a job that fails is tried again at its next time."""
        due = [0.0] * len(self.jobs)
        while not self.recorder.stopping.is_set():
            for number, (period, job) in enumerate(self.jobs):
                if time.monotonic() >= due[number] or (job == self._enable_events and self._called()):
                    self._do(job)
                    due[number] = time.monotonic() + period
            self.recorder.stopping.wait(0.1)

    def _called(self) -> bool:
        return self.recorder.new_worker.is_set()

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except DATABASE_AWAY as fault:
            log.error("The database is away: %s", fault.orig)
        except BROKER_AWAY as fault:
            log.debug("The broker is away: %s", fault)
        except Exception:
            # One job that stumbles must not end the heartbeat and the relay.
            log.exception("Unforeseen")

    def _beat(self) -> None:
        was = self.broker_error
        try:
            ping(self.celery)
            self.broker_error = None
        except BrokerError as fault:
            self.broker_error = str(fault)
        if self.broker_error is None and was is not None:
            self.sweep.start()
            relay(self.app, self.engine, impatient=True)
            # Silence says nothing about workers while the broker itself was silent.
            self.recorder.workers.forgive(time.time())
        if self.broker_error is None:
            self.lost += self.recorder.workers.take_silent(time.time())
        write_signs(self.engine, self.recorder.workers, self.broker_error)

    def _rescue(self) -> None:
        while self.lost and self.broker_error is None:
            rescue(self.engine, publisher_of(self.app), self.lost[0])
            self.lost.pop(0)

    def _relay(self) -> None:
        if self.broker_error is None:
            relay(self.app, self.engine)

    def _look(self, watch: Watch) -> None:
        if self.broker_error is None:
            watch.look(self.engine, self.celery, self.recorder.value_max)

    def _sweep(self) -> None:
        if self.broker_error is None:
            self.sweep.step(self.engine, self.celery, self.recorder.value_max)

    def _enable_events(self) -> None:
        self.recorder.new_worker.clear()
        if self.broker_error is None:
            publisher_of(self.app).control.enable_events()


def record(app: Flask, stopping: threading.Event) -> None:
    """Record until ``stopping`` is set. Call it inside an app context."""
    engine = db.engine
    # A hung Redis must not hold the recorder for Celery's default of two minutes.
    celery_of(app).conf.update(redis_socket_timeout=SOCKET_TIMEOUT, redis_socket_connect_timeout=SOCKET_TIMEOUT)
    recorder = EventRecorder(app, engine, stopping)
    for hostname in hostnames_online(engine):
        recorder.workers.expect(hostname, time.time())
    upkeep = threading.Thread(target=_keep_up, args=(app, Upkeep(app, engine, recorder)), name="upkeep", daemon=True)
    upkeep.start()
    try:
        recorder.run()
    finally:
        stopping.set()
        upkeep.join(timeout=5)
        try:
            say_goodbye(engine)
        except DATABASE_AWAY as fault:
            log.warning("The database is away: %s", fault.orig)


def _keep_up(app: Flask, upkeep: Upkeep) -> None:
    # An app context belongs to one thread, so this one needs its own.
    with app.app_context():
        upkeep.run()
