"""A time limit for what a page asks of the database, so that one search cannot hold a web server's thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from webapp.errors import TooSlowError

STEPS: Final = 20_000
"""Steps of SQLite's virtual machine between two looks at the clock, some milliseconds."""


@contextmanager
def time_limit(connection: Connection, seconds: float) -> Iterator[None]:
    """Raise ``TooSlowError`` when what is done inside takes longer, and leave the connection usable."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        end = time.monotonic() + seconds
        driver.set_progress_handler(lambda: time.monotonic() > end, STEPS)
    else:
        connection.execute(text(f"SET LOCAL statement_timeout = {int(seconds * 1000)}"))
    try:
        yield
    except OperationalError as fault:
        stopped = "interrupted" in str(fault.orig) or "statement timeout" in str(fault.orig)
        if not stopped:
            raise
        connection.rollback()
        raise TooSlowError(f"The search took longer than {seconds:g} seconds and was stopped.") from None
    finally:
        if connection.dialect.name == "sqlite":
            driver.set_progress_handler(None, 0)
