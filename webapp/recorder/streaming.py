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
from sqlalchemy import Engine, insert, select, update

from webapp.celery_app import celery_of
from webapp.queries import bump, changes, gaps
from webapp.queues import is_redis
from webapp.recorder.away import BROKER_AWAY, DATABASE_AWAY
from webapp.recorder.batch import Batch
from webapp.recorder.signs import recorder_name
from webapp.stream import DROPPED, FIELD, STREAM

log = logging.getLogger(__name__)

READ_MAX: Final = 500
"""Most messages read at once, of one or more events each."""
BLOCK: Final = 1000
"""Milliseconds that a read waits for the first message; less than a socket's timeout."""
TAKEOVER_IDLE: Final = 5.0
"""Seconds after which what another recorder has read and not acknowledged is taken from it."""

GROUPS: Final = "site-"
LIFE: Final = "vase.events:life:"
GROUP_KEPT: Final = 7 * 24 * 3600
"""Seconds for which the stream waits for the recorder of a site."""
FULL: Final = "The stream was full because no recorder read it; what the result backend still has was recorded."
EMPTIED: Final = (
    "Redis was emptied, began anew without its file, or waited for a recorder for more than a week; events of this time "
    "may be missing."
)

_FIELD: Final = FIELD.encode()

Entry = tuple[bytes, dict[bytes, bytes]]


class StreamRecorder:
    """Reads messages, folds their events by run, writes them and acknowledges.

    ``caught_up_at`` is when the end of the stream was last seen (monotonic seconds), None before: what has been said is
    known only then. ``overtaken`` says that nothing is left in the stream of what was read before, so that what was
    dropped since may not have been read.
    """

    def __init__(self, app: Flask, engine: Engine, stopping: threading.Event) -> None:
        self.celery: Celery = celery_of(app)
        self.engine = engine
        self.stopping = stopping
        self.batch = Batch(app, engine)
        self.unacknowledged: list[bytes] = []
        self.group = ""
        self.made = False
        self.last_id = b"0-0"
        self.caught_up_at: float | None = None
        self.overtaken = False
        self.absent = False
        self.claimed_at = 0.0

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
                        self._prepare(client)
                        while not self.stopping.is_set():
                            self._turn(client)
                            pause = 0.2
            except ResponseError as fault:
                # NOGROUP: Redis was emptied, or started again without its file. Anything else may pass as well.
                self.made &= "NOGROUP" in str(fault)
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

    def _prepare(self, client: Any) -> None:
        """Make the group of this site, which begins with everything that the stream holds."""
        with self.engine.connect() as connection:
            site, streamed = connection.execute(select(changes.c.site, changes.c.streamed)).one()
        self.group = f"{GROUPS}{site}"
        self._show_life(client)
        try:
            client.xgroup_create(STREAM, self.group, id="0", mkstream=True)
            if streamed:
                self._note_gap(0, EMPTIED)
        except ResponseError as fault:
            if "BUSYGROUP" not in str(fault):
                raise
        if not streamed:
            with self.engine.begin() as connection:
                bump(connection)
                connection.execute(update(changes).values(streamed=True))
        self.made = True
        # What was dropped before this site came to be is no gap in its history.
        client.set(f"{DROPPED}:{self.group}", client.get(DROPPED) or 0, nx=True)
        self.last_id = max(self.last_id, _delivered(client, self.group), key=_order)
        self.overtaken |= _order(_first_id(client)) > _order(self.last_id)

    def _turn(self, client: Any) -> None:
        """Wait for a message; give others the time of a batch to arrive; read them all and write them."""
        entries, before = self._take_over(client) or self._read(client, BLOCK), self.last_id
        self._take(entries)
        if 0 < len(entries) < READ_MAX:
            self.stopping.wait(self.batch.due_in)
            entries = self._read(client, None)
            self._take(entries)
        while len(entries) == READ_MAX and self.batch.due_in:
            entries = self._read(client, None)
            self._take(entries)
        seen_at, ended = time.monotonic(), len(entries) < READ_MAX
        if not ended:
            self.overtaken |= _order(_first_id(client)) > _order(before)
        if self.unacknowledged:
            self._write(client)
        if ended:
            self.caught_up_at = seen_at

    def _read(self, client: Any, block: int | None) -> list[Entry]:
        found: Any = client.xreadgroup(self.group, recorder_name(), {STREAM: ">"}, count=READ_MAX, block=block)
        entries: list[Entry] = found[0][1] if found else []
        return entries

    def _take_over(self, client: Any) -> list[Entry]:
        """Return what a recorder that died had read and not written."""
        now = time.monotonic()
        if now - self.claimed_at < TAKEOVER_IDLE:
            return []
        self.claimed_at = now
        idle = int(TAKEOVER_IDLE * 1000)
        claimed = client.xautoclaim(STREAM, self.group, recorder_name(), idle, start_id="0-0", count=READ_MAX)[1]
        found: list[Entry] = [entry for entry in claimed if entry[0] is not None]
        if len(found) < len(claimed):
            self._give_up(client)
        if found:
            log.info("Taking over %d messages that another recorder left.", len(found))
            self.claimed_at = 0.0
        return found

    def _give_up(self, client: Any) -> None:
        """Acknowledge what is in the stream no more, though nobody has written it; Redis 6 lists it for ever."""
        pending = client.xpending_range(STREAM, self.group, min="-", max="+", count=READ_MAX)
        first = client.xrange(STREAM, count=1)
        gone = [one["message_id"] for one in pending if not first or _order(one["message_id"]) < _order(first[0][0])]
        if gone:
            client.xack(STREAM, self.group, *gone)
            self._note_gap(len(gone), FULL)

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
                        self.batch.take(event, now, harmless)
            # Anybody may append anything here, and what comes before and after it is good.
            except Exception as fault:  # noqa: BLE001
                log.warning("A message in the stream that makes no sense was passed over: %.200s", fault)
        if self.unacknowledged:
            self.last_id = max(self.last_id, self.unacknowledged[-1], key=_order)

    def _write(self, client: Any) -> None:
        """Write the batch and acknowledge it; as long as the database is away nothing more is read."""
        while not self.batch.write():
            if self.stopping.wait(0.5):
                return
        client.xack(STREAM, self.group, *self.unacknowledged)
        self.unacknowledged = []

    def caught_up(self, within: float) -> bool:
        """Say whether the end of the stream was seen so many seconds ago at most; where there is none, nothing waits."""
        return self.absent or (self.caught_up_at is not None and time.monotonic() - self.caught_up_at < within)

    def tidy(self, client: Any) -> None:
        """Drop what every group has read, and note what was dropped from a full stream before we read it.

        Another site whose recorder is away makes the stream full too, with what we have read long ago.
        """
        self._show_life(client)
        self.overtaken |= _order(_first_id(client)) > _order(_delivered(client, self.group))
        client.xtrim(STREAM, minid=_first_needed(client), approximate=True)
        dropped = int(client.get(DROPPED) or 0)
        before = client.set(f"{DROPPED}:{self.group}", dropped, get=True)
        if before is not None and dropped > int(before) and self.overtaken:
            self._note_gap(dropped - int(before), FULL)
        self.overtaken = False

    def _show_life(self, client: Any) -> None:
        """Leave a sign for other sites' recorders, and end the groups of sites that have left none for long."""
        client.set(f"{LIFE}{self.group}", 1, ex=GROUP_KEPT)
        groups = client.xinfo_groups(STREAM) if client.exists(STREAM) else []
        for group in groups:
            name = group["name"].decode()
            if name.startswith(GROUPS) and not client.exists(f"{LIFE}{name}"):
                client.xgroup_destroy(STREAM, name)

    def _note_gap(self, messages: int, why: str) -> None:
        log.error("%s (%d messages)", why, messages)
        began_at = int(self.last_id.partition(b"-")[0]) / 1000 or time.time()
        row = {"began_at": began_at, "ended_at": time.time(), "messages": messages, "why": why}
        with self.engine.begin() as connection:
            bump(connection)
            connection.execute(insert(gaps), row)


def _order(id_: bytes) -> tuple[int, int]:
    milliseconds, _, number = id_.partition(b"-")
    return int(milliseconds), int(number or 0)


def _first_id(client: Any) -> bytes:
    """Return the id of the earliest message in the stream, ``0-0`` where it is empty."""
    first = client.xrange(STREAM, count=1)
    return first[0][0] if first else b"0-0"


def _delivered(client: Any, name: str) -> bytes:
    """Return the id of the last message that a group has read."""
    return next((g["last-delivered-id"] for g in client.xinfo_groups(STREAM) if g["name"] == name.encode()), b"0-0")


def _first_needed(client: Any) -> bytes:
    """Return the id of the earliest message that a group has not read, or has read and not acknowledged."""
    needed = []
    for group in client.xinfo_groups(STREAM):
        pending = client.xpending(STREAM, group["name"]) if group["pending"] else None
        needed.append(pending["min"] if pending and pending["min"] else group["last-delivered-id"])
    return min(needed, key=_order, default=b"0-0")
