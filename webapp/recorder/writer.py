"""Merges batches of facts into the table: read what is known, merge, write what changed, in one transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, Row
from sqlalchemy.exc import IntegrityError

from webapp import index, spans
from webapp.ids import new_id
from webapp.known import Known
from webapp.merge import Facts, merge
from webapp.queries import bump
from webapp.recorder import statements
from webapp.recorder.statements import PLAIN
from webapp.states import phase, rank

TRIES: Final = 5
"""Times that a batch is written with other ids, when somebody else's run was made in the same microsecond."""

_known: WeakKeyDictionary[Engine, Known] = WeakKeyDictionary()


def write(engine: Engine, batch: Mapping[str, Facts]) -> int:
    """Merge facts by task id into the table and return how many rows changed.

    Taking the writers' turn first (``bump``) makes reading and writing one step, so two recorders are safe. When
    nothing changed, nothing is written and the version stays.
    """
    if not batch:
        return 0
    for crowd in range(TRIES):
        try:
            return _write(engine, batch, crowd)
        except IntegrityError:
            if crowd == TRIES - 1:
                raise
    raise AssertionError("the loop above returns or raises")


def _write(engine: Engine, batch: Mapping[str, Facts], crowd: int) -> int:
    # What has been noted is forgotten with a transaction that fails.
    noted = _known.pop(engine, None) or Known()
    with engine.connect() as connection, connection.begin() as transaction:
        plan = _Plan(bump(connection), noted, crowd)
        known = statements.known(connection, batch)
        for task_id, facts in batch.items():
            plan.add(task_id, facts, known.get(task_id))
        if not plan.inserts and not plan.updates:
            transaction.rollback()
        else:
            plan.carry_out(connection)
    _known[engine] = noted
    return len(plan.inserts) + len(plan.updates)


class _Plan:
    """What one batch changes: rows to add, rows to change, and their words in the search index."""

    def __init__(self, version: int, known: Known, crowd: int) -> None:
        self.version = version
        self.known = known
        self.crowd = crowd
        self.inserts: list[dict[str, Any]] = []
        self.updates: list[tuple[Row[Any], dict[str, Any]]] = []
        self.ids: set[int] = set()
        self.old_words: list[tuple[int, index.Words]] = []
        self.new_words: list[tuple[int, index.Words]] = []

    def add(self, task_id: str, facts: Facts, row: Row[Any] | None) -> None:
        """Plan for what was heard of one run."""
        if row is None:
            values = row_of(facts)
            values["id"] = new_id(values["created_at"], self.ids, self.crowd)
            self.ids.add(values["id"])
            values.update(task_id=task_id, changed=self.version, publish_attempts=0)
            self.inserts.append(values)
            if values["phase"]:
                self.new_words.append((values["id"], index.words_of({**values, "publish_state": None})))
            return
        before = facts_of_row(row)
        after = merge(before, facts)
        if row.publish_state:
            # When a run was accepted here is known for certain; a worker's clock may be behind.
            after["created_at"] = row.created_at
        if after == before:
            return
        values = row_of(after)
        values["changed"] = self.version
        self.updates.append((row, values))
        if row.phase or values["phase"]:
            old, new = index.words_of(row._mapping), index.words_of({**values, "publish_state": row.publish_state})
            if old != new:
                self.old_words.append((row.id, old))
                self.new_words.append((row.id, new))

    def carry_out(self, connection: Connection) -> None:
        """Write it all."""
        if self.inserts:
            statements.add(connection, self.inserts)
        if self.updates:
            statements.change(connection, self.updates)
        index.replace(connection, self.old_words, self.new_words)
        written = [*self.inserts, *(values for _, values in self.updates)]
        seen = {(values["state"], values["name"], values["worker"], values["queue"]) for values in written}
        self.known.note(connection, seen, time.time())


def record_each(
    engine: Engine, batch: Mapping[str, Facts], connection_errors: tuple[type[Exception], ...]
) -> list[tuple[str, Exception]]:
    """Write a batch; one that the database refuses is halved until only the bad rows are left out.

    Returns the task ids left out and why. Errors in ``connection_errors`` are raised: they say nothing about a row.
    """
    try:
        write(engine, batch)
        return []
    except connection_errors:
        raise
    # What a database refuses shows as anything from DataError to UnicodeEncodeError.
    except Exception as fault:  # noqa: BLE001
        if len(batch) == 1:
            return [(task_id, fault) for task_id in batch]
        items = list(batch.items())
        half = len(items) // 2
        return record_each(engine, dict(items[:half]), connection_errors) + record_each(
            engine, dict(items[half:]), connection_errors
        )


def facts_of_row(row: Row[Any]) -> Facts:
    """Return the facts that a row keeps; the inverse of ``row_of``."""
    facts: dict[str, Any] = {name: value for name in PLAIN if (value := getattr(row, name)) is not None}
    state_rank = rank(row.state)
    facts["key"] = (state_rank, row.state_at, row.clock, row.state)
    if row.outcome_at is not None:
        texts = (row.result or "", row.exception or "", row.traceback or "")
        facts["outcome"] = (state_rank, row.outcome_exact, row.outcome_at, *texts)
    if row.args is not None:
        facts["arguments"] = (row.arguments_rank, row.args, row.kwargs or "", facts.pop("name"))
    if row.worker_at is not None:
        facts["worker"] = (row.worker_at, row.worker or "")
    if row.progress_at is not None:
        facts["progress"] = (row.progress_at, row.progress_current, row.progress_total)
    if row.doubt_at is not None:
        facts["doubt"] = (row.doubt_at, row.doubt or "")
    if row.steps:
        facts["steps"] = frozenset((at, what, note) for at, what, note in json.loads(row.steps))
    elif row.started_at is not None:
        facts["steps"] = frozenset({(row.started_at, "started", row.worker or "")})
    return cast("Facts", facts)


_BLANK: Final[dict[str, Any]] = dict.fromkeys(PLAIN) | {"name": ""}


def row_of(facts: Facts) -> dict[str, Any]:
    """Return the columns that keep these facts, every one of them."""
    # The facts that are more than a column are written over, or are no column at all and looked up by nobody.
    values: dict[str, Any] = {**_BLANK, **facts}
    created_at = values["created_at"] = facts.get("created_at") or time.time()
    _, state_at, clock, state = facts["key"]
    values["state"], values["state_at"], values["clock"], values["phase"] = state, state_at, clock, phase(state)
    _, exact, values["outcome_at"], *texts = facts.get("outcome", (0, 0, None, None, None, None))
    values["outcome_exact"] = exact
    values["result"], values["exception"], values["traceback"] = (text or None for text in texts)
    call = facts.get("arguments", (0, None, None, values["name"]))
    values["arguments_rank"], values["args"], values["kwargs"], values["name"] = call
    values["worker_at"], values["worker"] = facts.get("worker", (None, None))
    progress = facts.get("progress", (None, None, None))
    values["progress_at"], values["progress_current"], values["progress_total"] = progress
    values["doubt_at"], values["doubt"] = facts.get("doubt", (None, None))
    values["steps"] = _steps(facts)
    started_at, sent_at = values["started_at"], values["sent_at"]
    values["run_order"] = spans.run_order(state, state_at, started_at, values["runtime"])
    values["wait_order"] = spans.wait_order(state, sent_at, created_at, started_at)
    return values


def _steps(facts: Facts) -> str | None:
    """Return the JSON of the steps, or None when the row's other columns say the same already."""
    steps = facts.get("steps", frozenset())
    if steps == {(facts.get("started_at"), "started", facts.get("worker", (0, ""))[1])} or not steps:
        return None
    return json.dumps(sorted(steps))
