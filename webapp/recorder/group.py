"""The consumer group by which this site's recorders read the stream of events: what it has read, what it missed."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import ResponseError
from sqlalchemy import Engine, insert, select, update

from webapp.queries import bump, changes, gaps
from webapp.recorder.signs import recorder_name
from webapp.stream import DROPPED, STREAM

log = logging.getLogger(__name__)

READ_MAX: Final = 500
"""Most messages read at once, of one or more events each."""
TAKEOVER_IDLE: Final = 5.0
"""Seconds after which what another recorder has read and not acknowledged is taken from it."""
GROUPS: Final = "site-"
LIFE: Final = "vase.events:life:"
GROUP_KEPT: Final = 7 * 24 * 3600
"""Seconds for which the stream waits for the recorder of a site."""
FULL: Final = "The stream was full because no recorder read it; what the result backend still has was recorded."
EMPTIED: Final = (
    "Redis was emptied, began anew without its file, or waited for a recorder for over a week; events of this time "
    "may be missing."
)

Entry = tuple[bytes, dict[bytes, bytes]]


class Group:
    """A consumer group in Redis, with this process as one of its consumers. Raises what the broker's driver raises.

    ``overtaken`` says that nothing is left in the stream of what was read before, so that what was dropped since may
    not have been read.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name = ""
        self.made = False
        self.last_id = b"0-0"
        self.overtaken = False
        self.claimed_at = 0.0

    def prepare(self, client: Any) -> None:
        """Make the group of this site, which begins with everything that the stream holds."""
        with self.engine.connect() as connection:
            site, streamed = connection.execute(select(changes.c.site, changes.c.streamed)).one()
        self.name = f"{GROUPS}{site}"
        self._show_life(client)
        try:
            client.xgroup_create(STREAM, self.name, id="0", mkstream=True)
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
        client.set(f"{DROPPED}:{self.name}", client.get(DROPPED) or 0, nx=True)
        self.last_id = max(self.last_id, _delivered(client, self.name), key=_order)
        self.overtaken |= _order(_first_id(client)) > _order(self.last_id)

    def read(self, client: Any, block: int | None) -> Sequence[Entry]:
        """Return the next messages, ``READ_MAX`` at most; wait for the first one for ``block`` milliseconds."""
        found: Any = client.xreadgroup(self.name, recorder_name(), {STREAM: ">"}, count=READ_MAX, block=block)
        entries: list[Entry] = found[0][1] if found else []
        if len(entries) == READ_MAX:
            self.overtaken |= _order(_first_id(client)) > _order(self.last_id)
        if entries:
            self.last_id = max(self.last_id, entries[-1][0], key=_order)
        return entries

    def take_over(self, client: Any) -> Sequence[Entry]:
        """Return what a recorder that died had read and not written."""
        now = time.monotonic()
        if now - self.claimed_at < TAKEOVER_IDLE:
            return []
        self.claimed_at = now
        idle = int(TAKEOVER_IDLE * 1000)
        answer = client.xautoclaim(STREAM, self.name, recorder_name(), idle, start_id="0-0", count=READ_MAX)
        found: list[Entry] = [entry for entry in answer[1] if entry[0] is not None]
        if len(found) < len(answer[1]):
            self._give_up(client)
        elif answer[2:] and answer[2]:
            # Redis from 7 on gives up by itself, and says what.
            self._note_gap(len(answer[2]), FULL)
        if found:
            log.info("Taking over %d messages that another recorder left.", len(found))
            self.claimed_at = 0.0
        return found

    def _give_up(self, client: Any) -> None:
        """Acknowledge what is in the stream no more, though nobody has written it; Redis 6 lists it for ever."""
        pending = client.xpending_range(STREAM, self.name, min="-", max="+", count=READ_MAX)
        first = client.xrange(STREAM, count=1)
        gone = [one["message_id"] for one in pending if not first or _order(one["message_id"]) < _order(first[0][0])]
        if gone:
            client.xack(STREAM, self.name, *gone)
            self._note_gap(len(gone), FULL)

    def tidy(self, client: Any) -> None:
        """Drop what every group has read, and note what was dropped from a full stream before we read it.

        Another site whose recorder is away makes the stream full too, with what we have read long ago.
        """
        self._show_life(client)
        self.overtaken |= _order(_first_id(client)) > _order(_delivered(client, self.name))
        client.xtrim(STREAM, minid=_first_needed(client), approximate=True)
        dropped = int(client.get(DROPPED) or 0)
        before = client.set(f"{DROPPED}:{self.name}", dropped, get=True)
        if before is not None and dropped > int(before) and self.overtaken:
            self._note_gap(dropped - int(before), FULL)
        self.overtaken = False

    def _show_life(self, client: Any) -> None:
        """Leave a sign for other sites' recorders, and end the groups of sites that have left none for long."""
        client.set(f"{LIFE}{self.name}", 1, ex=GROUP_KEPT)
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
