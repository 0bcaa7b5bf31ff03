"""The workers that are heard, each by hostname and process, and those that fell silent."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final

from webapp.text import tidy

SILENCE: Final = 5.0
"""Heartbeats that a worker may miss before it counts as gone."""
ANSWERED: Final = -1
"""The process id of workers that are known by their answers alone."""
HEARTBEAT: Final = 2.0
"""Seconds between heartbeats where a worker does not say."""


@dataclass(slots=True)
class Sign:
    """A worker process: first and last sign of life, and how long a silence means that it is gone.

    ``born_at`` is by the worker's clock, ``seen_at`` by ours; seconds UTC. A process that was not heard when it
    came up may be of any age, so it counts as older than everything: nothing is taken for another's work.
    """

    born_at: float
    seen_at: float
    allowed: float
    durable: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """When a worker was last heard, and whether its events also go to the stream."""

    seen_at: float
    durable: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker process that fell silent without a goodbye.

    What it had begun began before ``before`` (its clock): a new process of the same name was born then. ``same`` says
    that the new one has its process id too: in containers every worker may be the first process. Then it may be the
    old one after all, which has connected anew.
    """

    hostname: str
    before: float
    replaced: bool
    same: bool = False


@dataclass(slots=True)
class Workers:
    """Worker processes by hostname and process id."""

    signs: dict[tuple[str, int], Sign] = field(default_factory=dict)
    restarted: list[Lost] = field(default_factory=list)

    def hear(self, event: dict[str, Any], now: float) -> bool:
        """Take a worker event; return whether this process was not known before."""
        hostname = tidy(event.get("hostname"))
        if not hostname:
            return False
        pid, frequency, at = event.get("pid"), event.get("freq"), event.get("timestamp")
        key = (hostname, pid if isinstance(pid, int) else 0)
        if event.get("type") == "worker-offline":
            self.signs.pop(key, None)
            return False
        steady = isinstance(frequency, int | float) and 0 < frequency < 3600
        allowed = SILENCE * (frequency if steady else HEARTBEAT)  # type: ignore[operator]  # just checked
        known = self.signs.get(key)
        born_at = at if event.get("type") == "worker-online" and isinstance(at, int | float) else -math.inf
        if known and born_at > known.born_at:
            self.restarted.append(Lost(hostname, born_at, replaced=True, same=True))
            known.born_at = born_at
        if known:
            known.seen_at, known.allowed, known.durable = now, allowed, event.get("durable") is True
            return False
        self.signs[key] = Sign(born_at, now, allowed, event.get("durable") is True)
        return True

    def answered(self, hostname: str, now: float, allowed: float) -> None:
        """Take the answer of a worker; only one that is not heard by itself, having no heartbeat, is known by it."""
        silent = self.signs.get((hostname, ANSWERED))
        if silent:
            silent.seen_at = now
        elif hostname not in self.online():
            self.signs[hostname, ANSWERED] = Sign(-math.inf, now, allowed)

    def online(self) -> dict[str, Heard]:
        """Return hostnames and what was last heard of each."""
        heard: dict[str, Heard] = {}
        for (hostname, _), sign in list(self.signs.items()):
            if hostname not in heard or heard[hostname].seen_at < sign.seen_at:
                heard[hostname] = Heard(sign.seen_at, sign.durable)
        return heard

    def lives_since(self, hostname: str, at: float | None) -> bool:
        """Say whether a process of this name lives that was there at a time (seconds UTC by the worker's clock)."""
        return any(
            name == hostname and (at is None or sign.born_at <= at) for (name, _), sign in list(self.signs.items())
        )

    def expect(self, hostname: str, now: float) -> None:
        """Wait for a worker that an earlier recorder heard; if it stays silent, it was lost in between."""
        self.signs[hostname, 0] = Sign(-math.inf, now, SILENCE * HEARTBEAT)

    def forgive(self, now: float) -> None:
        """Begin to count every silence anew, after one that was not the workers' own."""
        for sign in list(self.signs.values()):
            sign.seen_at = now

    def take_silent(self, now: float) -> list[Lost]:
        """Forget the processes whose silence has lasted too long, and return them, and those that began anew."""
        lost, self.restarted = self.restarted, []
        for (hostname, pid), sign in list(self.signs.items()):
            if now - sign.seen_at <= sign.allowed:
                continue
            self.signs.pop((hostname, pid), None)
            heirs = [
                other.born_at
                for (name, _), other in list(self.signs.items())
                if name == hostname and now - other.seen_at <= other.allowed
            ]
            lost.append(Lost(hostname, min(heirs, default=math.inf), bool(heirs)))
        return lost
