"""Names the doubt about live runs of which nothing more can come: LOST or UNCERTAIN, with a sentence that says why.
Gives messages back that a living worker has forgotten.

A run is judged only when everything that could still tell of it has been asked, twice: the result backend, the queues
and what no worker has acknowledged, the worker itself. Whatever is heard of it later takes the doubt back.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from celery import Celery
from sqlalchemy import Engine, Row, or_, select

from webapp import fmt
from webapp.allowed import is_solo
from webapp.broker import rate_limited_tasks, tasks_known_to
from webapp.merge import Facts
from webapp.queries import runs
from webapp.queries import workers as workers_table
from webapp.queues import Waiting, waiting
from webapp.recorder.rescue import give_back
from webapp.recorder.results import read_results
from webapp.recorder.workers import Workers
from webapp.recorder.writer import write
from webapp.states import LIVE, LIVE_RANK

log = logging.getLogger(__name__)

BATCH: Final = 5000
"""Most runs looked at in one turn; with more than that, they take turns."""

SPEECHLESS: Final = 6 * 3600.0
"""Seconds for which a run may go on at a worker that lives and answers no question."""

_COLUMNS: Final = [
    runs.c[name] for name in "id task_id name state state_at queue worker worker_at sent_at created_at eta".split()
]


@dataclass(slots=True)
class Repair:
    """A walk in circles over live runs that nobody has heard of for ``age`` seconds; ``suspected`` holds since when."""

    age: float
    position: int = 0
    suspected: dict[str, float] = field(default_factory=dict)

    @property
    def period(self) -> float:
        """Return the seconds between two looks."""
        return min(self.age / 3, 10.0)

    @property
    def confirm(self) -> float:
        """Return the seconds for which a suspicion must last."""
        return 0.9 * self.period

    def forget(self) -> None:
        """Begin every suspicion anew: the broker was away, so silence says nothing."""
        # Another thread may just be looking.
        self.suspected = {}

    def look(self, engine: Engine, celery: Celery, workers: Workers, value_max: int) -> int:
        """Look at the next runs; settle those whose result is stored, name the doubt about the others.

        Returns how many rows changed.
        """
        now, suspected = time.time(), self.suspected
        rows = self._next(engine, now)
        if not rows:
            return 0
        news: dict[str, Facts] = dict(read_results(celery, (row.task_id for row in rows), now, value_max))
        news = {task_id: facts for task_id, facts in news.items() if facts["key"][0] > LIVE_RANK}
        silent = [row for row in rows if row.task_id not in news]
        places = waiting(celery, {row.queue or celery.conf.task_default_queue for row in silent})
        absent = [row for row in silent if row.task_id not in places.task_ids]
        taken = [row for row in silent if row.task_id in places.unacked]
        # Of what waits unseen in a long queue no worker knows, and its absence says nothing.
        asked = absent if places.complete else [row for row in absent if row.state != "PENDING"]
        busy = tasks_known_to(celery, _asked([*asked, *taken], workers))
        solo = _solo(engine, {row.worker for row in absent})
        verdicts = {row.task_id: verdict for row in absent if (verdict := _verdict(row, workers, places, busy, solo))}
        verdicts.update({row.task_id: _taken_unheard(row) for row in taken if not row.worker and _unknown(row, busy)})
        forgotten = _forgotten(celery, taken, busy)
        for row in rows:
            if row.task_id not in verdicts and row.task_id not in forgotten:
                suspected.pop(row.task_id, None)
        sure = {i for i in (*verdicts, *forgotten) if now - suspected.setdefault(i, now) >= self.confirm}
        doubted = [row for row in silent if row.task_id in verdicts and row.task_id in sure]
        news.update({row.task_id: _doubt(row, *verdicts[row.task_id], now) for row in doubted})
        if sure & forgotten:
            give_back(celery, [places.unacked[task_id] for task_id in sure & forgotten])
            log.warning("Workers lost %d messages with their connection; they went back.", len(sure & forgotten))
        for task_id in sure:
            del suspected[task_id]
        return write(engine, news)

    def _next(self, engine: Engine, now: float) -> list[Row[Any]]:
        sent = or_(runs.c.publish_state.is_(None), runs.c.publish_state == "sent")
        # A time in the future is that of a clock that is ahead; when the run was first heard of is by our own.
        quiet = or_(runs.c.state_at < now - self.age, runs.c.state_at > now) & (runs.c.created_at < now - self.age)
        old = select(*_COLUMNS).where(runs.c.phase == LIVE, sent, quiet).order_by(runs.c.id).limit(BATCH)
        with engine.connect() as connection:
            rows = list(connection.execute(old.where(runs.c.id > self.position)))
            if not rows and self.position:
                rows = list(connection.execute(old))
        self.position = rows[-1].id if len(rows) == BATCH else 0
        return rows


def _asked(rows: Iterable[Row[Any]], workers: Workers) -> dict[str, list[str]]:
    """Return by worker the runs that it has had and may still have; one without a heartbeat may live unheard."""
    asked: dict[str, list[str]] = {}
    online = workers.online()
    for row in rows:
        # Whoever has a run that nobody was heard to receive, it is one of them.
        for hostname in (row.worker,) if row.worker else online:
            asked.setdefault(hostname, []).append(row.task_id)
    return asked


def _solo(engine: Engine, hostnames: Iterable[str | None]) -> set[str]:
    """Return those of these workers that say nothing while they run a task."""
    names = {name for name in hostnames if name}
    if not names:
        return set()
    with engine.connect() as connection:
        pools = connection.execute(select(workers_table.c.hostname, workers_table.c.pool))
        return {row.hostname for row in pools if row.hostname in names and is_solo(row.pool)}


def _verdict(
    row: Row[Any], workers: Workers, places: Waiting, busy: dict[str, set[str] | None], solo: Collection[str]
) -> tuple[str, str] | None:
    """Return the state and the sentence for a run that is in no queue and has no result, None while it may go on."""
    queue = row.queue or "the default queue"
    if row.state == "PENDING":
        if not places.complete or any(row.task_id in (known or ()) for known in busy.values()):
            return None
        sent = fmt.exact_time(row.sent_at or row.created_at)
        return "UNCERTAIN", (
            f"It was sent at {sent}, but it is not in {queue}, no worker was heard to receive it, and no result is "
            "stored."
        )
    known = busy.get(row.worker)
    if known is not None and row.task_id in known:
        return None
    if row.worker in solo and known is None:
        return "UNCERTAIN", (
            f"Its worker {row.worker} runs one task at a time and says nothing meanwhile, or it is gone: nothing was "
            "heard of it, and no result is stored."
        )
    unheard = known is not None and row.worker not in workers.online()
    if not row.worker or not (unheard or workers.lives_since(row.worker, row.worker_at)):
        return "LOST", (
            f"Its worker {row.worker or '(unknown)'} is gone; the message is not in {queue} any more, and no result is "
            "stored. It may have run in part."
        )
    if known is None and time.time() - row.state_at < SPEECHLESS:
        return None
    if known is None:
        return "UNCERTAIN", (
            f"Its worker {row.worker} lives and does not say whether it still has it; nothing was heard of it for "
            "long, and no result is stored."
        )
    return "UNCERTAIN", (
        f"Its worker {row.worker} runs but no longer has it, and no result is stored: how it ended is not known."
    )


def _unknown(row: Row[Any], busy: dict[str, set[str] | None]) -> bool:
    """Say whether all workers that were asked have answered that they do not have a run."""
    return all(known is not None and row.task_id not in known for known in busy.values())


def _taken_unheard(row: Row[Any]) -> tuple[str, str]:
    queue = row.queue or "the default queue"
    return "UNCERTAIN", (
        f"Its message was taken from {queue}, but no worker was heard to receive it and none has it now. Redis gives "
        "it back after its visibility timeout, an hour by default; then it runs."
    )


def _forgotten(celery: Celery, taken: Iterable[Row[Any]], busy: dict[str, set[str] | None]) -> set[str]:
    """Return the runs whose worker answers and does not know of them, while their message waits to be acknowledged.

    A worker that loses its connection forgets what it has taken and not begun, and gives it back if it can; it cannot
    while Redis is down or out of memory. A run with an ETA, or of a task with a rate limit, is left to Redis, which
    gives it back after the visibility timeout: not every worker tells of those that it holds.
    """
    rows = [
        row for row in taken if not row.eta and (known := busy.get(row.worker)) is not None and row.task_id not in known
    ]
    limited = rate_limited_tasks(celery, {row.worker for row in rows}) if rows else set()
    return {row.task_id for row in rows if row.name not in limited}


def _doubt(row: Row[Any], state: str, why: str, now: float) -> Facts:
    """Return the facts that take a run for lost or uncertain from now on, dated so that they win against the row."""
    at = max(now, math.nextafter(row.state_at, math.inf))
    return {"key": (LIVE_RANK, at, 0, state), "doubt": (at, why), "created_at": now}
