"""Everything a recorder does by itself: heartbeat, relay of the outbox, live runs, lost workers, stored results."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Final

from flask import Flask
from sqlalchemy import Engine

from webapp.actions.bulk import carry_out
from webapp.broker.control import answering_workers, forget_replies, ping
from webapp.broker.redis import Memory, plain_redis
from webapp.broker.revoked import forget_old
from webapp.celery_app import celery_of, publisher_of
from webapp.errors import BrokerError
from webapp.history.retention import forget, prune
from webapp.outbox.relay import CLAIM_MAX, relay, something_waits
from webapp.recorder.backfill import Backfill
from webapp.recorder.cancel_follow_up import follow
from webapp.recorder.clock import Clock
from webapp.recorder.discovery import enable_events, forget_gone, inspect, note_refused, owe_answers
from webapp.recorder.downtime import Downtime
from webapp.recorder.heartbeat import keys_online, write_heartbeat
from webapp.recorder.jobs import Job
from webapp.recorder.live_runs import LiveRunWatcher
from webapp.recorder.pubsub import EventRecorder
from webapp.recorder.rescue import rescue
from webapp.recorder.stock import take_stock
from webapp.recorder.stream import StreamRecorder
from webapp.recorder.verdicts import Judge
from webapp.recorder.worker_registry import Ended, Key
from webapp.text import tidy

NEWCOMER_SECONDS: Final = 5.0
"""Seconds for which a worker that has come up is asked again and again to send events."""
SETTLING: Final = 15.0
"""Seconds for which the broker must have been well before silence says anything about a run."""
SWEEP_PAUSE: Final = 30.0
"""Seconds that must lie between two walks over stored results that newcomers cause."""
RELAY_SECONDS: Final = 0.4
"""Seconds for which the relay may go on by itself while there is more to send."""
PRUNE_SECONDS: Final = 60.0
"""Seconds for which nothing is looked for that could be removed, after all was."""
PRUNE_AT_ONCE: Final = 1.0
"""Seconds that removing may go on at once."""
KNOWN_SECONDS: Final = 3.0
"""Seconds for which the stream counts as read after its end was seen."""
PING_SECONDS: Final = 120.0
"""Seconds between two pings of all workers: those without a heartbeat are known by their answers alone."""
INSPECT_SECONDS: Final = 3600.0
"""Seconds between two questions to all workers for the tasks they know; one that has come up is asked at once."""
ASK_AGAIN_SECONDS: Final = 2.5
"""Half of the seconds after which a worker that has not answered is asked again; they double each time."""
WORKER_KEPT: Final = 7 * 24 * 3600.0
"""Seconds for which the tasks of a worker that is away are kept."""


class Scheduler:
    """The jobs of each thread. What they ask of the broker at rest stands in ``docs/broker.md``."""

    def __init__(self, app: Flask, engine: Engine, recorder: EventRecorder, stream: StreamRecorder) -> None:
        self.app = app
        self.engine = engine
        self.recorder = recorder
        self.stream = stream
        self.bell = recorder.bell
        self.celery = celery_of(app)
        self.broker_error: str | None = "not asked yet"
        self.ended: list[tuple[float, Ended]] = []
        self.running = LiveRunWatcher(running_only=True)
        self.live = LiveRunWatcher(running_only=False)
        self.retention: dict[str, float] = app.config["RETENTION_DAYS"]
        self.runs_max: int = app.config["RETENTION_MAX_RUNS"]
        self.sweep = Backfill(self.retention, self.runs_max)
        self.swept_at, self.to_be_swept = -SWEEP_PAUSE, False
        self.prune_at = 0.0
        self.clock = Clock()
        self.clock.remember(engine)
        self.repair = Judge(app.config["DOUBT_SECONDS"], recorder.held)
        self.queues_seen = Memory()
        self.well_since: float | None = None
        self.call_until = 0.0
        self.to_be_told, self.to_be_asked, self.to_be_sent = threading.Event(), threading.Event(), threading.Event()
        self.pinged_at = self.inspected_at = -INSPECT_SECONDS
        self.ask_pause = INSPECT_SECONDS
        self.met: set[Key] = set()
        self.missed: Downtime | None = Downtime.before_now(engine)
        # The heartbeat waits for nothing but the database: a broker that hangs is no recorder that is dead.
        self.beating = [Job(self._beat, 3.0, 1.0)]
        self.asking = [Job(self._ping, 3.0)]
        self.looking = [
            Job(partial(self._look, self.running), 5.0, 0.4),
            Job(partial(self._look, self.live), 30.0, 10.0),
            Job(self._sweep, 5.0, 0.1),
            Job(self._tidy_stream, 30.0, 2.0),
            Job(self._enable_events, 60.0, 1.0),
        ]
        # These may have a hundred thousand runs to send.
        self.sending = [Job(self._bulk, 5.0, 0.1), Job(self._relay, 5.0, 0.1)]
        # These wait for the answers of workers, which nothing else is to wait for.
        self.questions = [
            Job(self._cancels, 5.0, 0.5),
            Job(self._inspect, 5.0, 0.5),
            Job(self._forget_replies, 10.0),
            Job(self._forget_cancels, 60.0),
        ]
        # These wait too, or read much.
        self.judging = [
            Job(self._rescue, 1.0),
            Job(self._note_missed, 1.0),
            Job(self._repair, 3 * self.repair.period, self.repair.period),
            Job(self._prune, 5.0),
            Job(self._forget, 3600.0),
        ]

    def threads(self) -> dict[str, list[Job]]:
        """Return the jobs by the name of the thread that does them."""
        names = ("beating", "asking", "looking", "sending", "questions", "judging")
        return {name: getattr(self, name) for name in names}

    def _beat(self) -> None:
        if self.broker_error is None and self.recorder.hears():
            self.recorder.workers.note_silence(time.time())
        self.ended += [(time.monotonic(), one) for one in self.recorder.workers.take_ended()]
        write_heartbeat(self.engine, self.recorder.workers, self.broker_error)

    def _ping(self) -> None:
        was = self.broker_error
        try:
            ping(publisher_of(self.app))
        except BrokerError as fault:
            self.broker_error = str(fault)
            self.well_since = None
            self.repair.forget()
            if was is None:
                self.bell.ring()
            return
        if was is not None:
            self.well_since = time.monotonic()
            self.sweep.start()
            self.to_be_sent.set()
            # Silence says nothing about workers while the broker itself was silent.
            self.recorder.workers.forgive(time.time())
            self.broker_error = None
            self.bell.ring()

    def _rescue(self) -> None:
        # What a worker said last was under way when its end was found.
        while self.ended and self.broker_error is None and self.stream.caught_up_since(self.ended[0][0]):
            rescue(publisher_of(self.app), self.recorder.held, self.ended[0][1])
            self.ended.pop(0)

    def _relay(self) -> bool:
        """Send what is due; say whether anything waits."""
        end = time.monotonic() + RELAY_SECONDS
        waits = False
        while self.broker_error is None and time.monotonic() < end and (waits := something_waits(self.engine)):
            impatient = self.to_be_sent.is_set()
            self.to_be_sent.clear()
            if relay(self.app, self.engine, impatient=impatient, first_only=not self._knows_all()) < CLAIM_MAX:
                break
        return waits

    def _look(self, watch: LiveRunWatcher) -> bool:
        return self.broker_error is None and watch.look(self.engine, self.celery, self.recorder.batch.value_max)

    def _sweep(self) -> bool:
        """Walk on over stored results, or begin where something ended unheard; say whether a walk goes on."""
        now = time.monotonic()
        if (self.to_be_swept or self.recorder.workers.unheard) and now >= self.swept_at + SWEEP_PAUSE:
            self.to_be_swept, self.recorder.workers.unheard, self.swept_at = False, False, now
            self.sweep.start()
        if self.broker_error is None:
            self.sweep.step(self.engine, self.celery, self.recorder.batch.value_max)
        return self.sweep.cursor is not None

    def _repair(self) -> bool:
        """Judge nobody before everything that waits to be read has been read, and the workers had time to be heard."""
        if self.well_since is None or time.monotonic() - self.well_since < min(SETTLING, self.repair.age / 2):
            return True
        if not self._knows_all():
            return True
        self.repair.look(self.engine, self.celery, self.recorder.workers, self.recorder.batch.value_max)
        return bool(self.repair.suspected)

    def _knows_all(self) -> bool:
        """Say whether everything that workers have said has been read, but for the last seconds."""
        return self.stream.caught_up(within=KNOWN_SECONDS)

    def _cancels(self) -> None:
        if self.broker_error is None:
            newcomer = self.to_be_told.is_set()
            if newcomer:
                self.to_be_told.clear()
            follow(self.app, self.engine, newcomer, self.queues_seen)

    def _bulk(self) -> bool:
        """Carry out the next part of an action; say whether one goes on."""
        return carry_out(self.app, self.engine, time.time()) is not None

    def _inspect(self) -> None:
        if self.broker_error is not None:
            return
        now, publisher = time.monotonic(), publisher_of(self.app)
        if now >= self.pinged_at + PING_SECONDS:
            self.pinged_at = now
            for hostname in answering_workers(publisher):
                self.recorder.workers.answered(tidy(hostname) or "", time.time(), 3 * PING_SECONDS)
        if self.to_be_asked.is_set():
            self.ask_pause = ASK_AGAIN_SECONDS
        if self.to_be_asked.is_set() or now >= self.inspected_at + self.ask_pause:
            self.to_be_asked.clear()
            self.inspected_at = now
            inspect(self.engine, publisher, self.recorder.workers)
            # One that was too busy to answer in time is asked again, ever more seldom.
            self.ask_pause = min(2 * self.ask_pause, INSPECT_SECONDS) if owe_answers(self.engine) else INSPECT_SECONDS
        self._meet()
        note_refused(self.engine, dict(self.recorder.refused))

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

    def _forget_replies(self) -> None:
        if self.broker_error is None:
            forget_replies(publisher_of(self.app))

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

    def _enable_events(self) -> bool:
        """Ask workers to send events: all now and then, one that has come up until it listens to commands, too."""
        now = time.monotonic()
        if self.recorder.new_worker.is_set():
            self.recorder.new_worker.clear()
            self.call_until = now + NEWCOMER_SECONDS
        if self.broker_error is None:
            publisher_of(self.app).control.enable_events()
        if now >= self.call_until:
            return False
        self.to_be_asked.set()
        # What others have ended before they sent events is told by the result backend alone; ours ask by themselves for
        # each message whether it was cancelled.
        if any(not heard.durable for heard in self.recorder.workers.online().values()):
            self.to_be_told.set()
            self.to_be_swept = True
        self.bell.ring()
        return True
