"""A connection to PostgreSQL that gives up when nothing comes back; the driver itself would wait for ever."""

from __future__ import annotations

import time
from typing import Any, Final

from psycopg import Connection, OperationalError

PATIENCE: Final = 20.0
"""Seconds for which an answer is awaited; searches and locks are stopped by the server long before."""


class ImpatientConnection(Connection[Any]):
    """Closes itself and raises ``OperationalError`` when the server says nothing for ``patience`` seconds.

    None as ``patience`` waits for ever, which a migration of a large table may need.
    """

    patience: float | None = PATIENCE

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for what the driver asked the server."""
        if timeout is not None or self.patience is None:
            return super().wait(gen, interval, timeout)
        end = time.monotonic() + self.patience
        try:
            return super().wait(gen, interval, self.patience)
        except OperationalError:
            if self.broken or time.monotonic() < end:
                raise
            self.pgconn.finish()
            raise OperationalError(f"the server has said nothing for {self.patience:g} seconds") from None
