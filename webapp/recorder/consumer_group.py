"""The consumer group by which this site's recorders read the stream of events: what it has read, what it missed.

Commands: ``XREADGROUP`` and ``XACK``; every few seconds ``XAUTOCLAIM``, ``XINFO GROUPS``, ``XRANGE``, ``XPENDING``,
``XTRIM``, ``GET`` and ``SET``; at the start ``XGROUP CREATE``; once a minute ``EXISTS`` and, for sites that are gone,
``XGROUP DESTROY``.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import ResponseError
from sqlalchemy import Engine, update

from webapp.broker.redis_keys import DROPPED, LIFE, STREAM, Keys
from webapp.history.queries import bump, changes
from webapp.recorder import site
from webapp.recorder.gaps import note_gap
from webapp.recorder.heartbeat import recorder_name

log = logging.getLogger(__name__)

READ_MAX: Final = 500
"""Most messages read at once, of one or more events each."""
TAKEOVER_IDLE: Final = 5.0
"""Seconds after which what another recorder has read and not acknowledged is taken from it."""
GROUPS: Final = "site-"
GROUP_KEPT: Final = 7 * 24 * 3600
"""Seconds for which the stream waits for the recorder of a site."""
FULL: Final = "The stream was full because no recorder read it; what the result backend still has was recorded."
EMPTIED: Final = (
    "Redis was emptied, began anew without its file, or waited for a recorder for over a week; events of this time "
    "may be missing."
)

Entry = tuple[bytes, dict[bytes, bytes]]


class CopiedError(Exception):
    """Another recorder reads the stream under this site's name, from a copy of its database."""


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
        self.kept_at = -math.inf
        self.copied = False
        self.stream = self.dropped = self.life = ""

    def prepare(self, client: Any, keys: Keys) -> None:
        """Make the group of this site, which begins with everything that the stream holds.

        ``client`` is one that leaves keys as they are (see ``queues.plain``).
        """
        self.stream, self.dropped, self.life = keys.key(STREAM), keys.key(DROPPED), keys.key(LIFE)
        row = site.settle(self.engine)
        while not site.keep(self.engine, client, f"{self.life}{GROUPS}{row.site}", GROUP_KEPT):
            row = site.settle(self.engine)
        self.name, self.kept_at = f"{GROUPS}{row.site}", time.monotonic()
        self._end_old(client)
        try:
            client.xgroup_create(self.stream, self.name, id="0", mkstream=True)
            if row.streamed:
                self._note_gap(0, EMPTIED)
        except ResponseError as fault:
            if "BUSYGROUP" not in str(fault):
                raise
        if not row.streamed:
            with self.engine.begin() as connection:
                bump(connection)
                connection.execute(update(changes).values(streamed=True))
        self.made, self.copied = True, False
        # What was dropped before this site came to be is no gap in its history.
        client.set(f"{self.dropped}:{self.name}", client.get(self.dropped) or 0, nx=True)
        self.last_id = max(self.last_id, self._delivered(client), key=_order)
        self.overtaken |= _order(self._first_id(client)) > _order(self.last_id)

    def read(self, client: Any, block: int | None) -> Sequence[Entry]:
        """Return the next messages, ``READ_MAX`` at most; wait for the first one for ``block`` milliseconds.

        Raises ``CopiedError`` when the group has to be prepared anew.
        """
        if self.copied:
            raise CopiedError("A copy of this database reads the stream under its name.")
        found: Any = client.xreadgroup(self.name, recorder_name(), {self.stream: ">"}, count=READ_MAX, block=block)
        entries: list[Entry] = found[0][1] if found else []
        if len(entries) == READ_MAX:
            self.overtaken |= _order(self._first_id(client)) > _order(self.last_id)
        if entries:
            self.last_id = max(self.last_id, entries[-1][0], key=_order)
        return entries

    def is_behind(self, client: Any) -> bool:
        """Say whether the stream holds messages that this site's recorders have not read, or not written."""
        mine = next((group for group in client.xinfo_groups(self.stream) if group["name"] == self.name.encode()), None)
        if mine is None or mine["pending"]:
            return True
        last: bytes = client.xinfo_stream(self.stream)["last-generated-id"]
        return _order(last) > _order(mine["last-delivered-id"])

    def take_over(self, client: Any) -> Sequence[Entry]:
        """Return what a recorder that died had read and not written."""
        now = time.monotonic()
        if now - self.claimed_at < TAKEOVER_IDLE:
            return []
        self.claimed_at = now
        idle = int(TAKEOVER_IDLE * 1000)
        answer = client.xautoclaim(self.stream, self.name, recorder_name(), idle, start_id="0-0", count=READ_MAX)
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
        pending = client.xpending_range(self.stream, self.name, min="-", max="+", count=READ_MAX)
        first = client.xrange(self.stream, count=1)
        gone = [one["message_id"] for one in pending if not first or _order(one["message_id"]) < _order(first[0][0])]
        if gone:
            client.xack(self.stream, self.name, *gone)
            self._note_gap(len(gone), FULL)

    def tidy(self, client: Any) -> None:
        """Drop what every group has read, and note what was dropped from a full stream before we read it.

        Another site whose recorder is away makes the stream full too, with what we have read long ago.
        """
        self._show_life(client)
        self.overtaken |= _order(self._first_id(client)) > _order(self._delivered(client))
        client.xtrim(self.stream, minid=self._first_needed(client), approximate=True)
        dropped = int(client.get(self.dropped) or 0)
        before = client.set(f"{self.dropped}:{self.name}", dropped, get=True)
        if before is not None and dropped > int(before) and self.overtaken:
            self._note_gap(dropped - int(before), FULL)
        self.overtaken = False

    def _show_life(self, client: Any) -> None:
        """Leave a sign for other sites' recorders, now and then; read no more where another one is this site."""
        now = time.monotonic()
        if now - self.kept_at < site.ROTATE:
            return
        self.kept_at = now
        if site.keep(self.engine, client, f"{self.life}{self.name}", GROUP_KEPT):
            self._end_old(client)
        else:
            self.made, self.copied = False, True

    def _end_old(self, client: Any) -> None:
        """End the groups of sites that have left no sign for long."""
        groups = client.xinfo_groups(self.stream) if client.exists(self.stream) else []
        for group in groups:
            name = group["name"].decode()
            if name.startswith(GROUPS) and not client.exists(f"{self.life}{name}"):
                client.xgroup_destroy(self.stream, name)

    def _first_id(self, client: Any) -> bytes:
        """Return the id of the earliest message in the stream, ``0-0`` where it is empty."""
        first = client.xrange(self.stream, count=1)
        return first[0][0] if first else b"0-0"

    def _delivered(self, client: Any) -> bytes:
        """Return the id of the last message that the group has read."""
        groups = client.xinfo_groups(self.stream)
        return next((group["last-delivered-id"] for group in groups if group["name"] == self.name.encode()), b"0-0")

    def _first_needed(self, client: Any) -> bytes:
        """Return the id of the earliest message that a group has not read, or has read and not acknowledged."""
        needed = []
        for group in client.xinfo_groups(self.stream):
            pending = client.xpending(self.stream, group["name"]) if group["pending"] else None
            needed.append(pending["min"] if pending and pending["min"] else group["last-delivered-id"])
        return min(needed, key=_order, default=b"0-0")

    def _note_gap(self, messages: int, why: str) -> None:
        began_at = int(self.last_id.partition(b"-")[0]) / 1000 or time.time()
        note_gap(self.engine, began_at, time.time(), messages, why)


def _order(id_: bytes) -> tuple[int, int]:
    milliseconds, _, number = id_.partition(b"-")
    return int(milliseconds), int(number or 0)
