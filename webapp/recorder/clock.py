"""Whether this machine's clock can be believed so far that something is removed by it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Engine, func, select

from webapp.history.queries import runs
from webapp.runs.ids import time_of

log = logging.getLogger(__name__)

JUMP: Final = 3600.0
"""Seconds that the clock may gain or lose between two looks."""
APART: Final = 24 * 3600.0
"""Seconds that other clocks may differ from it, be they set by the time of another zone."""
PATIENCE: Final = 24 * 3600.0
"""Seconds for which nothing is removed after a doubt; whoever keeps something too long has lost nothing."""
QUIET: Final = 24 * 3600.0
"""Seconds for which nothing may have been heard of any run before this recorder began."""


@dataclass(slots=True)
class Clock:
    """Compares the clock with the time that has passed, with the latest run of before, and with other clocks.

    ``wall`` (seconds UTC) and ``passed`` (seconds of a clock that nobody sets) are of the last look.
    """

    wall: float = field(default_factory=time.time)
    passed: float = field(default_factory=time.monotonic)
    doubted_until: float = -math.inf

    def compare(self, now: float, passed: float, others: Iterable[float] = ()) -> None:
        """Look at the clock; ``others`` is what other clocks show at this moment."""
        jumped = abs((now - self.wall) - (passed - self.passed)) > JUMP
        told = list(others)
        # One clock that is wrong is another machine's affair; most of them are right.
        alone = sum(abs(now - other) > APART for other in told) * 2 > len(told)
        self.wall, self.passed = now, passed
        if jumped or alone:
            self._doubt(passed)

    def remember(self, engine: Engine) -> None:
        """Compare the clock with when a run was last heard of, before anything is written by it."""
        with engine.connect() as connection:
            newest = connection.execute(select(func.max(runs.c.id))).scalar()
        if newest is not None and self.wall - time_of(newest) > QUIET:
            self._doubt(self.passed)

    def is_believed(self) -> bool:
        """Say whether nothing has spoken against it for long."""
        return self.passed >= self.doubted_until

    def _doubt(self, passed: float) -> None:
        if self.is_believed():
            log.warning("The clock may have jumped, so nothing is removed for a day.")
        self.doubted_until = passed + PATIENCE
