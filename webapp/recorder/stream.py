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
from redis.exceptions import NoPermissionError, ResponseError
from sqlalchemy import Engine

from webapp.broker.redis import is_redis, plain, plain_redis
from webapp.broker.redis_keys import keys_of_channel
from webapp.celery_app import celery_of
from webapp.recorder.batch import Batch
from webapp.recorder.consumer_group import READ_MAX, CopiedError, Entry, Group
from webapp.recorder.deliveries import Deliveries
from webapp.recorder.errors import BROKER_AWAY, DATABASE_AWAY, complain
from webapp.recorder.gaps import note_once
from webapp.worker.events import FIELD, REFUSED_SECONDS

log = logging.getLogger(__name__)

BLOCK: Final = 10_000
"""Milliseconds that a read waits for the first message."""
SOCKET_TIMEOUT: Final = 15.0
"""Seconds after which a connection that says nothing is dead: Redis answers when a read has waited long enough."""
ASK_EVERY: Final = 1.0
"""Seconds between two questions to Redis whether anything is left to be read."""

FORBIDDEN: Final = (
    "The broker's user may not use the keys vase.*, so events are recorded as they are heard, and what happens while "
    "no recorder runs may be missing."
)

_FIELD: Final = FIELD.encode()


class StreamRecorder:
    """Reads messages, folds their events by run, writes them and acknowledges.

    ``caught_up_at`` is when the end of the stream was last seen (monotonic seconds), None before: what has been said is
    known only then. ``absent`` says that the broker has no streams. ``client_id`` is Redis's name for the connection
    that waits.
    """

    def __init__(self, app: Flask, engine: Engine, stopping: threading.Event, held: Deliveries) -> None:
        self.celery: Celery = celery_of(app)
        self.stopping = stopping
        self.engine = engine
        self.batch = Batch(app, engine)
        self.held = held
        self.group = Group(engine)
        self.unacknowledged: list[bytes] = []
        self.caught_up_at: float | None = None
        self.absent = False
        self.asked_at = 0.0
        self.client_id: int | None = None

    def run(self) -> None:
        """Read until stopped; try again when the broker or the database is away."""
        pause = 0.2
        while not self.stopping.is_set():
            try:
                options = {"socket_timeout": SOCKET_TIMEOUT}
                with self.celery.connection_for_read(transport_options=options) as connection:
                    channel = connection.default_channel
                    if not is_redis(channel):
                        self.absent = True
                        return
                    client = plain(channel)
                    self.group.prepare(client, keys_of_channel(channel))
                    self.client_id = _client_id(client)
                    self.absent = False
                    while not self.stopping.is_set():
                        self._turn(client)
                        pause = 0.2
            except CopiedError as fault:
                log.warning("%s", fault)
            except NoPermissionError as fault:
                # Events are recorded as they are heard then.
                self.absent = True
                note_once(self.engine, FORBIDDEN, fault)
                self.stopping.wait(REFUSED_SECONDS)
            except ResponseError as fault:
                # NOGROUP: Redis was emptied, or started again without its file. Anything else may pass as well.
                log.warning("The stream cannot be read: %s", fault)
                self.stopping.wait(pause)
            except (*BROKER_AWAY, *DATABASE_AWAY) as fault:
                log.debug("The stream is away: %s", fault)
                self.caught_up_at = None
                self.stopping.wait(pause)
            except Exception as fault:  # noqa: BLE001
                # What was read is kept and tried again; a fault that nobody foresaw must not end all recording.
                complain(log, fault)
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
        client.xack(self.group.stream, self.group.name, *self.unacknowledged)
        self.unacknowledged = []

    def caught_up(self, within: float) -> bool:
        """Say whether all was read and written that was said up to so many seconds ago; without a stream nothing waits.

        A reader at the end of the stream waits for long, so whether anything is left is asked of Redis. Raises what the
        broker's driver raises.
        """
        if self.absent:
            return True
        if self.caught_up_at is None:
            return False
        now = time.monotonic()
        if now - self.caught_up_at < within:
            return True
        if now - self.asked_at < ASK_EVERY:
            return False
        self.asked_at = now
        with plain_redis(self.celery) as (_, client):
            if client is None or self.group.is_behind(client) or self.caught_up_at is None:
                return False
        self.caught_up_at = now
        return True

    def caught_up_since(self, at: float) -> bool:
        """Say whether everything has been read that was said until then (monotonic seconds)."""
        return self.caught_up(within=time.monotonic() - at)

    def interrupt(self) -> None:
        """End the wait for a message; call it when the recorder is stopped."""
        if self.client_id is None:
            return
        try:
            with plain_redis(self.celery) as (_, client):
                client.client_unblock(self.client_id)
        except BROKER_AWAY as fault:
            log.debug("The stream is away: %s", fault)


def _client_id(client: Any) -> int | None:
    """Return Redis's name for a client's connection, None where its user may not ask."""
    try:
        return int(client.client_id())
    except NoPermissionError:
        return None
