"""Finds ends that no event told of: walks through all stored results and records those that the table lacks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from celery import Celery
from celery.backends.redis import RedisBackend
from sqlalchemy import Engine, select

from webapp.queries import runs
from webapp.recorder.results import EXACT, read_results
from webapp.recorder.writer import write
from webapp.states import LIVE
from webapp.text import NAME_MAX, clean

COUNT: Final = 500
"""Keys that Redis is asked to look at in one step."""


@dataclass(slots=True)
class Sweep:
    """A walk over the result backend's keys, a step at a time; ``cursor`` is Redis's, None between walks."""

    cursor: int | None = 0

    def start(self) -> None:
        """Begin a walk unless one is under way."""
        if self.cursor is None:
            self.cursor = 0

    def step(self, engine: Engine, celery: Celery, value_max: int) -> int:
        """Look at the next keys and return how many rows changed. Only Redis can be walked."""
        backend = celery.backend
        if self.cursor is None or not isinstance(backend, RedisBackend):
            return 0
        prefix: bytes = backend.task_keyprefix
        self.cursor, keys = backend.client.scan(self.cursor, match=prefix + b"*", count=COUNT)
        self.cursor = self.cursor or None
        task_ids = {key[len(prefix) :].decode(errors="replace") for key in keys}
        wanted = self._lacking(engine, {i for i in task_ids if 0 < len(i) <= NAME_MAX and clean(i) == i})
        return write(engine, dict(read_results(celery, sorted(wanted), time.time(), value_max)))

    def _lacking(self, engine: Engine, task_ids: set[str]) -> set[str]:
        """Return the runs that are not recorded, or not recorded whole. Live ones are looked after elsewhere."""
        if not task_ids:
            return set()
        known = select(runs.c.task_id, runs.c.phase, runs.c.outcome_exact).where(runs.c.task_id.in_(task_ids))
        with engine.connect() as connection:
            rows = connection.execute(known).all()
        return task_ids - {row.task_id for row in rows if row.phase == LIVE or row.outcome_exact == EXACT}
