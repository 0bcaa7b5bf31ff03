"""Signs of life: the recorder's own heartbeat and the workers it hears."""

from __future__ import annotations

import os
import socket
import time
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, delete, insert, select, update

from webapp.history.queries import bump, recorders, take_turn, workers
from webapp.recorder.worker_registry import ANSWERED, Key, WorkerProcess, WorkerRegistry
from webapp.worker.lease import Lease

FORGET_AFTER: Final = 24 * 3600.0
"""Seconds after which a silent recorder is forgotten."""
UNHEARD_AFTER: Final = 60.0
"""Seconds after which a worker is offline that this recorder has not heard, in case no other one hears it."""
UNHEARD_MAX: Final = 2000
"""Most worker processes that are kept of those that are not heard any more."""
_SEEN: Final = [workers.c[name] for name in "hostname pid seen_at online durable parted token place ended_at".split()]
_MINE: Final = (workers.c.hostname == bindparam("k_hostname")) & (workers.c.pid == bindparam("k_pid"))
_UPDATE: Final = update(workers).where(_MINE)


def recorder_name() -> str:
    """Return this process's name among recorders."""
    return f"{os.getpid()}@{socket.gethostname()}"


def write_heartbeat(engine: Engine, workers_heard: WorkerRegistry, broker_error: str | None) -> None:
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
        changed = before is None or before.broker_ok != beat["broker_ok"]
        changed |= _write_workers(connection, workers_heard, now)
        if changed:
            bump(connection)
        connection.execute(delete(recorders).where(recorders.c.beat_at < now - FORGET_AFTER))


def _write_workers(connection: Connection, heard: WorkerRegistry, now: float) -> bool:
    """Write what is new of the worker processes; say whether a page shows it."""
    known = {(row.hostname, row.pid): row for row in connection.execute(select(*_SEEN))}
    fresh: list[dict[str, Any]] = []
    later: list[dict[str, Any]] = []
    shown = False
    for (hostname, pid), sign in list(heard.signs.items()):
        row = known.pop((hostname, pid), None)
        if row is not None and row.seen_at > sign.seen_at:
            # Another recorder has heard it since.
            continue
        if row is not None and not sign.online and not row.online and row.parted == sign.parted:
            continue
        values = _values(sign)
        # None of the names of columns, which the statement would take for what is to be written.
        (later if row is not None else fresh).append({"k_hostname": hostname, "k_pid": pid, **values})
        shown |= row is None or any(getattr(row, name) != values[name] for name in ("online", "durable", "parted"))
    if fresh:
        connection.execute(insert(workers), [_renamed(values) for values in fresh])
    if later:
        connection.execute(_UPDATE, later)
    heard_now = heard.online()
    # They were known by their answers alone until they were heard.
    doubled = [key for key in known if key[1] == ANSWERED and key[0] in heard_now]
    _delete(connection, doubled)
    for key in doubled:
        del known[key]
    dead = {(one.hostname, one.pid): one.lease.token for one in list(heard.ended.values())}
    ended = [key for key, row in known.items() if dead.get(key, "") == row.token and row.ended_at is None]
    silent = [key for key, row in known.items() if row.online and now - row.seen_at > UNHEARD_AFTER]
    for keys, values in ((ended, {"online": False, "ended_at": now}), (silent, {"online": False})):
        if keys:
            connection.execute(update(workers).where(_MINE).values(**values), _named(keys))
    _forget_oldest(connection, known)
    return shown or bool(ended or silent or doubled)


def _values(sign: WorkerProcess) -> dict[str, Any]:
    lease = sign.lease
    return {
        "seen_at": sign.seen_at,
        "online": sign.online,
        "durable": sign.durable,
        "parted": sign.parted,
        "processed": sign.processed,
        "token": lease.token if lease else None,
        "place": lease.place if lease else None,
        "ended_at": None,
    }


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("k_"): value for name, value in values.items()}


def _forget_oldest(connection: Connection, unheard: dict[tuple[str, int], Any]) -> None:
    """Forget the processes that were heard longest ago, where there are too many of them: anybody may invent some."""
    oldest = sorted(unheard, key=lambda key: unheard[key].seen_at)[: max(len(unheard) - UNHEARD_MAX, 0)]
    _delete(connection, oldest)


def _delete(connection: Connection, keys: list[Key]) -> None:
    if keys:
        connection.execute(delete(workers).where(_MINE), _named(keys))


def _named(keys: list[Key]) -> list[dict[str, Any]]:
    return [{"k_hostname": hostname, "k_pid": pid} for hostname, pid in keys]


def hostnames_online(engine: Engine) -> list[str]:
    """Return the workers that were online when a recorder last wrote."""
    with engine.connect() as connection:
        return list(connection.execute(select(workers.c.hostname).where(workers.c.online).distinct()).scalars())


def keys_online(engine: Engine) -> set[Key]:
    """Return the worker processes that were online when a recorder last wrote."""
    with engine.connect() as connection:
        rows = connection.execute(select(workers.c.hostname, workers.c.pid).where(workers.c.online))
        return {(row.hostname, row.pid) for row in rows}


def expect_known(engine: Engine, heard: WorkerRegistry) -> None:
    """Wait for the workers that an earlier recorder heard; of those that have ended meanwhile the lease can tell."""
    now = time.time()
    with engine.connect() as connection:
        rows = connection.execute(select(*_SEEN).where(workers.c.ended_at.is_(None)).limit(UNHEARD_MAX)).all()
    for row in rows:
        lease = Lease(row.token, row.place) if row.token and row.place else None
        if row.online:
            heard.expect(row.hostname, now, row.pid, lease, row.durable)
        elif lease:
            heard.former[lease] = (row.hostname, row.pid)


def deregister(engine: Engine) -> None:
    """Remove this recorder's heartbeat, so that pages know at once that it stopped."""
    with engine.begin() as connection:
        connection.execute(delete(recorders).where(recorders.c.name == recorder_name()))
        bump(connection)
