"""Hears Celery's events on pub/sub: those of other apps' workers, and every worker's signs of life."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from celery import Celery
from celery.events import EventReceiver
from flask import Flask
from kombu.messaging import Consumer
from sqlalchemy import Engine

from webapp.celery_app import celery_of
from webapp.recorder.away import BROKER_AWAY
from webapp.recorder.batch import BACKLOG_RUNS, BATCH_SECONDS, Batch
from webapp.recorder.held import Held
from webapp.recorder.workers import Workers
from webapp.stream import unmarked_events

log = logging.getLogger(__name__)

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
        self.stopping = stopping
        self.batch = Batch(app, engine)
        self.workers = Workers()
        self.held = Held()
        self.new_worker = threading.Event()

    def run(self) -> None:
        """Hear events until stopped; reconnect with growing pauses when the broker goes away."""
        pause = 0.2
        while not self.stopping.is_set():
            try:
                for _ in self._hear():
                    pause = 0.2
            except BROKER_AWAY as fault:
                log.warning("The broker is away (%s); trying again in %.1f s.", fault, pause)
                self.batch.write()
                self.stopping.wait(pause)
                pause = min(pause * 2, BACKOFF_MAX)
        self.batch.write()

    def _hear(self) -> Iterator[None]:
        """Yield after each successful wait for events."""
        with self.celery.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.1)
            with connection.channel() as channel:
                key = unmarked_events(self.celery, channel)
                receiver = LocalClockReceiver(channel, handlers={"*": self._take}, routing_key=key, app=self.celery)
                (consumer,) = receiver.get_consumers(partial(Consumer, channel), channel)
                with consumer:
                    self.celery.control.enable_events(connection=connection)
                    receiver.wakeup_workers(channel=channel)
                    log.info("Recording events.")
                    while not self.stopping.is_set():
                        self._drain(connection)
                        if not self.batch.due_in and not self.batch.write():
                            self.stopping.wait(0.5)
                        yield

    def _drain(self, connection: Any) -> None:
        if len(self.batch.runs) >= BACKLOG_RUNS:
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
        self.held.hear(event)
        self.batch.take(event, now)
