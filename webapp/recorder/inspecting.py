"""Asks workers which tasks they know, how those are called and which kind of pool runs them; now and then, never in a
request."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

from celery import Celery
from sqlalchemy import Connection, Engine, delete, insert, or_, select, update

from webapp.models import TaskSchema, WorkerTask
from webapp.queries import bump, workers
from webapp.recorder.signs import hostnames_online
from webapp.text import NAME_MAX, tidy

log = logging.getLogger(__name__)

worker_tasks = WorkerTask.__table__
task_schemas = TaskSchema.__table__

ATTRIBUTE: Final = "vase_schema"
"""The attribute of our tasks that ``inspect registered`` is asked for; see ``celery_app``."""
ANSWER_SECONDS: Final = 1.0
"""Seconds for which answers are awaited, three times."""
SCHEMA_MAX: Final = 64 * 1024
TASKS_MAX: Final = 2000
"""Most tasks of a worker that are kept."""
QUEUES_MAX: Final = 100


def inspect(engine: Engine, celery: Celery) -> None:
    """Note what every worker that answers says of its tasks; what the others said last is kept."""
    # Those that are written down: what they say of their queues is kept with them, and tasks without queues mislead.
    online = hostnames_online(engine)
    if not online:
        return
    asking = celery.control.inspect(destination=online, timeout=ANSWER_SECONDS, limit=len(online))
    registered: dict[str, list[str]] = asking.registered(ATTRIBUTE) or {}
    stats: dict[str, dict[str, Any]] = asking.stats() or {}
    queues: dict[str, list[dict[str, Any]]] = asking.active_queues() or {}
    for hostname in {*stats, *queues}:
        pool = str((stats.get(hostname, {}).get("pool") or {}).get("implementation") or "")[:NAME_MAX] or None
        names = [str(queue.get("name"))[:NAME_MAX] for queue in queues.get(hostname) or [] if isinstance(queue, dict)]
        _note(engine, hostname, {"pool": pool, "queues": json.dumps(names[:QUEUES_MAX])})
    with engine.connect() as connection:
        known = connection.execute(select(worker_tasks)).all()
    for hostname, lines in registered.items():
        told = dict(_read(lines))
        before = {row.name: row.schema_hash for row in known if row.hostname == hostname}
        if before != {name: _hash(schema) for name, schema in told.items()}:
            with engine.begin() as connection:
                bump(connection)
                _replace(connection, hostname, told)


def _note(engine: Engine, hostname: str, values: dict[str, Any]) -> None:
    """Note what a worker says of itself, where it is new."""
    mine = workers.c.hostname == hostname
    different = or_(*(workers.c[name].is_distinct_from(value) for name, value in values.items()))
    with engine.connect() as connection:
        if not connection.execute(select(workers.c.hostname).where(mine, different)).first():
            return
    with engine.begin() as connection:
        bump(connection)
        connection.execute(update(workers).where(mine).values(**values))


def _read(lines: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Yield name and schema, where there is one, of each line such as ``shop.pay [vase_schema={...}]``."""
    for line in list(lines)[:TASKS_MAX]:
        name, _, rest = str(line).partition(f" [{ATTRIBUTE}=")
        name = tidy(name) or ""
        schema = rest[:-1] if rest.endswith("]") and len(rest) <= SCHEMA_MAX else None
        if not 0 < len(name) <= NAME_MAX:
            continue
        try:
            yield name, json.dumps(json.loads(schema)) if schema else None
        except (ValueError, RecursionError):
            yield name, None


def _hash(schema: str | None) -> str | None:
    return blake2b(schema.encode(), digest_size=16).hexdigest() if schema else None


def _replace(connection: Connection, hostname: str, told: dict[str, str | None]) -> None:
    connection.execute(delete(worker_tasks).where(worker_tasks.c.hostname == hostname))
    rows = [{"hostname": hostname, "name": name, "schema_hash": _hash(schema)} for name, schema in told.items()]
    if rows:
        connection.execute(insert(worker_tasks), rows)
    schemas = {_hash(schema): schema for schema in told.values() if schema}
    known = set(connection.execute(select(task_schemas.c.hash).where(task_schemas.c.hash.in_(schemas))).scalars())
    new = [{"hash": key, "schema": schema} for key, schema in schemas.items() if key not in known]
    if new:
        connection.execute(insert(task_schemas), new)


def forget_gone(engine: Engine, gone_for: float) -> None:
    """Forget workers that have been away for so many seconds, their tasks, and schemas that nobody has."""
    with engine.begin() as connection:
        connection.execute(delete(workers).where(~workers.c.online, workers.c.seen_at <= time.time() - gone_for))
        seen = select(workers.c.hostname).where(workers.c.seen_at > time.time() - gone_for)
        connection.execute(delete(worker_tasks).where(worker_tasks.c.hostname.not_in(seen)))
        used = select(worker_tasks.c.schema_hash).where(worker_tasks.c.schema_hash.is_not(None))
        connection.execute(delete(task_schemas).where(task_schemas.c.hash.not_in(used)))
