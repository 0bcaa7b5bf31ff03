"""What a thread of the recorder does again and again: slowly at rest, fast while there is more to do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from webapp.recorder.errors import BROKER_AWAY, DATABASE_AWAY, complain, why
from webapp.recorder.news import Bell

log = logging.getLogger(__name__)

PAUSE_MAX: Final = 60.0
"""Longest pause, in seconds, of a job that fails for a reason that nobody foresaw; it doubles with each time."""


@dataclass(slots=True)
class Job:
    """Something that is done ``slow`` seconds after the last time, or ``fast`` after it where it says so.

    One with ``fast`` is also done when the bell rings, but no sooner than so many seconds after the last time. It
    returns true when it has more to do.
    """

    do: Callable[[], object]
    slow: float
    fast: float | None = None
    done_at: float = 0.0
    due_at: float = 0.0
    faults: int = 0

    def hasten(self) -> None:
        """Take note of news."""
        if self.fast is not None and not self.faults:
            self.due_at = min(self.due_at, self.done_at + self.fast)

    def turn(self) -> None:
        """Do it; whatever happens, it is tried again."""
        pause, faults = self.slow, 0
        try:
            if self.do() and self.fast is not None:
                pause = self.fast
        except DATABASE_AWAY as fault:
            log.error("The database is away: %s", why(fault))
        except BROKER_AWAY as fault:
            log.debug("The broker is away: %s", fault)
        except Exception as fault:  # noqa: BLE001
            # One job that stumbles must not end the others.
            complain(log, fault)
            faults = self.faults + 1
            pause = max(pause, min(2.0**faults, PAUSE_MAX))
        self.faults = faults
        self.done_at = time.monotonic()
        self.due_at = self.done_at + pause


def work(jobs: Sequence[Job], bell: Bell, stopping: threading.Event) -> None:
    """Do each job when it is due, until stopped."""
    heard = -1
    while not stopping.is_set():
        rung = bell.rung
        if rung != heard:
            heard = rung
            for job in jobs:
                job.hasten()
        for job in jobs:
            if time.monotonic() >= job.due_at:
                job.turn()
        bell.wait(heard, min(job.due_at for job in jobs) - time.monotonic())
