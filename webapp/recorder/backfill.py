"""Finds ends that no event told of: walks through all stored results and records those that the table lacks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from celery import Celery
from celery.backends.redis import RedisBackend
from sqlalchemy import Engine, select

from webapp.history.queries import runs
from webapp.history.retention import Rule, rules
from webapp.history.writer import write
from webapp.recorder.result_facts import EXACT, read_results
from webapp.runs.ids import first_id
from webapp.runs.merge import Facts
from webapp.runs.states import LIVE, READY_RANK, phase
from webapp.text import NAME_MAX, clean

COUNT: Final = 500
"""Keys that Redis is asked to look at in one step."""


@dataclass(slots=True)
class Backfill:
    """A walk over the result backend's keys, a step at a time; ``cursor`` is Redis's, None between walks.

    ``days`` and ``runs_max`` are those of retention: what was removed does not come back.
    """

    days: Mapping[str, float] = field(default_factory=dict)
    runs_max: int = 0
    cursor: int | None = 0
    removed: list[Rule] = field(default_factory=list)

    def start(self) -> None:
        """Begin a walk unless one is under way."""
        if self.cursor is None:
            self.cursor = 0

    def step(self, engine: Engine, celery: Celery, value_max: int) -> int:
        """Look at the next keys and return how many rows changed. Only Redis can be walked."""
        backend = celery.backend
        if not isinstance(backend, RedisBackend):
            self.cursor = None
        if self.cursor is None:
            return 0
        if self.cursor == 0:
            with engine.connect() as connection:
                self.removed = list(rules(connection, self.days, self.runs_max, time.time()))
        prefix: bytes = backend.task_keyprefix
        self.cursor, keys = backend.client.scan(self.cursor, match=prefix + b"*", count=COUNT)
        self.cursor = self.cursor or None
        task_ids = {key[len(prefix) :].decode(errors="replace") for key in keys}
        unknown, unread = self._lacking(engine, {i for i in task_ids if 0 < len(i) <= NAME_MAX and clean(i) == i})
        found = read_results(celery, sorted(unknown | unread), time.time(), value_max)
        return write(engine, {i: facts for i, facts in found if self._is_news(facts, i in unknown)})

    def _is_news(self, facts: Facts, unknown: bool) -> bool:
        """Say whether a stored result is to be written.

        A stored live state carries no date, so it is no word against an end, or a doubt, that is recorded.
        """
        if not unknown:
            return facts["key"][0] >= READY_RANK
        made, ended = first_id(facts["created_at"]), phase(facts["key"][3], facts["key"][0])
        rules_of_phase = (rule for rule in self.removed if rule.phase in (None, ended) and ended != LIVE)
        return not any(made < rule.before for rule in rules_of_phase)

    def _lacking(self, engine: Engine, task_ids: set[str]) -> tuple[set[str], set[str]]:
        """Return the runs that are not recorded, and those not recorded whole. Live ones are looked after elsewhere."""
        if not task_ids:
            return set(), set()
        known = select(runs.c.task_id, runs.c.phase, runs.c.outcome_exact).where(runs.c.task_id.in_(task_ids))
        with engine.connect() as connection:
            rows = connection.execute(known).all()
        unread = {row.task_id for row in rows if row.phase != LIVE and row.outcome_exact != EXACT}
        return task_ids - {row.task_id for row in rows}, unread
