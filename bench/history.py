"""Makes a database with a long history, by the recorder's own code, and multiplies it inside SQLite."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, delete, event, insert, update

from tests.support import BIN, ROOT
from webapp.extensions import SQLITE_PRAGMAS
from webapp.history import index
from webapp.history.facets import FacetRecorder
from webapp.history.queries import changes, recorders, runs, workers
from webapp.history.writer import row_of
from webapp.recorder.event_facts import facts_of
from webapp.recorder.result_facts import facts_of_stored
from webapp.runs.ids import BITS, new_id
from webapp.runs.merge import Facts, merge

TASKS = ("webapp.tasks.divide", "webapp.tasks.divide_many", "shop.orders.pay", "shop.mail.send", "shop.reports.build")
SHARES = (70, 5, 12, 10, 3)
WORKERS = tuple(f"celery@worker-{letter}" for letter in "abcd")
QUEUES = ("celery", "mail", "reports")
BATCH = 2000
SECONDS_APART = 0.4
LOT = 1_000_000
LIVE = 300
"""How many of the newest runs have not ended."""


def make(path: Path, count: int) -> None:
    """Make an SQLite file with ``count`` runs up to now, of which 50 times as many are divisions as reports."""
    environ = {"INSTANCE_PATH": str(path.parent), "DATABASE_URL": f"sqlite:///{path}"}
    subprocess.run(
        [BIN / "flask", "--app", "app", "db", "upgrade"], cwd=ROOT, env=environ, check=True, capture_output=True
    )
    engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", lambda connection, _: [connection.execute(pragma) for pragma in SQLITE_PRAGMAS])
    fill(engine, min(count, LOT))
    engine.dispose()
    if count > LOT:
        multiply(path, count // LOT)


def fill(engine: Engine, count: int) -> None:
    """Write ``count`` runs, the newest of now."""
    chance = random.Random(1)
    known, begin = FacetRecorder(), time.time() - count * SECONDS_APART
    for start in range(0, count, BATCH):
        rows = []
        for number in range(start, min(start + BATCH, count)):
            at = begin + number * SECONDS_APART
            facts = ended(chance, at) if number < count - LIVE else waiting(chance, at)
            rows.append(row_of(facts) | {"task_id": str(uuid.UUID(int=chance.getrandbits(128), version=4))})
        taken: set[int] = set()
        for row in rows:
            row |= {"id": new_id(row["created_at"], taken), "changed": 1, "publish_attempts": 0, "publish_state": None}
            taken.add(row["id"])
        with engine.begin() as connection:
            connection.execute(insert(runs), rows)
            index.update_index(connection, [], [(row["id"], index.tokens_of(row)) for row in rows])
            seen = {(row["state"], row["name"], row["worker"], row["queue"]) for row in rows}
            known.note(connection, seen, time.time())
    with engine.begin() as connection:
        connection.execute(delete(recorders))
        connection.execute(insert(recorders).values(name="bench", beat_at=time.time() + 36000, broker_ok=True))
        connection.execute(delete(workers))
        connection.execute(insert(workers).values(hostname=WORKERS[0], seen_at=time.time(), online=True, durable=True))
        connection.execute(update(changes).values(version=2))


def happened(chance: random.Random, at: float) -> Iterator[dict[str, Any]]:
    """Yield the events of a run, as workers send them."""
    task = chance.choices(TASKS, SHARES)[0]
    worker = chance.choice(WORKERS)
    x, y = chance.randint(1, 5000), chance.randint(0, 20)
    sender = {"hostname": "gen1@web", "timestamp": at, "name": task, "args": f"[{x}.0, {y}.0]", "kwargs": "{}"}
    queue = QUEUES[TASKS.index(task) % 3]
    yield {"type": "task-sent", "queue": queue, "retries": int(chance.random() < 0.02), **sender}
    waited = chance.expovariate(2)
    yield {"type": "task-received", **sender, "hostname": worker, "timestamp": at + 0.003}
    started = {"hostname": worker, "timestamp": at + waited}
    yield {"type": "task-started", **started}
    took = chance.expovariate(0.3)
    end = {"hostname": worker, "timestamp": at + waited + took}
    if chance.random() < 0.005:
        yield {"type": "task-revoked", **end, "expired": True}
    elif y == 0 or chance.random() < 0.03:
        yield {
            "type": "task-failed",
            **end,
            "exception": "ZeroDivisionError('division by zero')",
            "traceback": TRACEBACK,
        }
    else:
        yield {"type": "task-succeeded", **end, "result": f"{x / y:.6g}", "runtime": took}


TRACEBACK = "Traceback (most recent call last):\n" + '  File "tasks.py", line 18, in divide\n    return x / y\n' * 4


def ended(chance: random.Random, at: float) -> Facts:
    """Return what is known of a run that has ended."""
    return joined(list(happened(chance, at)))


def waiting(chance: random.Random, at: float) -> Facts:
    """Return what is known of a run that has not ended."""
    return joined(list(happened(chance, at))[: chance.randint(1, 3)])


def joined(events: list[dict[str, Any]]) -> Facts:
    """Return what events say together, with the exact arguments and result that the backend adds."""
    known: Facts | None = None
    for one in events:
        facts = facts_of(one, one["timestamp"], 65536)
        if facts:
            known = merge(known, facts) if known else facts
    if known is None:
        raise AssertionError("the events say nothing")
    last = events[-1]
    if last["type"] == "task-succeeded":
        arguments = f'"name": "{events[0]["name"]}", "args": {events[0]["args"]}, "kwargs": {{}}'
        stored = facts_of_stored(
            f'{{"status": "SUCCESS", "result": {last["result"]}, {arguments}}}', last["timestamp"], 65536
        )
        known = merge(known, stored) if stored else known
    return known


SETTLED = "FROM vase_task_runs WHERE phase > 0"
HASTY_PRAGMAS = ("PRAGMA synchronous=OFF", "PRAGMA cache_size=-1000000", "PRAGMA temp_store=FILE")
TIMES = "state_at created_at sent_at received_at started_at outcome_at worker_at".split()


def multiply(path: Path, times: int) -> None:
    """Make of a million runs ``times`` as many: the same ones again and again, each lot a lot's length earlier."""
    names = [column.name for column in runs.c]
    with sqlite3.connect(path) as database:
        for pragma in (*SQLITE_PRAGMAS, *HASTY_PRAGMAS):
            database.execute(pragma)
        rows = database.execute(f"SELECT {', '.join(column.name for column in index.COLUMNS)} {SETTLED}")
        labels = [item[0] for item in rows.description]
        database.execute("CREATE TEMP TABLE first_words (id INTEGER PRIMARY KEY, words TEXT)")
        words = ((row[0], " ".join(index.tokens_of(dict(zip(labels, row, strict=True))))) for row in rows)
        database.executemany("INSERT INTO first_words VALUES (?, ?)", words)
        oldest = database.execute("SELECT min(id) FROM vase_task_runs").fetchone()[0]
        for part in range(1, times):
            seconds = part * LOT * SECONDS_APART
            shift = int(seconds * 1e6) << BITS
            moved = {"id": f"id - {shift}", "task_id": "lower(hex(randomblob(18)))"}
            moved |= {name: f"{name} - {seconds}" for name in TIMES}
            copies = ", ".join(moved.get(name, name) for name in names)
            database.execute(
                f"INSERT INTO vase_task_runs ({', '.join(names)}) "
                f"SELECT {copies} {SETTLED} AND id >= {oldest} ORDER BY id"
            )
            database.execute(
                f"INSERT INTO vase_run_words(rowid, words) SELECT id - {shift}, words FROM first_words ORDER BY id"
            )
            database.commit()
    database.close()


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
