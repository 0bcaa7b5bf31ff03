"""Asks workers which tasks they know, how those are called and which kind of pool runs them; now and then, never in a
request."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

from celery import Celery
from sqlalchemy import Connection, Engine, delete, insert, or_, select, update

from webapp.broker.content import notice_of
from webapp.history.models import TaskSchema
from webapp.history.queries import bump, worker_tasks, workers
from webapp.recorder.replies import ATTRIBUTE, Replies, ask, by_clock, pool_of, refused, whose
from webapp.recorder.worker_registry import Key, WorkerRegistry
from webapp.text import NAME_MAX, tidy

task_schemas = TaskSchema.__table__

SCHEMA_MAX: Final = 64 * 1024
TASKS_MAX: Final = 2000
"""Most tasks of a worker that are kept."""
QUEUES_MAX: Final = 100
DEAF: Final = (
    "It sends no task events, so of its runs only stored results are seen. Start this one with -E, or without "
    "--without-heartbeat or --without-gossip."
)
"""What is said of a worker that has nothing to send events with."""

Tasks = dict[str, str | None]
"""The hash of a task's schema, where it has one, by its name."""


def inspect(engine: Engine, celery: Celery, heard: WorkerRegistry) -> None:
    """Note what every worker process that answers says of its tasks; what the others said last is kept."""
    # Those that are written down: what they say of their queues is kept with them, and tasks without queues mislead.
    with engine.connect() as connection:
        rows = connection.execute(select(workers.c.hostname, workers.c.pid, workers.c.queues).where(workers.c.online))
        online = {(row.hostname, row.pid): row.queues for row in rows}
        known: dict[Key, Tasks] = {}
        for row in connection.execute(select(worker_tasks)):
            known.setdefault((row.hostname, row.pid), {})[row.name] = row.schema_hash
    if not online:
        return
    replies = Replies.ask(celery, online)
    for hostname in {hostname for hostname, _ in online}:
        mine = [key for key in online if key[0] == hostname]
        answered = replies.stats.get(hostname, {})
        if len(mine) == 1 and mine[0][1] > 0 and answered and mine[0][1] not in answered:
            # Another process of that name, of which nothing else is heard.
            continue
        if heard.processes().get(hostname, 1) > len(mine):
            # One more has come up and may have answered first. Each says that it is there before it can answer.
            continue
        for pid, stats in answered.items():
            key = mine[0] if len(mine) == 1 else (hostname, pid)
            if key in mine:
                _note(engine, key, {"pool": pool_of(stats)})
        told = [dict(_read(lines)) for lines in replies.registered.get(hostname, [])]
        queues = [queue_names(answer) for answer in replies.queues.get(hostname, [])]
        before = {key: known.get(key, {}) for key in mine}
        tasks_of = whose(before, told, lambda told: {n: _hash(schema) for n, schema in told.items()})
        queues_of = whose({key: online[key] for key in mine}, queues, str)
        if len(mine) > 1 and len(told) == len(mine) > min(len(tasks_of), len(queues_of)):
            for pid, (lines, names) in by_clock(celery, hostname, len(mine)).items():
                if (hostname, pid) in mine:
                    tasks_of[hostname, pid], queues_of[hostname, pid] = dict(_read(lines)), queue_names(names)
        for key, tasks in tasks_of.items():
            if known.get(key, {}) != {name: _hash(schema) for name, schema in tasks.items()}:
                with engine.begin() as connection:
                    bump(connection)
                    _replace(connection, key, tasks)
        for key, queue in queues_of.items():
            _note(engine, key, {"queues": queue})


def owe_answers(engine: Engine) -> bool:
    """Say whether a worker that is heard has not told yet which queues it reads."""
    owing = workers.c.online & workers.c.queues.is_(None) & (workers.c.pid > 0)
    with engine.connect() as connection:
        return connection.execute(select(workers.c.pid).where(owing).limit(1)).first() is not None


def enable_events(engine: Engine, celery: Celery, hostnames: Collection[str], limit: int) -> None:
    """Ask workers to send events of their tasks, and note which cannot: one that was started without any."""
    for hostname, answers in ask(celery, "enable_events", hostnames, limit).items():
        deaf = any(isinstance(answer, dict) and "error" in answer for _, answer in answers)
        with engine.connect() as connection:
            mine = workers.c.online & (workers.c.hostname == hostname)
            keys = [tuple(row) for row in connection.execute(select(workers.c.hostname, workers.c.pid).where(mine))]
        for key in keys if answers else ():
            _note(engine, key, {"notice": DEAF if deaf else None})


def note_refused(engine: Engine, heard: Mapping[str, str]) -> None:
    """Note of each worker that what it says is refused; ``heard`` are the content types of events by its hostname."""
    said = {**refused, **heard}
    if not said:
        return
    with engine.connect() as connection:
        mine = workers.c.online & workers.c.hostname.in_(said)
        keys = [tuple(row) for row in connection.execute(select(workers.c.hostname, workers.c.pid).where(mine))]
    for key in keys:
        _note(engine, key, {"notice": notice_of(said[key[0]], key[0] in heard)})


def queue_names(queues: Iterable[Any]) -> str:
    """Return JSON of the names of queues, as a worker told of them; what is broadcast is read from none."""
    named = [queue for queue in queues if isinstance(queue, dict) and not _is_broadcast(queue)]
    names = [str(queue.get("name"))[:NAME_MAX] for queue in named]
    return json.dumps(names[:QUEUES_MAX])


def _is_broadcast(queue: dict[str, Any]) -> bool:
    exchange = queue.get("exchange")
    return isinstance(exchange, dict) and exchange.get("type") == "fanout"


def _note(engine: Engine, key: Key, values: dict[str, Any]) -> None:
    """Note what a worker says of itself, where it is new."""
    mine = (workers.c.hostname == key[0]) & (workers.c.pid == key[1])
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


def _replace(connection: Connection, key: Key, told: dict[str, str | None]) -> None:
    hostname, pid = key
    mine = (worker_tasks.c.hostname == hostname) & (worker_tasks.c.pid == pid)
    connection.execute(delete(worker_tasks).where(mine))
    of_process = {"hostname": hostname, "pid": pid}
    rows = [{**of_process, "name": name, "schema_hash": _hash(schema)} for name, schema in told.items()]
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
        same = (workers.c.hostname == worker_tasks.c.hostname) & (workers.c.pid == worker_tasks.c.pid)
        connection.execute(delete(worker_tasks).where(~select(workers.c.pid).where(same).exists()))
        used = select(worker_tasks.c.schema_hash).where(worker_tasks.c.schema_hash.is_not(None))
        connection.execute(delete(task_schemas).where(task_schemas.c.hash.not_in(used)))
