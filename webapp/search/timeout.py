"""A time limit for what a page asks of the database, so that one search cannot hold a web server's thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError

from webapp.errors import SearchTimeoutError

STEPS: Final = 20_000
"""Steps of SQLite's virtual machine between two looks at the clock, some milliseconds."""


CANCELED: Final = "57014"
"""PostgreSQL's code for a statement that was stopped."""


@contextmanager
def time_limit(connection: Connection, seconds: float) -> Iterator[None]:
    """Raise ``SearchTimeoutError`` when what is done inside takes longer, and leave the connection usable.

    PostgreSQL takes the time of each statement alone, so it is also looked before each whether the time is over.
    """
    end = time.monotonic() + seconds
    sqlite = connection.dialect.name == "sqlite"
    driver: Any = connection.connection.driver_connection

    def look(*_: Any) -> None:
        if time.monotonic() > end:
            raise SearchTimeoutError(f"The search took longer than {seconds:g} seconds and was stopped.")

    if sqlite:
        driver.set_progress_handler(lambda: time.monotonic() > end, STEPS)
    else:
        connection.execute(text(f"SET LOCAL statement_timeout = {int(seconds * 1000)}"))
        event.listen(connection, "before_cursor_execute", look)
    try:
        yield
    except SearchTimeoutError:
        connection.rollback()
        raise
    except OperationalError as fault:
        if "interrupted" not in str(fault.orig) and getattr(fault.orig, "sqlstate", None) != CANCELED:
            raise
        connection.rollback()
        raise SearchTimeoutError(f"The search took longer than {seconds:g} seconds and was stopped.") from None
    finally:
        if sqlite:
            driver.set_progress_handler(None, 0)
        else:
            event.remove(connection, "before_cursor_execute", look)
