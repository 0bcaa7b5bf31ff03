"""Which site this database is: recorders of one site share what they read of the stream of events, and a copy of its
database beside it is a site of its own.

A copy is known by two things. It stands in another place than the original. And a token, which a recorder changes in
the database and in Redis every minute, is not the one that Redis has: then somebody else is this site by now.

Commands: ``GET`` and ``SET`` of the token, once a minute.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from webapp.history.queries import bump, changes, gaps, recorders, take_turn

log = logging.getLogger(__name__)

ROTATE: Final = 60.0
"""Seconds for which a token stands."""
COPIED: Final = (
    "This database is a copy, or it or Redis was restored: it reads events by itself from here on, and events since it "
    "was copied may be missing."
)
_NO_TOKEN: Final = b"1"
"""What recorders left before there were tokens."""


def settle(engine: Engine) -> Row[Any]:
    """Return the row of this site; where the database has come to another place, under a new name."""
    with engine.begin() as connection:
        take_turn(connection)
        row = connection.execute(select(changes)).one()
        here = _place(connection)
        if row.place == here:
            return row
        connection.execute(update(changes).values(place=here))
        if row.place and _is_elsewhere(row.place, here):
            _rename(connection)
        return connection.execute(select(changes)).one()


def keep(engine: Engine, client: Any, key: str, seconds: int) -> bool:
    """Renew this site's token in the database and in Redis, where it stands for so many seconds.

    False, and a new name for this site, where Redis has a token that is not ours. Raises what either driver raises.
    """
    found = client.get(key)
    with engine.begin() as connection:
        take_turn(connection)
        row = connection.execute(select(changes)).one()
        # The last one but one: whoever wrote the last one may have been killed before Redis had it.
        known = {token.encode() for token in (row.token, row.token_before) if token}
        if found not in (None, _NO_TOKEN, *known):
            _rename(connection)
            return False
        fresh = uuid.uuid4().hex
        connection.execute(update(changes).values(token=fresh, token_before=row.token))
    client.set(key, fresh, ex=seconds)
    return True


def _rename(connection: Connection) -> None:
    log.warning("%s", COPIED)
    bump(connection)
    site = {"site": uuid.uuid4().hex, "streamed": False, "token": None, "token_before": None}
    connection.execute(update(changes).values(**site))
    now = time.time()
    heard_at = connection.execute(select(func.max(recorders.c.beat_at))).scalar() or now
    row = {"began_at": min(heard_at, now), "ended_at": now, "messages": 0, "why": COPIED}
    connection.execute(insert(gaps), row)


def _place(connection: Connection) -> str:
    """Return where a database stands: its file, or its number and that of its server."""
    if connection.dialect.name == "sqlite":
        path = next((row[2] for row in connection.exec_driver_sql("PRAGMA database_list") if row[1] == "main"), "")
        if not path:
            return ""
        real = os.path.realpath(path)
        return (
            f"{blake2b(real.encode(errors='surrogateescape'), digest_size=12).hexdigest()} {Path(real).stat().st_ino}"
        )
    number = connection.execute(text("SELECT oid FROM pg_database WHERE datname = current_database()")).scalar()
    try:
        with connection.begin_nested():
            server = connection.execute(text("SELECT system_identifier FROM pg_control_system()")).scalar()
    except DBAPIError:
        server = "unknown"
    return f"{server}/{number}"


def _is_elsewhere(before: str, here: str) -> bool:
    """Say whether a database is another one: a file that was only moved keeps its inode, one in a container its path,
    and a server that was only upgraded tells by neither."""
    if not here:
        return False
    return not set(before.split()) & set(here.split())
