"""A Vase whose recorder is the test: a real web server and database, and rows that the test writes itself."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, delete, event, insert, select, update

from tests.support import Stack
from webapp.history import index
from webapp.history.facets import FacetRecorder
from webapp.history.queries import bump, cancels, recorders, runs, workers
from webapp.runs.ids import new_id
from webapp.runs.merge import STORED
from webapp.runs.states import phase

FAR = 10**9
"""Seconds; a heartbeat that far ahead is never stale."""


class Ledger(Stack):
    """Only ``web`` runs. Every state can be shown, and nothing changes unless the test changes it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, **settings)
        self.engine = create_engine(f"sqlite:///{folder}/instance/vase.sqlite3", connect_args={"timeout": 10})
        # Nothing here has to survive a power cut, and waiting for the disk is most of a commit's time.
        event.listen(self.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))

    @contextlib.contextmanager
    def change(self) -> Iterator[tuple[Connection, int]]:
        """Give a transaction and the version that it makes."""
        with self.engine.begin() as connection:
            yield connection, bump(connection)

    def clear(self) -> None:
        """Empty all tables, and let recorder, broker and two workers seem well."""
        with self.change() as (connection, _):
            connection.execute(delete(runs))
            connection.execute(delete(cancels))
            connection.exec_driver_sql("DELETE FROM vase_known_values")
            connection.exec_driver_sql("INSERT INTO vase_run_words(vase_run_words) VALUES ('delete-all')")
        self.signs()

    def signs(self, *, recorder: bool = True, broker_error: str | None = None, online: int = 2) -> None:
        """Let the parts seem well or not."""
        now = time.time()
        with self.change() as (connection, _):
            connection.execute(delete(recorders))
            connection.execute(delete(workers))
            beat = {"beat_at": now + FAR if recorder else now - 60, "broker_ok": broker_error is None}
            connection.execute(insert(recorders).values(name="1@here", broker_error=broker_error, **beat))
            for number in range(online):
                hostname = f"celery@{'ab'[number % 2]}-north"
                connection.execute(insert(workers).values(hostname=hostname, seen_at=now, online=True))

    def put(self, *many: dict[str, Any], **one: Any) -> str:
        """Add runs and return the task id of the last; what is not said is a divide(1, 2) of now."""
        with self.change() as (connection, version):
            for values in many or (one,):
                row = row_of(**values)
                connection.execute(insert(runs).values(changed=version, **row))
                index_run(connection, [], row["task_id"])
        return str(row["task_id"])

    def cancelled(self, task_id: str, reason: str) -> None:
        """Let a cancel of a run have been asked for and heard."""
        now = time.time()
        asked = {"requested_at": now, "due_at": now, "terminate": False, "reason": reason, "acknowledged_at": now}
        with self.change() as (connection, _):
            connection.execute(insert(cancels).values(task_id=task_id, acknowledged_by="celery@a-north", **asked))

    def alter(self, task_id: str, **values: Any) -> None:
        """Change a run, as the recorder does when it has heard of it."""
        if "state" in values:
            values = {"phase": phase(values["state"]), "state_at": time.time()} | values
        with self.change() as (connection, version):
            before = connection.execute(select(*index.COLUMNS).where(runs.c.task_id == task_id)).one()
            connection.execute(update(runs).where(runs.c.task_id == task_id).values(changed=version, **values))
            index_run(connection, [(before.id, index.tokens_of(before._mapping))], task_id)


def index_run(connection: Connection, old: list[tuple[int, list[str]]], task_id: str) -> None:
    """Note what a run can be found by, as the recorder does."""
    row = connection.execute(select(*index.COLUMNS).where(runs.c.task_id == task_id)).one()
    index.update_index(connection, old, [(row.id, index.tokens_of(row._mapping))])
    FacetRecorder().note(connection, {(row.state, row.name, row.worker, row.queue)}, time.time())


def row_of(age: float = 0.0, args: object = (1, 2), kwargs: object = None, **values: Any) -> dict[str, Any]:
    """Return the columns of a run that was sent ``age`` seconds ago; ``args`` and ``kwargs`` are plain values."""
    created_at = time.time() - age
    state = values.get("state", "PENDING")
    return {
        "task_id": str(uuid.uuid4()),
        "name": "webapp.tasks.divide",
        "state": "PENDING",
        "phase": phase(state),
        "id": new_id(created_at),
        "state_at": created_at,
        "clock": 0,
        "created_at": created_at,
        "sent_at": created_at,
        "args": json.dumps(args),
        "kwargs": json.dumps(kwargs or {}),
        "arguments_rank": STORED,
        "publish_state": "sent",
        "publish_attempts": 1,
        "outcome_exact": 1,
    } | values


def succeeded(age: float = 60.0, result: object = 0.5, runtime: float = 5.0, **values: Any) -> dict[str, Any]:
    """Return a run that ended well."""
    return _ended(age, runtime, {"state": "SUCCESS", "result": json.dumps(result)} | values)


def failed(age: float = 60.0, runtime: float = 5.0, **values: Any) -> dict[str, Any]:
    """Return a run that ended badly."""
    told = {
        "state": "FAILURE",
        "args": [1, 0],
        "exception": "ZeroDivisionError('division by zero')",
        "traceback": TRACEBACK,
    }
    return _ended(age, runtime, told | values)


def _ended(age: float, runtime: float, values: dict[str, Any]) -> dict[str, Any]:
    started_at = time.time() - age + 0.012
    went = {"received_at": started_at - 0.004, "started_at": started_at, "state_at": started_at + runtime}
    return {"age": age, "runtime": runtime, "worker": "celery@a-north", "queue": "celery"} | went | values


TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/.venv/lib/python3.11/site-packages/celery/app/trace.py", line 585, in trace_task
    R = retval = fun(*args, **kwargs)
                 ^^^^^^^^^^^^^^^^^^^^
  File "/srv/shop/webapp/tasks.py", line 18, in divide
    return x / y
           ~~^~~
ZeroDivisionError: division by zero
"""
