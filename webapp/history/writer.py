"""Merges batches of facts into the table: read what is known, merge, write what changed, in one transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, Row, func, select, update
from sqlalchemy.exc import IntegrityError

from webapp.history import index, sql
from webapp.history.facets import FacetRecorder
from webapp.history.models import Cancel
from webapp.history.queries import bump, runs
from webapp.history.sql import PLAIN
from webapp.runs import durations
from webapp.runs.executions import is_new, is_of_another
from webapp.runs.ids import new_id
from webapp.runs.merge import Facts, merge_into
from webapp.runs.states import phase, rank_in_row
from webapp.text import NAME_MAX

cancels = Cancel.__table__

TRIES: Final = 5
"""Times that a batch is written with other ids, when somebody else's run was made in the same microsecond."""

_known: WeakKeyDictionary[Engine, FacetRecorder] = WeakKeyDictionary()


def write(engine: Engine, batch: Mapping[str, Facts], stored: Mapping[str, Facts] | None = None) -> int:
    """Merge facts by task id into the table and return how many rows changed.

    ``stored`` is what the result backend says besides, kept apart since it may be of an earlier execution.

    Taking the writers' turn first (``bump``) makes reading and writing one step, so two recorders are safe. When
    nothing changed, nothing is written and the version stays.
    """
    if not batch and not stored:
        return 0
    for crowd in range(TRIES):
        try:
            return _write(engine, batch, stored or {}, crowd)
        except IntegrityError:
            if crowd == TRIES - 1:
                raise
    raise AssertionError("the loop above returns or raises")


def _write(engine: Engine, batch: Mapping[str, Facts], stored: Mapping[str, Facts], crowd: int) -> int:
    # What has been noted is forgotten with a transaction that fails.
    noted = _known.pop(engine, None) or FacetRecorder()
    with engine.connect() as connection, connection.begin() as transaction:
        plan = _Plan(bump(connection), noted, crowd)
        task_ids = {**batch, **stored}
        known = sql.known(connection, task_ids)
        for task_id in task_ids:
            said = [part[task_id] for part in (batch, stored) if task_id in part]
            plan.add(task_id, said, known.get(task_id))
        if not plan.inserts and not plan.updates:
            transaction.rollback()
        else:
            plan.carry_out(connection)
    _known[engine] = noted
    return len(plan.inserts) + len(plan.updates)


class _Plan:
    """What one batch changes: rows to add, rows to change, and their words in the search index."""

    def __init__(self, version: int, known: FacetRecorder, crowd: int) -> None:
        self.version = version
        self.known = known
        self.crowd = crowd
        self.inserts: list[dict[str, Any]] = []
        self.updates: list[tuple[Row[Any], dict[str, Any]]] = []
        self.renewed: list[tuple[Row[Any], dict[str, Any]]] = []
        self.ids: set[int] = set()
        self.old_words: list[tuple[int, index.Tokens]] = []
        self.new_words: list[tuple[int, index.Tokens]] = []

    def add(self, task_id: str, said: Sequence[Facts], row: Row[Any] | None) -> None:
        """Plan for what was heard of one run, and what is stored of it."""
        before = facts_of_row(row) if row is not None else Facts()
        renewed = row is not None and not row.publish_state and is_new(before, said[0])
        renewed_after = None
        if row is not None:
            renewed_after = row.state_at if renewed else row.renewed_after
        known = before if row is not None and not renewed else Facts()
        after = known.copy()
        for facts in said:
            if not is_of_another(after, facts, renewed_after):
                merge_into(after, facts)
        after.pop("begun_at", None)
        if "key" not in after:
            return
        if row is None or renewed:
            values = row_of(after)
            values["id"] = new_id(values["created_at"], self.ids, self.crowd)
            self.ids.add(values["id"])
            values.update(task_id=task_id, changed=self.version, publish_attempts=0)
            self.inserts.append(values)
            if row is not None:
                self.renewed.append((row, values))
            if values["phase"]:
                self.new_words.append((values["id"], index.tokens_of({**values, "publish_state": None})))
            return
        if row.publish_state:
            # When a run was accepted here is known for certain; a worker's clock may be behind.
            after["created_at"] = row.created_at
        if after == before:
            return
        values = row_of(after)
        values["changed"] = self.version
        self.updates.append((row, values))
        if row.phase or values["phase"]:
            old, new = index.tokens_of(row._mapping), index.tokens_of({**values, "publish_state": row.publish_state})
            if old != new:
                self.old_words.append((row.id, old))
                self.new_words.append((row.id, new))

    def carry_out(self, connection: Connection) -> None:
        """Write it all."""
        for row, _ in self.renewed:
            _put_aside(connection, row, self.version)
        if self.inserts:
            sql.add(connection, self.inserts)
        if self.updates:
            sql.change(connection, self.updates)
        for row, values in self.renewed:
            mine = runs.c.id == values["id"]
            connection.execute(update(runs).where(mine).values(renewed_after=row.state_at))
        index.update_index(connection, self.old_words, self.new_words)
        written = [*self.inserts, *(values for _, values in self.updates)]
        seen = {(values["state"], values["name"], values["worker"], values["queue"]) for values in written}
        self.known.note(connection, seen, time.time())


def _put_aside(connection: Connection, row: Row[Any], version: int) -> None:
    """Give an execution that has ended a name of its own, with its cancel, since its task id is used anew."""
    mine = runs.c.earlier_of == row.task_id
    number = 1 + int(connection.execute(select(func.count()).where(mine)).scalar_one())
    name = f"{row.task_id[: NAME_MAX - 30]} (execution {number})"
    values = {"task_id": name, "earlier_of": row.task_id, "changed": version}
    connection.execute(update(runs).where(runs.c.id == row.id).values(**values))
    connection.execute(update(cancels).where(cancels.c.task_id == row.task_id).values(task_id=name))


def record_each(
    engine: Engine,
    batch: Mapping[str, Facts],
    connection_errors: tuple[type[Exception], ...],
    stored: Mapping[str, Facts] | None = None,
) -> list[tuple[str, Exception]]:
    """Write a batch; one that the database refuses is halved until only the bad rows are left out.

    Returns the task ids left out and why. Errors in ``connection_errors`` are raised: they say nothing about a row.
    """
    stored = stored or {}
    try:
        write(engine, batch, stored)
        return []
    except connection_errors:
        raise
    # What a database refuses shows as anything from DataError to UnicodeEncodeError.
    except Exception as fault:  # noqa: BLE001
        task_ids = list({**batch, **stored})
        if len(task_ids) == 1:
            return [(task_id, fault) for task_id in task_ids]
        half = len(task_ids) // 2
        refused = []
        for part in (task_ids[:half], task_ids[half:]):
            of_part = ({i: said[i] for i in part if i in said} for said in (batch, stored))
            refused += record_each(engine, next(of_part), connection_errors, next(of_part))
        return refused


def facts_of_row(row: Row[Any]) -> Facts:
    """Return the facts that a row keeps; the inverse of ``row_of``."""
    facts: dict[str, Any] = {name: value for name in PLAIN if (value := getattr(row, name)) is not None}
    state_rank = rank_in_row(row.state, row.phase, bool(row.outcome_exact))
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
    state_rank, state_at, clock, state = facts["key"]
    values["state"], values["state_at"], values["clock"] = state, state_at, clock
    run_phase = values["phase"] = phase(state, state_rank)
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
    values["run_order"] = durations.run_order(run_phase, state_at, started_at, values["runtime"])
    values["wait_order"] = durations.wait_order(run_phase, sent_at, created_at, started_at)
    return values


def _steps(facts: Facts) -> str | None:
    """Return the JSON of the steps, or None when the row's other columns say the same already."""
    steps = facts.get("steps", frozenset())
    if steps == {(facts.get("started_at"), "started", facts.get("worker", (0, ""))[1])} or not steps:
        return None
    return json.dumps(sorted(steps))
