"""Names the doubt about live runs of which nothing more can come: LOST or UNCERTAIN, with a sentence that says why.

LOST needs a proof that the worker has ended (see ``docs/proof-of-death.md``). Silence, an unanswered question, one of
two answers and a successor are none; what follows from them is UNCERTAIN, and whoever reads it may act.

A run is judged only when everything that could still tell of it has been asked, twice: the result backend, the queues
and what no worker has acknowledged, the worker itself. Whatever is heard of it later takes the doubt back.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from celery import Celery
from sqlalchemy import Engine, Row, func, or_, select

from webapp import formatting
from webapp.broker import amqp
from webapp.broker.control import rate_limited_tasks, tasks_known_to
from webapp.broker.redis import UNACKED, Memory, queues_of, waiting
from webapp.history.queries import gaps, runs
from webapp.history.queries import workers as workers_table
from webapp.history.writer import write
from webapp.recorder.deliveries import Deliveries
from webapp.recorder.result_facts import read_results
from webapp.recorder.worker_registry import WorkerRegistry
from webapp.runs.actions import HELD, is_solo
from webapp.runs.merge import Facts
from webapp.runs.states import IGNORED_RANK, LIVE, LIVE_RANK

BATCH: Final = 5000
"""Most runs looked at in one turn; with more than that, they take turns."""

SPEECHLESS: Final = 6 * 3600.0
"""Seconds for which a run may go on at a worker that lives and answers no question."""

_COLUMNS: Final = [
    runs.c[name] for name in "id task_id name state state_at queue worker worker_at sent_at created_at eta".split()
]


@dataclass(slots=True)
class Judge:
    """A walk in circles over live runs that nobody has heard of for ``age`` seconds; ``suspected`` holds since when."""

    age: float
    held: Deliveries = field(default_factory=Deliveries)
    memory: Memory = field(default_factory=Memory)
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

    def look(self, engine: Engine, celery: Celery, workers: WorkerRegistry, value_max: int) -> int:
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
        known = _queues(engine)
        read = queues_of(celery).union(*known.values())
        named = {row.queue for row in silent if row.queue}
        queues = list(read | named)
        places = waiting(celery, queues, wanted=[row.task_id for row in silent], memory=self.memory)
        # Only RabbitMQ: which messages wait cannot be seen there, but where none does.
        occupied = amqp.occupied(celery, queues) if UNACKED in places.unread else None
        absent = [row for row in silent if row.task_id not in places.task_ids]
        taken = [row for row in silent if row.task_id in places.unacked]
        solo = _solo(engine, {row.worker for row in absent})
        unread = places.unread.keys() if occupied is None else occupied
        seen = Seen(workers, self.held, frozenset(unread), read, known, {}, solo, unacked_hidden=occupied is not None)
        # Of what waits unseen no worker knows, and its absence says nothing.
        asked = [row for row in absent if row.state != "PENDING" or seen.complete(row)]
        seen = replace(seen, busy=tasks_known_to(celery, _asked([*asked, *taken], workers), workers.processes()))
        verdicts = {row.task_id: verdict for row in absent if (verdict := _verdict(row, seen))}
        verdicts.update({row.task_id: verdict for row in taken if (verdict := _taken(celery, row, seen))})
        for row in rows:
            if row.task_id not in verdicts:
                suspected.pop(row.task_id, None)
        sure = {i for i in verdicts if now - suspected.setdefault(i, now) >= self.confirm}
        doubted = [row for row in silent if row.task_id in sure]
        news.update({row.task_id: _doubt(row, *verdicts[row.task_id], now) for row in doubted})
        left = {row.task_id: row for row in doubted if row.task_id not in places.unacked and _has_left(row, seen)}
        news.update(_ignored(engine, left.values(), now))
        news.update(
            (task_id, facts)
            for task_id, facts in read_results(celery, left, now, value_max, left)
            if facts["key"][0] > LIVE_RANK
        )
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


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in one look: the workers and what they took, the queues that could not be read, those that this app
    and its workers are known to read, these by worker, what each worker says that it has (None: no answer), those that
    say nothing while they work, and whether the broker hides what workers took and have not acknowledged."""

    workers: WorkerRegistry
    held: Deliveries
    unread: Collection[str] = ()
    read: Collection[str] = ()
    queues: Mapping[str, Collection[str]] = field(default_factory=dict)
    busy: Mapping[str, set[str] | None] = field(default_factory=dict)
    solo: Collection[str] = ()
    unacked_hidden: bool = False

    def complete(self, row: Row[Any]) -> bool:
        """Say whether all was looked at where the message of a run that was not found may wait.

        Of one that was sent to an exchange only its worker can tell which queues these are.
        """
        if not row.queue and not self.queues.get(row.worker):
            return False
        return not {row.queue, UNACKED, *self.read}.intersection(self.unread)

    def ended(self, task_id: str) -> bool:
        """Say whether it is proved that the worker that took a run has ended."""
        return self.held.owner(task_id) in self.workers.ended


def _queues(engine: Engine) -> dict[str, set[str]]:
    """Return the queues that each worker said it reads, of those that are away too: what they took goes back there."""
    found: dict[str, set[str]] = {}
    with engine.connect() as connection:
        for hostname, names in connection.execute(select(workers_table.c.hostname, workers_table.c.queues)):
            found.setdefault(hostname, set()).update(json.loads(names or "[]"))
    return found


def _asked(rows: Iterable[Row[Any]], workers: WorkerRegistry) -> dict[str, list[str]]:
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


def _verdict(row: Row[Any], seen: Seen) -> tuple[str, str] | None:
    """Return the state and the sentence for a run that is in no queue and has no result, None while it may go on.

    LOST is said only where a worker that had the run is proved to have ended.
    """
    if row.state == "PENDING":
        return _unheard(row, seen)
    if seen.ended(row.task_id):
        if seen.complete(row) and not seen.unacked_hidden:
            return "LOST", (
                f"Its worker {row.worker} is gone: none of its processes lives. The message is in no queue that is "
                "known, and no result was found. It may have run in part."
            )
        return "UNCERTAIN", (
            f"Its worker {row.worker} is gone: none of its processes lives. Whether the message waits in a queue "
            "cannot be told, and no result was found."
        )
    if not row.worker:
        return None
    known = seen.busy.get(row.worker)
    if known is not None and row.task_id in known:
        return None
    sign, quiet_for = seen.workers.last_sign(row.worker), time.time() - row.state_at
    if sign is not None and sign.online and known is None and row.worker not in seen.solo and quiet_for < SPEECHLESS:
        return None
    return "UNCERTAIN", f"{_of_worker(row, seen)} No result was found: how it ended is not known."


def _has_left(row: Row[Any], seen: Seen) -> bool:
    """Say whether the worker that began a run has done with it: it answers, and does not know of the run any more.

    That is the process that has been heard since before the run began, by its own clock, and no successor of its name.
    """
    sign = seen.workers.last_sign(row.worker)
    begun = row.state not in {"PENDING", "RECEIVED", "RETRY"}
    alone = seen.workers.processes().get(row.worker, 0) == 1
    if sign is None or not (begun and alone and sign.online):
        return False
    return row.state_at >= sign.since + (sign.skew or 0.0) and seen.busy.get(row.worker) is not None


def _ignored(engine: Engine, rows: Iterable[Row[Any]], now: float) -> dict[str, Facts]:
    """Return what is said of runs that workers have done with and told of no end: Celery sends no event where a task
    raises ``Ignore``. Where events may have been missed, nothing is."""
    with engine.connect() as connection:
        heard_since = connection.execute(select(func.max(gaps.c.ended_at))).scalar_one() or 0.0
    said: Facts = {"key": (IGNORED_RANK, now, 0, "IGNORED"), "created_at": now}
    return {row.task_id: said for row in rows if row.state_at > heard_since}


def _unheard(row: Row[Any], seen: Seen) -> tuple[str, str] | None:
    if not seen.complete(row) or any(row.task_id in (known or ()) for known in seen.busy.values()):
        return None
    if seen.unacked_hidden and None in seen.busy.values():
        # Whoever does not answer may have taken it.
        return None
    sent = formatting.exact_time(row.sent_at or row.created_at)
    return "UNCERTAIN", (
        f"It was sent at {sent}, but it is not in {row.queue or 'any queue that is known'}, no worker was heard to "
        "receive it, and no result was found."
    )


def _of_worker(row: Row[Any], seen: Seen) -> str:
    """Return what is known of the worker of a run that says nothing of it any more."""
    name, sign = f"Its worker {row.worker}", seen.workers.last_sign(row.worker)
    if sign is None:
        return f"{name} is not heard by itself and does not answer: it works without a heartbeat, or it is gone."
    if seen.busy.get(row.worker) is not None:
        return f"{name} answers and does not know of it, or another one of that name does."
    if row.worker in seen.solo:
        return f"{name} runs one task at a time and says nothing meanwhile, or it is gone."
    if sign.online:
        return f"{name} lives and does not say whether it still has it; nothing was heard of it for long."
    if sign.parted:
        return f"{name} was told to stop; it may still end what it had begun, or it is gone."
    at = formatting.exact_time(sign.seen_at)
    return f"{name} is probably gone: it was last heard at {at}. It may be halted or busy."


def _taken(celery: Celery, row: Row[Any], seen: Seen) -> tuple[str, str] | None:
    """Return what is said of a run whose message some worker took, and has not acknowledged.

    A run with an ETA, of a task with a rate limit, or that waits for its next attempt is left alone while its worker
    answers: not every worker tells of those that it holds. Nothing is given back here.
    """
    if not row.worker:
        if not all(known is not None and row.task_id not in known for known in seen.busy.values()):
            return None
        return "UNCERTAIN", (
            f"Its message was taken from {row.queue or 'its queue'}, but no worker was heard to receive it and none "
            f"has it now. {HELD}"
        )
    if seen.ended(row.task_id):
        return "UNCERTAIN", f"Its worker {row.worker} is gone, and somebody may have the next delivery. {HELD}"
    known, sign = seen.busy.get(row.worker), seen.workers.last_sign(row.worker)
    if known is not None:
        if row.task_id in known or row.eta or row.state == "RETRY":
            return None
        if row.name in rate_limited_tasks(celery, {row.worker}):
            return None
    elif sign is None or sign.online or row.worker in seen.solo:
        return None
    return "UNCERTAIN", f"{_of_worker(row, seen)} It has not acknowledged the message. {HELD}"


def _doubt(row: Row[Any], state: str, why: str, now: float) -> Facts:
    """Return the facts that take a run for lost or uncertain from now on, dated so that they win against the row."""
    at = max(now, math.nextafter(row.state_at, math.inf))
    return {"key": (LIVE_RANK, at, 0, state), "doubt": (at, why), "created_at": now}
