"""Looks after live runs: their progress, and ends whose event was missed, both from the result backend."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Final

from celery import Celery
from sqlalchemy import Engine, Row, or_, select

from webapp.history.queries import runs
from webapp.history.writer import write
from webapp.recorder.result_facts import read_results
from webapp.runs.merge import Facts
from webapp.runs.states import LIVE, READY_RANK, UNREADY

BATCH: Final = 500
"""Most runs looked at in one turn; with more live runs than that, they take turns."""

_COLUMNS: Final = [
    runs.c[name] for name in "id task_id state state_at received_at started_at progress_current progress_total".split()
]


@dataclass(slots=True)
class LiveRunWatcher:
    """A walk in circles over the live runs; ``position`` is the id of the last one seen."""

    running_only: bool
    position: int = 0

    def look(self, engine: Engine, celery: Celery, value_max: int) -> bool:
        """Read the next live runs' stored state and write what is new; say whether there are any."""
        rows = self._next(engine)
        if not rows:
            return False
        now = time.time()
        by_id = {row.task_id: row for row in rows}
        found = read_results(celery, by_id, now, value_max)
        news = {task_id: dated for task_id, facts in found if (dated := _news(by_id[task_id], facts, now))}
        write(engine, news)
        return True

    def _next(self, engine: Engine) -> list[Row[Any]]:
        sent = or_(runs.c.publish_state.is_(None), runs.c.publish_state == "sent")
        live = select(*_COLUMNS).where(runs.c.phase == LIVE, sent).order_by(runs.c.id).limit(BATCH)
        if self.running_only:
            live = live.where(runs.c.state.not_in(("PENDING", "RECEIVED")))
        with engine.connect() as connection:
            rows = list(connection.execute(live.where(runs.c.id > self.position)))
            if not rows and self.position:
                rows = list(connection.execute(live))
        self.position = rows[-1].id if len(rows) == BATCH else 0
        return rows


def _news(row: Row[Any], facts: Facts, now: float) -> Facts | None:
    """Return the facts dated so that they win, or None when the row says the same already.

    A stored live state carries no date. It is the state of this moment, so it is later than the row's, whatever
    the worker's clock shows.
    """
    state_rank, at, clock, state = facts["key"]
    if state_rank >= READY_RANK:
        return facts
    if state in UNREADY and (row.received_at is not None or row.started_at is not None):
        # Its worker tells of these in events. Of an attempt that is under way, the one before is all that is stored.
        return None
    _, current, total = facts.get("progress", (0.0, row.progress_current, row.progress_total))
    if (state, current, total) == (row.state, row.progress_current, row.progress_total):
        return None
    at = max(now, math.nextafter(row.state_at, math.inf))
    dated: Facts = {**facts, "key": (state_rank, at, clock, state), "created_at": now}
    if "progress" in facts:
        dated["progress"] = (at, current, total)
    if "worker" in facts:
        dated["worker"] = (at, facts["worker"][1])
    return dated
