"""Reads the stream of events: in a consumer group, acknowledged after the commit, so that nothing is read in vain."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable
from typing import Any, Final

from celery import Celery
from flask import Flask
from redis.exceptions import ResponseError
from sqlalchemy import Engine

from webapp.celery_app import celery_of
from webapp.queues import is_redis
from webapp.recorder.away import BROKER_AWAY, DATABASE_AWAY
from webapp.recorder.batch import Batch
from webapp.recorder.group import READ_MAX, Entry, Group
from webapp.recorder.held import Held
from webapp.stream import FIELD, STREAM

log = logging.getLogger(__name__)

BLOCK: Final = 1000
"""Milliseconds that a read waits for the first message; less than a socket's timeout."""

_FIELD: Final = FIELD.encode()


class StreamRecorder:
    """Reads messages, folds their events by run, writes them and acknowledges.

    ``caught_up_at`` is when the end of the stream was last seen (monotonic seconds), None before: what has been said is
    known only then. ``absent`` says that the broker has no streams.
    """

    def __init__(self, app: Flask, engine: Engine, stopping: threading.Event, held: Held) -> None:
        self.celery: Celery = celery_of(app)
        self.stopping = stopping
        self.batch = Batch(app, engine)
        self.held = held
        self.group = Group(engine)
        self.unacknowledged: list[bytes] = []
        self.caught_up_at: float | None = None
        self.absent = False

    def run(self) -> None:
        """Read until stopped; try again when the broker or the database is away."""
        pause = 0.2
        while not self.stopping.is_set():
            try:
                with self.celery.connection_for_read() as connection:
                    channel = connection.default_channel
                    if not is_redis(channel):
                        self.absent = True
                        return
                    with channel.conn_or_acquire() as client:
                        self.group.prepare(client)
                        while not self.stopping.is_set():
                            self._turn(client)
                            pause = 0.2
            except ResponseError as fault:
                # NOGROUP: Redis was emptied, or started again without its file. Anything else may pass as well.
                log.warning("The stream cannot be read: %s", fault)
                self.stopping.wait(pause)
            except (*BROKER_AWAY, *DATABASE_AWAY) as fault:
                log.debug("The stream is away: %s", fault)
                self.caught_up_at = None
                self.stopping.wait(pause)
            except Exception:
                # What was read is kept and tried again; a fault that nobody foresaw must not end all recording.
                log.exception("Unforeseen")
                self.caught_up_at = None
                self.stopping.wait(pause)
            pause = min(pause * 2, 2.0)

    def _turn(self, client: Any) -> None:
        """Wait for a message; give others the time of a batch to arrive; read them all and write them."""
        entries = self.group.take_over(client) or self.group.read(client, BLOCK)
        self._take(entries)
        if 0 < len(entries) < READ_MAX:
            self.stopping.wait(self.batch.due_in)
            entries = self.group.read(client, None)
            self._take(entries)
        while len(entries) == READ_MAX and self.batch.due_in:
            entries = self.group.read(client, None)
            self._take(entries)
        seen_at = time.monotonic()
        if self.unacknowledged:
            self._write(client)
        if len(entries) < READ_MAX:
            self.caught_up_at = seen_at

    def _take(self, entries: Iterable[Entry]) -> None:
        now = time.time()
        for id_, values in entries:
            self.unacknowledged.append(id_)
            try:
                payload = values[_FIELD]
                events = json.loads(payload.decode())
                # Whatever needs cleaning is written as an escape in ASCII JSON, so one look at the whole is enough.
                harmless = payload.isascii() and b"\\" not in payload
                for event in events if isinstance(events, list) else (events,):
                    if isinstance(event, dict):
                        self.held.hear(event)
                        self.batch.take(event, now, harmless)
            # Anybody may append anything here, and what comes before and after it is good.
            except Exception as fault:  # noqa: BLE001
                log.warning("A message in the stream that makes no sense was passed over: %.200s", fault)

    def _write(self, client: Any) -> None:
        """Write the batch and acknowledge it; as long as the database is away nothing more is read."""
        while not self.batch.write():
            if self.stopping.wait(0.5):
                return
        client.xack(STREAM, self.group.name, *self.unacknowledged)
        self.unacknowledged = []

    def caught_up(self, within: float) -> bool:
        """Say whether the end of the stream was seen so many seconds ago at most; without a stream nothing waits."""
        return self.absent or (self.caught_up_at is not None and time.monotonic() - self.caught_up_at < within)

    def caught_up_since(self, at: float) -> bool:
        """Say whether everything has been read that was said until then (monotonic seconds)."""
        return self.absent or (self.caught_up_at is not None and self.caught_up_at > at)
