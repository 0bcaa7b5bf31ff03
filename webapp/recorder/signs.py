"""Signs of life: the recorder's own heartbeat and the workers it hears."""

from __future__ import annotations

import os
import socket
import time
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, insert, select, update

from webapp.queries import bump, recorders, take_turn, workers
from webapp.recorder.workers import Heard, Workers

FORGET_AFTER: Final = 24 * 3600.0
"""Seconds after which a silent worker or recorder is forgotten."""


def recorder_name() -> str:
    """Return this process's name among recorders."""
    return f"{os.getpid()}@{socket.gethostname()}"


def write_signs(engine: Engine, workers_heard: Workers, broker_error: str | None) -> None:
    """Write this recorder's heartbeat and the workers' signs.

    The version grows only when something a page shows has changed: a worker came or went, the broker did, or
    there was no recorder before.
    """
    now = time.time()
    me = recorder_name()
    with engine.begin() as connection:
        # Two recorders hear of the same workers, and only one may add each.
        take_turn(connection)
        before = connection.execute(select(recorders).where(recorders.c.name == me)).one_or_none()
        beat = {"beat_at": now, "broker_ok": broker_error is None, "broker_error": broker_error}
        if before is None:
            connection.execute(insert(recorders).values(name=me, **beat))
        else:
            connection.execute(update(recorders).where(recorders.c.name == me).values(**beat))
        known = {row.hostname: row for row in connection.execute(select(workers))}
        changed = before is None or before.broker_ok != beat["broker_ok"]
        changed |= _write_workers(connection, workers_heard.online(), known)
        if changed:
            bump(connection)
        connection.execute(delete(recorders).where(recorders.c.beat_at < now - FORGET_AFTER))


def _write_workers(connection: Connection, online: dict[str, Heard], known: dict[str, Any]) -> bool:
    changed = False
    for hostname, heard in online.items():
        row = known.get(hostname)
        signs = {"seen_at": heard.seen_at, "online": True, "durable": heard.durable}
        if row is None:
            connection.execute(insert(workers).values(hostname=hostname, **signs))
        elif row.seen_at < heard.seen_at or not row.online:
            connection.execute(update(workers).where(workers.c.hostname == hostname).values(**signs))
        changed |= row is None or not row.online or row.durable != heard.durable
    gone = [name for name, row in known.items() if row.online and name not in online]
    if gone:
        connection.execute(update(workers).where(workers.c.hostname.in_(gone)).values(online=False))
    return changed or bool(gone)


def hostnames_online(engine: Engine) -> list[str]:
    """Return the workers that were online when a recorder last wrote."""
    with engine.connect() as connection:
        return list(connection.execute(select(workers.c.hostname).where(workers.c.online)).scalars())


def say_goodbye(engine: Engine) -> None:
    """Remove this recorder's heartbeat, so that pages know at once that it stopped."""
    with engine.begin() as connection:
        connection.execute(delete(recorders).where(recorders.c.name == recorder_name()))
        bump(connection)
