"""Everything a recorder does by the clock: heartbeat, relay of the outbox, live runs, lost workers, stored results."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from flask import Flask
from sqlalchemy import Engine

from webapp.broker import answering_workers, ping
from webapp.bulk import carry_out
from webapp.cancelled import forget_old
from webapp.celery_app import celery_of, publisher_of
from webapp.errors import BrokerError
from webapp.outbox import CLAIM_MAX, relay
from webapp.queues import plain_redis
from webapp.recorder.away import BROKER_AWAY, DATABASE_AWAY, why
from webapp.recorder.cancels import follow
from webapp.recorder.clock import Clock
from webapp.recorder.hearing import EventRecorder
from webapp.recorder.inspecting import enable_events, forget_gone, inspect
from webapp.recorder.missed import Missed
from webapp.recorder.pruning import forget, prune
from webapp.recorder.repair import Repair
from webapp.recorder.rescue import rescue
from webapp.recorder.signs import keys_online, write_signs
from webapp.recorder.stock import take_stock
from webapp.recorder.streaming import StreamRecorder
from webapp.recorder.sweep import Sweep
from webapp.recorder.watch import Watch
from webapp.recorder.workers import Ended, Key
from webapp.text import tidy

log = logging.getLogger(__name__)

NEWCOMER_SECONDS: Final = 5.0
"""Seconds for which a worker that has come up is asked again and again to send events."""
SETTLING: Final = 15.0
"""Seconds for which the broker must have been well before silence says anything about a run."""
SWEEP_SECONDS: Final = 30.0
"""Seconds between walks over all stored results; one also follows each start and each return of the broker."""
RELAY_SECONDS: Final = 0.4
"""Seconds for which the relay may go on by itself while there is more to send."""
PRUNE_SECONDS: Final = 60.0
"""Seconds for which nothing is looked for that could be removed, after all was."""
PRUNE_AT_ONCE: Final = 1.0
"""Seconds that removing may go on at once."""
KNOWN_SECONDS: Final = 3.0
"""Seconds for which the stream counts as read after its end was seen."""
INSPECT_SECONDS: Final = 30.0
"""Seconds between two questions to all workers for the tasks they know; one that has come up is asked at once."""
WORKER_KEPT: Final = 7 * 24 * 3600.0
"""Seconds for which the tasks of a worker that is away are kept."""

Jobs = list[tuple[float, Callable[[], None]]]
"""What is to be done, and how many seconds after the last time."""


class Upkeep:
    """The jobs, each with its period in seconds. One that fails is logged and tried again at its next time."""

    def __init__(self, app: Flask, engine: Engine, recorder: EventRecorder, stream: StreamRecorder) -> None:
        self.app = app
        self.engine = engine
        self.recorder = recorder
        self.stream = stream
        self.celery = celery_of(app)
        self.broker_error: str | None = "not asked yet"
        self.ended: list[tuple[float, Ended]] = []
        self.running = Watch(running_only=True)
        self.live = Watch(running_only=False)
        self.retention: dict[str, float] = app.config["RETENTION_DAYS"]
        self.runs_max: int = app.config["RETENTION_MAX_RUNS"]
        self.sweep = Sweep(self.retention, self.runs_max)
        self.prune_at = 0.0
        self.clock = Clock()
        self.clock.remember(engine)
        self.repair = Repair(app.config["DOUBT_SECONDS"], recorder.held)
        self.well_since: float | None = None
        self.call_until = self.called_at = 0.0
        self.to_be_told, self.to_be_asked = threading.Event(), threading.Event()
        self.inspected_at = -INSPECT_SECONDS
        self.met: set[Key] = set()
        self.missed: Missed | None = Missed.before_now(engine)
        self.jobs: Jobs = [
            (2.0, self._beat),
            (0.4, partial(self._look, self.running)),
            (3.0, partial(self._look, self.live)),
            (0.2, self._sweep),
            (SWEEP_SECONDS, self.sweep.start),
            (2.0, self._tidy_stream),
            (10.0, self._enable_events),
        ]
        # These may have a hundred thousand runs to send.
        self.sending: Jobs = [(0.1, self._bulk), (0.1, self._relay)]
        # These wait for the answers of workers, which nothing else is to wait for.
        self.questions: Jobs = [(0.5, self._cancels), (0.5, self._inspect), (60.0, self._forget_cancels)]
        # These wait too, or read much; the heartbeat must not.
        self.judging: Jobs = [
            (1.0, self._rescue),
            (1.0, self._note_missed),
            (self.repair.period, self._repair),
            (5.0, self._prune),
            (3600.0, self._forget),
        ]

    def run(self, jobs: Jobs) -> None:
        """Do each job when it is due, until stopped; a job that fails is tried again at its next time."""
        due = [0.0] * len(jobs)
        while not self.recorder.stopping.is_set():
            for number, (period, job) in enumerate(jobs):
                if time.monotonic() >= due[number] or (job == self._enable_events and self._called()):
                    self._do(job)
                    due[number] = time.monotonic() + period
            self.recorder.stopping.wait(0.1)

    def _called(self) -> bool:
        """Say whether a worker has come up lately; it listens to commands a moment after its first event."""
        now = time.monotonic()
        if self.recorder.new_worker.is_set():
            self.recorder.new_worker.clear()
            self.call_until = now + NEWCOMER_SECONDS
        return now < self.call_until and now - self.called_at >= 1.0

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except DATABASE_AWAY as fault:
            log.error("The database is away: %s", why(fault))
        except BROKER_AWAY as fault:
            log.debug("The broker is away: %s", fault)
        except Exception:
            # One job that stumbles must not end the heartbeat and the relay.
            log.exception("Unforeseen")

    def _beat(self) -> None:
        was = self.broker_error
        try:
            ping(publisher_of(self.app))
            self.broker_error = None
        except BrokerError as fault:
            self.broker_error = str(fault)
            self.well_since = None
            self.repair.forget()
        if self.broker_error is None and was is not None:
            self.well_since = time.monotonic()
            self.sweep.start()
            relay(self.app, self.engine, impatient=True, first_only=not self._knows_all())
            # Silence says nothing about workers while the broker itself was silent.
            self.recorder.workers.forgive(time.time())
        if self.broker_error is None:
            self.recorder.workers.note_silence(time.time())
        self.ended += [(time.monotonic(), one) for one in self.recorder.workers.take_ended()]
        write_signs(self.engine, self.recorder.workers, self.broker_error)

    def _rescue(self) -> None:
        # What a worker said last was under way when its end was found.
        while self.ended and self.broker_error is None and self.stream.caught_up_since(self.ended[0][0]):
            rescue(publisher_of(self.app), self.recorder.held, self.ended[0][1])
            self.ended.pop(0)

    def _relay(self) -> None:
        end = time.monotonic() + RELAY_SECONDS
        while self.broker_error is None and relay(self.app, self.engine, first_only=not self._knows_all()) == CLAIM_MAX:
            if time.monotonic() >= end:
                return

    def _look(self, watch: Watch) -> None:
        if self.broker_error is None:
            watch.look(self.engine, self.celery, self.recorder.batch.value_max)

    def _sweep(self) -> None:
        if self.broker_error is None:
            self.sweep.step(self.engine, self.celery, self.recorder.batch.value_max)

    def _repair(self) -> None:
        """Judge nobody before everything that waits to be read has been read, and the workers had time to be heard."""
        if self.well_since is None or time.monotonic() - self.well_since < min(SETTLING, self.repair.age / 2):
            return
        if not self._knows_all():
            return
        self.repair.look(self.engine, self.celery, self.recorder.workers, self.recorder.batch.value_max)

    def _knows_all(self) -> bool:
        """Say whether everything that workers have said has been read, but for the last seconds."""
        return self.stream.caught_up(within=KNOWN_SECONDS)

    def _cancels(self) -> None:
        if self.broker_error is None:
            newcomer = self.to_be_told.is_set()
            if newcomer:
                self.to_be_told.clear()
            follow(self.app, self.engine, newcomer=newcomer)

    def _bulk(self) -> None:
        carry_out(self.app, self.engine, time.time())

    def _inspect(self) -> None:
        now = time.monotonic()
        if self.broker_error is None and (self.to_be_asked.is_set() or now >= self.inspected_at + INSPECT_SECONDS):
            self.to_be_asked.clear()
            publisher = publisher_of(self.app)
            if now >= self.inspected_at + INSPECT_SECONDS:
                # Workers without a heartbeat are known by their answers alone.
                self.inspected_at = now
                for hostname in answering_workers(publisher):
                    self.recorder.workers.answered(tidy(hostname) or "", time.time(), 3 * INSPECT_SECONDS)
            inspect(self.engine, publisher, self.recorder.workers)
        if self.broker_error is None:
            self._meet()

    def _meet(self) -> None:
        """Ask the workers that are met for the first time for events, and once for what they have at hand."""
        signs, held = self.recorder.workers.signs, self.recorder.held
        online = {key for key, sign in list(signs.items()) if sign.online}
        # What the stream says of these runs is dated more precisely, so it comes first.
        if online <= self.met or not self._knows_all():
            return
        written = keys_online(self.engine)
        new = (online - self.met) & written
        hostnames = {hostname for hostname, _ in new}
        if hostnames:
            publisher, limit = publisher_of(self.app), sum(hostname in hostnames for hostname, _ in written)
            enable_events(self.engine, publisher, hostnames, limit)
            take_stock(self.engine, publisher, held, hostnames, limit, self.recorder.batch.value_max)
            self.to_be_asked.set()
            self.met = (self.met | new) & signs.keys()

    def _note_missed(self) -> None:
        """Note once what no recorder heard, when there was time to hear who lives."""
        if self.missed and self.well_since is not None and time.monotonic() - self.well_since > SETTLING:
            self.missed.note(self.engine, self.recorder.workers)
            self.missed = None

    def _forget_cancels(self) -> None:
        if self.broker_error is None and self.clock.is_believed():
            forget_old(publisher_of(self.app), time.time())

    def _prune(self) -> None:
        # To find the millionth newest run takes a walk over all of them, so whoever is done rests for a while.
        now = time.time()
        self.clock.compare(now, time.monotonic(), [now + skew for skew in self.recorder.workers.skews()])
        if time.monotonic() < self.prune_at or not self.clock.is_believed():
            return
        end = time.monotonic() + PRUNE_AT_ONCE
        prune(self.engine, self.retention, self.runs_max, seconds=PRUNE_AT_ONCE)
        if time.monotonic() < end:
            self.prune_at = time.monotonic() + PRUNE_SECONDS

    def _forget(self) -> None:
        if self.clock.is_believed():
            forget(self.engine, self.retention)
            forget_gone(self.engine, WORKER_KEPT)

    def _tidy_stream(self) -> None:
        if self.broker_error is not None or not self.stream.group.made:
            return
        # One from the pool: to make a new one costs more than all that is done with it.
        with plain_redis(self.celery) as (_, client):
            self.stream.group.tidy(client)

    def _enable_events(self) -> None:
        self.called_at = time.monotonic()
        if self.broker_error is None:
            publisher_of(self.app).control.enable_events()
        # What a newcomer has ended before it sent events is told by the result backend alone.
        if self.called_at < self.call_until:
            self.sweep.start()
            self.to_be_asked.set()
            # One of ours asks by itself for each message.
            if any(not heard.durable for heard in self.recorder.workers.online().values()):
                self.to_be_told.set()
