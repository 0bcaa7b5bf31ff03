"""Wakes the recorder's threads when something was written down: they wait, instead of looking ten times a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at the version, the one number that every change of what a page shows makes grow."""
ANEW: Final = 60.0
"""Seconds after which the connection is given back, so that it is found out when the file is another one."""
PAUSE: Final = 1.0
"""Seconds without a look after the database did not answer."""

_VERSION: Final = "SELECT version FROM vase_changes WHERE id = 1"


class Bell:
    """Rings for every thread that waits: when the version has grown, and when somebody rings it.

    ``rung`` counts; whoever keeps the count of its last look misses nothing.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self.stopping = stopping
        self.rung = 0
        self._condition = threading.Condition()

    def ring(self) -> None:
        """Wake everybody."""
        with self._condition:
            self.rung += 1
            self._condition.notify_all()

    def wait(self, heard: int, seconds: float) -> None:
        """Return when it has rung since the count was ``heard``, or after so many seconds."""
        with self._condition:
            self._condition.wait_for(lambda: self.rung != heard or self.stopping.is_set(), max(seconds, 0.0))

    def watch(self, engine: Engine) -> None:
        """Look at the version until stopped."""
        version = -1
        while not self.stopping.is_set():
            try:
                with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    version = self._watch(connection, version)
            except SQLAlchemyError:
                # Whoever has something to write says so.
                self.stopping.wait(PAUSE)

    def _watch(self, connection: Connection, version: int) -> int:
        """Look for a minute on one connection; return the last version."""
        end = time.monotonic() + ANEW
        try:
            for found in _versions(connection):
                if found != version:
                    version = found
                    self.ring()
                time.sleep(LOOK_EVERY)
                if self.stopping.is_set() or time.monotonic() > end:
                    break
        except connection.dialect.loaded_dbapi.Error:
            connection.invalidate()
            self.stopping.wait(PAUSE)
        return version


def _versions(connection: Connection) -> Iterator[int]:
    """Yield the version again and again, by the driver alone: all else would cost more than the look."""
    driver: Any = connection.connection.driver_connection
    sqlite, written, version = connection.dialect.name == "sqlite", None, -1
    while True:
        # SQLite tells for next to nothing whether another connection has written at all.
        seen = driver.execute("PRAGMA data_version").fetchone() if sqlite else object()
        if seen != written:
            written = seen
            (version,) = driver.execute(_VERSION).fetchone()
        yield version
