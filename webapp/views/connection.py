"""The connection of a page that searches or counts: all that it asks for has one time limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import current_app
from sqlalchemy import Connection

from webapp.extensions import db
from webapp.search.timeout import time_limit


@contextmanager
def reading() -> Iterator[Connection]:
    """Give a connection; raise ``SearchTimeoutError``, of which ``errors`` makes a page, when the limit is over."""
    with db.engine.connect() as connection, time_limit(connection, current_app.config["QUERY_SECONDS"]):
        yield connection
