"""Merges batches of facts into the table: read what is known, merge, write what changed, in one transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final, cast

from sqlalchemy import Engine, Row, bindparam, insert, select, update

from webapp.merge import Facts, merge
from webapp.queries import bump, runs

_PLAIN: Final = (
    "name queue origin root_id parent_id eta expires retries created_at sent_at received_at started_at runtime".split()
)
_KEYED: Final = (
    "state rank state_at clock outcome_rank outcome_exact outcome_at result exception traceback arguments_rank "
    "args kwargs worker worker_at progress_at progress_current progress_total steps".split()
)
_COLUMNS: Final = [*_PLAIN, *_KEYED]
_SELECT: Final = select(runs.c.id, runs.c.task_id, runs.c.publish_state, *(runs.c[name] for name in _COLUMNS))
_UPDATE: Final = (
    update(runs)
    .where(runs.c.id == bindparam("row_id"))
    .values({name: bindparam(f"new_{name}") for name in [*_COLUMNS, "changed"]})
)


def write(engine: Engine, batch: Mapping[str, Facts]) -> int:
    """Merge facts by task id into the table and return how many rows changed.

    Taking the writers' turn first (``bump``) makes reading and writing one step, so two recorders are safe. When
    nothing changed, nothing is written and the version stays.
    """
    if not batch:
        return 0
    with engine.connect() as connection, connection.begin() as transaction:
        version = bump(connection)
        known = {row.task_id: row for row in connection.execute(_SELECT.where(runs.c.task_id.in_(batch)))}
        inserts, updates = _plan(batch, known, version)
        if not inserts and not updates:
            transaction.rollback()
            return 0
        if inserts:
            connection.execute(insert(runs), inserts)
        if updates:
            connection.execute(_UPDATE, updates)
        return len(inserts) + len(updates)


def _plan(
    batch: Mapping[str, Facts], known: Mapping[str, Row[Any]], version: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    inserts, updates = [], []
    for task_id, facts in batch.items():
        row = known.get(task_id)
        if row is None:
            inserts.append({"task_id": task_id, "changed": version, "publish_attempts": 0} | row_of(facts))
            continue
        before = facts_of_row(row)
        after = merge(before, facts)
        if row.publish_state:
            # When a run was accepted here is known for certain; a worker's clock may be behind.
            after["created_at"] = row.created_at
        if after != before:
            new = {f"new_{name}": value for name, value in row_of(after).items()}
            updates.append({"row_id": row.id, "new_changed": version} | new)
    return inserts, updates


def record_each(
    engine: Engine, batch: Mapping[str, Facts], connection_errors: tuple[type[Exception], ...]
) -> list[str]:
    """Write a batch; one that the database refuses is halved until only the bad rows are left out.

    Returns the task ids left out. Errors in ``connection_errors`` are raised: they say nothing about a row.
    """
    try:
        write(engine, batch)
        return []
    except connection_errors:
        raise
    # What a database refuses shows as anything from DataError to UnicodeEncodeError.
    except Exception:  # noqa: BLE001
        if len(batch) == 1:
            return list(batch)
        items = list(batch.items())
        half = len(items) // 2
        return record_each(engine, dict(items[:half]), connection_errors) + record_each(
            engine, dict(items[half:]), connection_errors
        )


def facts_of_row(row: Row[Any]) -> Facts:
    """Return the facts that a row keeps; the inverse of ``row_of``."""
    values = row._mapping
    facts: dict[str, Any] = {name: values[name] for name in _PLAIN if values[name] is not None}
    facts["key"] = (row.rank, row.state_at, row.clock, row.state)
    if row.outcome_rank is not None:
        texts = (row.result or "", row.exception or "", row.traceback or "")
        facts["outcome"] = (row.outcome_rank, row.outcome_exact, row.outcome_at, *texts)
    if row.args is not None:
        facts["arguments"] = (row.arguments_rank, row.args, row.kwargs or "")
    if row.worker_at is not None:
        facts["worker"] = (row.worker_at, row.worker or "")
    if row.progress_at is not None:
        facts["progress"] = (row.progress_at, row.progress_current, row.progress_total)
    if row.steps:
        facts["steps"] = frozenset((at, what, note) for at, what, note in json.loads(row.steps))
    elif row.started_at is not None:
        facts["steps"] = frozenset({(row.started_at, "started", row.worker or "")})
    return cast("Facts", facts)


def row_of(facts: Facts) -> dict[str, Any]:
    """Return the columns that keep these facts, every one of them."""
    values: dict[str, Any] = {name: facts.get(name) for name in _PLAIN}
    values["name"] = values["name"] or ""
    values["created_at"] = facts.get("created_at", time.time())
    values["rank"], values["state_at"], values["clock"], values["state"] = facts["key"]
    outcome = facts.get("outcome", (None, 0, None, None, None, None))
    for name, value in zip("outcome_rank outcome_exact outcome_at".split(), outcome, strict=False):
        values[name] = value
    for name, value in zip(("result", "exception", "traceback"), outcome[3:], strict=True):
        values[name] = value or None
    values["arguments_rank"], values["args"], values["kwargs"] = facts.get("arguments", (0, None, None))
    values["worker_at"], values["worker"] = facts.get("worker", (None, None))
    progress = facts.get("progress", (None, None, None))
    values["progress_at"], values["progress_current"], values["progress_total"] = progress
    values["steps"] = _steps(facts)
    return values


def _steps(facts: Facts) -> str | None:
    """Return the JSON of the steps, or None when the row's other columns say the same already."""
    steps = facts.get("steps", frozenset())
    if steps == {(facts.get("started_at"), "started", facts.get("worker", (0, ""))[1])} or not steps:
        return None
    return json.dumps(sorted(steps))
