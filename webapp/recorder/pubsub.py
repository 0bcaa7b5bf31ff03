"""Hears Celery's events on pub/sub: those of other apps' workers, and every worker's signs of life."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from amqp.exceptions import AccessRefused
from celery import Celery
from celery.events import EventReceiver
from flask import Flask
from kombu.messaging import Consumer
from redis.exceptions import NoPermissionError
from sqlalchemy import Engine

from webapp.broker.content import REFUSED, accepted, is_bounded, notice_of
from webapp.broker.redis import is_redis
from webapp.celery_app import celery_of
from webapp.recorder.batch import BACKLOG_RUNS, BATCH_SECONDS, Batch
from webapp.recorder.deliveries import Deliveries
from webapp.recorder.errors import BROKER_AWAY, DATABASE_AWAY, complain
from webapp.recorder.gaps import note_gap, note_once
from webapp.recorder.health import CHECK_SECONDS, HEALTH_SECONDS, Health
from webapp.recorder.news import Bell
from webapp.recorder.worker_registry import WorkerRegistry
from webapp.text import tidy
from webapp.worker.events import unmarked_events

log = logging.getLogger(__name__)

BACKOFF_MAX: Final = 5.0
QUIET_SECONDS: Final = 1.0
"""Seconds that are waited for an event when none waits to be written; a recorder that is stopped notices by then."""
GAP: Final = (
    "The connection to the broker was lost or had gone silent; events of workers that are not instrumented may be "
    "missing."
)
FORBIDDEN: Final = (
    "The broker's user may not hear the workers' events, so what they do is not recorded, but for results that can be "
    "read. Which rights it needs stands in docs/broker.md."
)
LATELY: Final = 3600.0
"""Seconds for which a worker of another app is taken to be there of which a task event was heard."""
REFUSED_MAX: Final = 1000
"""Most workers of which it is noted that their events cannot be read."""
REFUSED_SECONDS: Final = 60.0
"""Seconds for which such a worker counts as online after an event."""
NONSENSE_MAX: Final = 20
"""Messages in a row that make no sense, after which the fault is taken to be the connection's."""


class LocalClockReceiver(EventReceiver):  # type: ignore[misc]  # Celery carries no type hints
    """Celery's receiver without its shift of timestamps by the difference of time zones."""

    def _receive(self, body: Any, message: Any, *rest: Any, **options: Any) -> None:
        if is_bounded(body, message.content_type):
            super()._receive(body, message, *rest, **options)

    def event_from_message(self, body: dict[str, Any], **_: Any) -> tuple[str, dict[str, Any]]:
        """Return the event as it is; anything without a type goes by the name "unknown"."""
        return (str(body.get("type")), body) if isinstance(body, dict) else ("unknown", {})


class EventRecorder:
    """Hears events, folds them by run and writes them in batches.

    ``heard_at`` is when a connection last proved to carry something (seconds UTC), ``deaf`` the time without one that
    is still to be noted; ``told_at`` is when a task event was last heard.
    """

    def __init__(self, app: Flask, engine: Engine, stopping: threading.Event, bell: Bell | None = None) -> None:
        self.celery: Celery = celery_of(app)
        self.engine = engine
        self.stopping = stopping
        self.bell = bell or Bell(stopping)
        self.batch = Batch(app, engine)
        self.workers = WorkerRegistry()
        self.held = Deliveries()
        self.new_worker = threading.Event()
        self.heard_at: float | None = None
        self.deaf: tuple[float, float] | None = None
        self.told_at = 0.0
        self.nonsense = 0
        self.refused: dict[str, str] = {}
        self.away: tuple[type[BaseException], ...] = BROKER_AWAY

    def run(self) -> None:
        """Hear events until stopped; reconnect with growing pauses when the broker goes away."""
        pause = 0.2
        while not self.stopping.is_set():
            try:
                for _ in self._hear():
                    pause = 0.2
            except Exception as fault:  # noqa: BLE001
                if isinstance(fault, AccessRefused | NoPermissionError):
                    self._note_refusal(fault)
                    pause = BACKOFF_MAX
                elif isinstance(fault, self.away):
                    log.warning("The broker is away (%s); trying again in %.1f s.", fault, pause)
                else:
                    complain(log, fault)
                self.batch.write()
                self.stopping.wait(pause)
                pause = min(pause * 2, BACKOFF_MAX)
        self.batch.write()

    def _hear(self) -> Iterator[None]:
        """Yield after each successful wait for events."""
        options = {"health_check_interval": HEALTH_SECONDS}
        with self.celery.connection_for_read(heartbeat=HEALTH_SECONDS, transport_options=options) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.1)
            with connection.channel() as channel:
                # Redis counts nearly everything among a connection's errors, a message without a body too.
                self.away = BROKER_AWAY if is_redis(channel) else (*BROKER_AWAY, *_errors(connection))
                key = unmarked_events(self.celery, channel)
                receiver = LocalClockReceiver(
                    channel,
                    handlers={"*": self._take},
                    routing_key=key,
                    app=self.celery,
                    accept=accepted(self.celery),
                )
                (consumer,) = receiver.get_consumers(partial(Consumer, channel), channel)
                consumer.on_decode_error = self._refuse
                with consumer:
                    self.celery.control.enable_events(connection=connection)
                    receiver.wakeup_workers(channel=channel)
                    log.info("Recording events.")
                    health = Health(connection, channel)
                    # Redis subscribes with the first wait.
                    self._drain(connection)
                    if self.heard_at is not None:
                        self.deaf = (self.heard_at, time.time())
                        # That nothing was heard says nothing about workers.
                        self.workers.forgive(time.time())
                    while not self.stopping.is_set():
                        self._note_gap()
                        self._drain(connection)
                        health.check()
                        self.heard_at = health.proved_at
                        if not self.batch.due_in and not self.batch.write():
                            self.stopping.wait(0.5)
                        yield

    def _note_gap(self) -> None:
        """Note for which time nothing was heard, where a worker is known whose events come on this connection alone."""
        began_at = self.deaf[0] if self.deaf else 0.0
        if self.deaf and (began_at - self.told_at < LATELY or self.workers.any_unstreamed(began_at)):
            try:
                note_gap(self.engine, *self.deaf, 0, GAP)
            except DATABASE_AWAY:
                return
        self.deaf = None

    def _note_refusal(self, fault: Exception) -> None:
        """Say once that the broker lets nobody hear events by this name, which is no outage."""
        with contextlib.suppress(*DATABASE_AWAY):
            note_once(self.engine, FORBIDDEN, fault)

    def hears(self) -> bool:
        """Say whether the connection has lately proved to carry something."""
        return self.heard_at is not None and time.time() - self.heard_at < 2 * CHECK_SECONDS

    def _drain(self, connection: Any) -> None:
        if len(self.batch.runs) >= BACKLOG_RUNS:
            self.stopping.wait(BATCH_SECONDS)
            return
        try:
            connection.drain_events(timeout=max(self.batch.due_in, 0.01) if self.batch.runs else QUIET_SECONDS)
            self.nonsense = 0
        except TimeoutError:
            self.nonsense = 0
        except self.away:
            raise
        # Anybody may publish anything here, and what came before and after it is good.
        except Exception as fault:
            self.nonsense += 1
            if not connection.connected or self.nonsense > NONSENSE_MAX:
                self.nonsense = 0
                raise
            log.warning("A message that makes no sense was passed over: %.200s", fault)
            self.stopping.wait(0.01)

    def _refuse(self, message: Any, fault: Exception) -> None:
        """Note whose events cannot be read, which is said once; anything else makes no sense."""
        if not isinstance(fault, REFUSED):
            raise fault
        hostname = tidy((message.headers or {}).get("hostname")) or ""
        if hostname and len(self.refused) < REFUSED_MAX and hostname not in self.refused:
            self.refused[hostname] = str(message.content_type)
            log.warning("Worker %s: %s", hostname, notice_of(self.refused[hostname], events=True))
            self.new_worker.set()
        if hostname in self.refused:
            # So much is known: it lives.
            self.workers.answered(hostname, time.time(), REFUSED_SECONDS)

    def _take(self, event: dict[str, Any]) -> None:
        now = time.time()
        if str(event.get("type")).startswith("worker-"):
            if self.workers.hear(event, now):
                self.new_worker.set()
                self.bell.ring()
            return
        self.told_at = now
        if event.get("type") == "task-started":
            self.workers.begin(event)
        self.held.hear(event)
        self.batch.take(event, now)


def _errors(connection: Any) -> tuple[type[BaseException], ...]:
    """Return the errors after which this kind of broker is to be connected to anew."""
    recoverable = connection.recoverable_connection_errors + connection.recoverable_channel_errors
    found: tuple[type[BaseException], ...] = (*connection.connection_errors, *recoverable)
    return found
