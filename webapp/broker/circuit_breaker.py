"""A breaker between people who submit and a broker that hangs: after a failure nobody waits for it for a while."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    pass

FIRST_PAUSE: Final = 3.0
LONGEST_PAUSE: Final = 30.0


class CircuitBreaker:
    """Lets one attempt through when its pause is over; the pause doubles with every failure in a row.

    One per process, used by its threads. ``error`` is what the broker said last, None while it is well.
    """

    def __init__(self) -> None:
        self.error: str | None = None
        self._pause = FIRST_PAUSE
        self._open_until = 0.0
        self._lock = threading.Lock()

    def allow(self) -> bool:
        """Say whether to try now; whoever gets yes tells how it went by ``record_failure`` or ``record_success``."""
        with self._lock:
            now = time.monotonic()
            if self.error is not None and now < self._open_until:
                return False
            if self.error is not None:
                # One at a time goes to see whether the broker is back; the others do not wait for it.
                self._open_until = now + self._pause
            return True

    def record_failure(self, error: str) -> None:
        """Note that an attempt failed."""
        with self._lock:
            self._pause = min(self._pause * 2, LONGEST_PAUSE) if self.error is not None else FIRST_PAUSE
            self.error, self._open_until = error, time.monotonic() + self._pause

    def record_success(self) -> None:
        """Note that the broker took a message."""
        if self.error is not None:
            with self._lock:
                self.error = None
