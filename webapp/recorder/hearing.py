"""Hears Celery's events, folds them by run and writes them in batches."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from celery import Celery
from celery.events import EventReceiver
from flask import Flask
from kombu.messaging import Consumer
from sqlalchemy import Engine

from webapp.celery_app import celery_of
from webapp.merge import Facts, merge
from webapp.recorder.away import BROKER_AWAY, DATABASE_AWAY
from webapp.recorder.events import facts_of, task_id_of
from webapp.recorder.results import read_results
from webapp.recorder.workers import Workers
from webapp.recorder.writer import record_each
from webapp.states import READY_RANK

log = logging.getLogger(__name__)

BATCH_SECONDS: Final = 0.2
BATCH_RUNS: Final = 500
BACKLOG_RUNS: Final = 50_000
"""Runs held while the database is away; then events stay in Redis."""
BACKOFF_MAX: Final = 5.0


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

    def _hear(self) -> Iterator[None]:
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
        except BROKER_AWAY:
            raise
        # Anybody may publish anything here, and what came before and after it is good.
        except Exception as fault:  # noqa: BLE001
            log.warning("A message that makes no sense was passed over: %.200s", fault)
            self.stopping.wait(0.01)

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
