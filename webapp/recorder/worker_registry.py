"""The workers that are heard, each by hostname and process, and those that are known to have ended.

Silence is no end: a worker may be halted, busy, moved or unheard. An end is known only of workers of our own, whose
lease on this machine nobody holds any more; see ``docs/proof-of-death.md``.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Any, Final

from webapp.text import tidy
from webapp.worker.lease import Lease, has_ended, lease_of

log = logging.getLogger(__name__)

SILENCE: Final = 5.0
"""Heartbeats that a worker may miss before it counts as silent."""
ANSWERED: Final = -1
"""The process id of workers that are known by their answers alone."""
HEARTBEAT: Final = 2.0
"""Seconds between heartbeats where a worker does not say."""
PROCESSES_MAX: Final = 2000
"""Most worker processes that are known at once; who comes then waits until one has been silent."""

Key = tuple[str, int]


@dataclass(slots=True)
class WorkerProcess:
    """A worker process: first and last sign of life, and how long it may be silent.

    ``born_at`` is by the worker's clock, ``seen_at`` by ours; seconds UTC. ``parted`` says that it took its leave: it
    takes no more work, but may still be at work. ``processed`` is how many tasks it says that it has begun, and
    ``first`` how many those were when this recorder first heard it, and when that was.
    ``skew`` is how many seconds its clock is ahead of ours.
    """

    born_at: float
    seen_at: float
    allowed: float
    durable: bool = False
    lease: Lease | None = None
    online: bool = True
    parted: bool = False
    processed: int | None = None
    first: tuple[int, float] | None = None
    skew: float | None = None
    since: float = math.inf
    """From when on it was heard without coming up anew, by our clock: what was begun before may be another's work."""
    begun: int = 0
    """Tasks of which it was heard that they began; those of before it was first heard are counted as heard."""
    lacking: int = 0
    """Tasks that it has begun and that were not heard of, at its last heartbeat."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """When a worker was last heard, and whether its events also go to the stream."""

    seen_at: float
    durable: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker process of which it is proved that it has ended, with all processes of its pool."""

    hostname: str
    pid: int
    lease: Lease


@dataclass(slots=True)
class WorkerRegistry:
    """Worker processes by hostname and process id, those heard last at the end; and the lives that have ended."""

    signs: dict[Key, WorkerProcess] = field(default_factory=dict)
    former: dict[Lease, Key] = field(default_factory=dict)
    """Lives that were followed by another one under the same hostname and process id, and may not have ended."""
    ended: dict[str, Ended] = field(default_factory=dict)
    """By the token of their lease."""
    tidied_at: float = -math.inf
    unheard: bool = False
    """Whether some worker has begun tasks that were not heard of: it may not have been told yet to send events."""

    def begin(self, event: dict[str, Any]) -> None:
        """Take the event of a task that has begun, of which a worker sends one for each that it counts."""
        if sign := self.signs.get(key_of(event)):
            sign.begun += 1

    def _count(self, known: WorkerProcess, sign: WorkerProcess) -> None:
        """Compare what a worker has begun with what was heard of it."""
        sign.begun, sign.lacking = known.begun, known.lacking
        if sign.processed is None or sign.durable or sign.first is None:
            return
        lacking = sign.processed - sign.first[0] - sign.begun
        # Events of tasks are sent in bundles, which heartbeats overtake: what lacks is told by two in a row.
        if min(lacking, known.lacking) > 0:
            self.unheard = True
            sign.begun += min(lacking, known.lacking)
        sign.lacking = max(lacking, 0)

    def hear(self, event: dict[str, Any], now: float) -> bool:
        """Take a worker event; return whether this process was not known before, or is another one than it was."""
        key = key_of(event)
        if not key[0]:
            return False
        known = self.signs.get(key)
        if event.get("type") == "worker-offline":
            if known:
                known.online, known.parted, known.seen_at = False, True, now
            return False
        lease = lease_of(event)
        if lease and lease.token in self.ended:
            # A last word that was under way.
            return False
        sign = _sign_of(event, lease, now)
        if known and known.lease and lease and known.lease != lease:
            self._note_former(known.lease, key)
        elif known:
            # Whoever connects anew says that it is there as it did when it came up: it is as old as it was.
            sign.born_at = known.born_at
            sign.lease = lease or known.lease
            sign.first = known.first if known.first is not None else sign.first
            if event.get("type") != "worker-online":
                sign.since = min(known.since, now)
            self._count(known, sign)
        if known is None and not self._has_room(now):
            return False
        # It may have answered before it was heard, which is one process and not two.
        self.signs.pop((key[0], ANSWERED), None)
        self.signs[key] = sign
        return known is None or not known.online or known.lease != sign.lease

    def _has_room(self, now: float) -> bool:
        """Say whether one more process may be known; those that have been silent longest make room, once a second."""
        if len(self.signs) < PROCESSES_MAX:
            return True
        if now - self.tidied_at < 1.0:
            return False
        self.tidied_at = now
        silent = [key for key, sign in list(self.signs.items()) if now - sign.seen_at > sign.allowed]
        silent.sort(key=lambda key: self.signs[key].seen_at)
        for key in silent[: PROCESSES_MAX // 2]:
            del self.signs[key]
        return bool(silent)

    def _note_former(self, lease: Lease, key: Key) -> None:
        self.former[lease] = key
        if len(self.former) > PROCESSES_MAX:
            del self.former[next(iter(self.former))]

    def answered(self, hostname: str, now: float, allowed: float, pid: int = ANSWERED) -> None:
        """Take the answer of a worker; only one that is not heard by itself, having no heartbeat, is known by it."""
        known = self.signs.get((hostname, pid))
        if known:
            known.seen_at = max(known.seen_at, now)
            # Who has a heartbeat is known by that.
            known.online |= known.allowed == allowed
        elif (pid != ANSWERED or hostname not in self.online()) and self._has_room(now):
            self.signs[hostname, pid] = WorkerProcess(-math.inf, now, allowed)

    def online(self) -> dict[str, Sighting]:
        """Return hostnames and what was last heard of each."""
        heard: dict[str, Sighting] = {}
        for (hostname, _), sign in list(self.signs.items()):
            if sign.online and (hostname not in heard or heard[hostname].seen_at < sign.seen_at):
                heard[hostname] = Sighting(sign.seen_at, sign.durable)
        return heard

    def any_unstreamed(self, at: float) -> bool:
        """Say whether one was about at a time (seconds UTC) whose events do not go to the stream."""
        signs = list(self.signs.values())
        return any(not sign.durable and (sign.online or sign.seen_at >= at - sign.allowed) for sign in signs)

    def processes(self) -> dict[str, int]:
        """Return how many processes of each hostname are heard; two of one name answer as one."""
        counted: dict[str, int] = {}
        for (hostname, _), sign in list(self.signs.items()):
            counted[hostname] = counted.get(hostname, 0) + sign.online
        return counted

    def last_sign(self, hostname: str) -> WorkerProcess | None:
        """Return the latest sign of a hostname, of whichever process; None where none was heard by itself."""
        signs = [sign for (name, _), sign in list(self.signs.items()) if name == hostname]
        return max(signs, key=lambda sign: sign.seen_at, default=None)

    def skews(self) -> list[float]:
        """Return by how many seconds the clocks of those that are online are ahead of ours."""
        return [sign.skew for sign in list(self.signs.values()) if sign.online and sign.skew is not None]

    def expect(
        self, hostname: str, now: float, pid: int = 0, lease: Lease | None = None, durable: bool = False
    ) -> None:
        """Wait for a worker that an earlier recorder heard."""
        self.signs[hostname, pid] = WorkerProcess(-math.inf, now, SILENCE * HEARTBEAT, durable, lease)

    def forgive(self, now: float) -> None:
        """Begin to count every silence anew, after one that was not the workers' own."""
        for sign in list(self.signs.values()):
            if sign.online:
                sign.seen_at = now

    def note_silence(self, now: float) -> None:
        """Take the processes for silent that were not heard for too long."""
        for sign in list(self.signs.values()):
            if sign.online and now - sign.seen_at > sign.allowed:
                sign.online = False

    def take_ended(self) -> list[Ended]:
        """Forget the processes of which it is proved that they have ended, and return them."""
        found = [Ended(*key, sign.lease) for key, sign in list(self.signs.items()) if sign.lease]
        found += [Ended(*key, lease) for lease, key in list(self.former.items())]
        found = [one for one in found if has_ended(one.lease)]
        for one in found:
            key = (one.hostname, one.pid)
            sign = self.signs.get(key)
            if sign and sign.lease == one.lease:
                self.signs.pop(key, None)
            self.former.pop(one.lease, None)
            self.ended[one.lease.token] = one
            if len(self.ended) > PROCESSES_MAX:
                del self.ended[next(iter(self.ended))]
        return found


def key_of(event: dict[str, Any]) -> Key:
    """Return hostname and process id of an event; nothing and 0 where it does not say."""
    pid = event.get("pid")
    return tidy(event.get("hostname")) or "", pid if type(pid) is int and 0 < pid < 2**31 else 0


def _sign_of(event: dict[str, Any], lease: Lease | None, now: float) -> WorkerProcess:
    frequency, at, processed = event.get("freq"), event.get("timestamp"), event.get("processed")
    steady = isinstance(frequency, int | float) and 0 < frequency < 3600
    allowed = SILENCE * (frequency if steady else HEARTBEAT)  # type: ignore[operator]  # just checked
    told = float(at) if isinstance(at, int | float) and 0 <= at <= 1e11 else None
    born_at = told if told is not None and event.get("type") == "worker-online" else -math.inf
    count = processed if type(processed) is int and 0 <= processed < 2**63 else None
    skew = told - now if told is not None else None
    first = (count, now) if count is not None else None
    process = WorkerProcess(born_at, now, allowed, event.get("durable") is True, lease, since=now)
    process.processed, process.first, process.skew = count, first, skew
    return process
