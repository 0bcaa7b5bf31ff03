"""A ledger of 50 runs as a working day leaves them: mostly done, some failed, a few on their way."""

from __future__ import annotations

import sqlite3
import time
import uuid
from typing import Any

from sqlalchemy import create_engine, insert, update

from tests.support import Stack
from webapp.history.queries import changes, recorders, runs, workers
from webapp.runs.ids import new_id
from webapp.runs.states import phase

DONE: dict[str, Any] = {"outcome_exact": 1}
ERROR = "ZeroDivisionError('division by zero')"
MIX: tuple[tuple[int, str, str, str, dict[str, Any]], ...] = (
    (1, "PENDING", "divide", "[1.0, 3.0]", {"publish_state": "new", "publish_error": "Connection refused"}),
    (2, "PENDING", "divide", "[1.0, 2.0]", {}),
    (2, "RECEIVED", "divide", "[22.0, 7.0]", {}),
    (3, "STARTED", "divide", "[355.0, 113.0]", {}),
    (1, "PROGRESS", "divide_many", "[[[1, 2], [3, 4], [5, 6]]]", {"progress_current": 1, "progress_total": 3}),
    (2, "RETRY", "unreliable_divide", "[1.0, 2.0]", {"retries": 1, "exception": "ConnectionError('The line dropped')"}),
    (26, "SUCCESS", "divide", "[1.0, 2.0]", DONE | {"result": "0.5"}),
    (4, "SUCCESS", "unreliable_divide", "[1.0, 2.0]", DONE | {"result": '{"quotient": 0.5, "attempts": 2}'}),
    (7, "FAILURE", "divide", "[1.0, 0.0]", DONE | {"exception": ERROR, "traceback": "Traceback …\n" * 20}),
    (2, "REVOKED", "divide", "[1.0, 2.0]", DONE | {"exception": "TaskRevokedError('revoked')"}),
)
BLANK = (
    "sent_at received_at started_at runtime worker retries result exception traceback progress_current "
    "progress_total publish_error"
).split()


def fill(stack: Stack) -> None:
    """Put the runs, a recorder and a worker into the database of a site; the recorder stays fresh for an hour."""
    now = time.time()
    engine = create_engine(f"sqlite:///{stack.folder / 'instance' / 'vase.sqlite3'}")
    kinds = [kind[1:] for kind in MIX for _ in range(kind[0])]
    with engine.begin() as connection:
        connection.execute(insert(runs), [_row(now - 3.7 * age, *kind) for age, kind in enumerate(kinds)])
        connection.execute(insert(recorders).values(name="bench", beat_at=now + 3600, broker_ok=True))
        connection.execute(insert(workers).values(hostname="celery@bench", seen_at=now, online=True))
        connection.execute(update(changes).values(version=1000))
    engine.dispose()


def change_one(stack: Stack) -> None:
    """Change a run as the recorder does, so that what was drawn for the list is drawn anew."""
    with sqlite3.connect(stack.folder / "instance" / "vase.sqlite3", timeout=10) as database:
        database.execute("UPDATE vase_changes SET version = version + 1")
        database.execute(
            "UPDATE vase_task_runs SET runtime = random() % 10 + 10, changed = (SELECT version FROM vase_changes) "
            "WHERE id = (SELECT id FROM vase_task_runs ORDER BY id LIMIT 1 OFFSET 20 + abs(random() % 10))"
        )
    database.close()


def _row(at: float, state: str, task: str, args: str, more: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(BLANK)
    row |= {"task_id": str(uuid.uuid4()), "name": f"webapp.tasks.{task}", "args": args, "kwargs": "{}"}
    row |= {
        "id": new_id(at),
        "state": state,
        "phase": phase(state),
        "state_at": at,
        "created_at": at,
        "changed": 900,
        "clock": 0,
    }
    row |= {"arguments_rank": 2, "publish_state": "sent", "publish_attempts": 1, "outcome_exact": 0, "sent_at": at}
    if state != "PENDING":
        row |= {"received_at": at + 0.003, "worker": "celery@bench"}
        if state not in ("RECEIVED", "REVOKED"):
            row |= {"started_at": at + 0.004}
        if state in ("SUCCESS", "FAILURE"):
            row |= {"runtime": 5.0061}
    return row | more
