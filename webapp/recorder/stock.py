"""What workers have at hand when they are first met: what runs, is reserved or scheduled, of which no event tells."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import Any, Final

from celery import Celery
from sqlalchemy import Engine, select

from webapp.history.queries import runs
from webapp.history.writer import write
from webapp.recorder.batch import BATCH_SECONDS
from webapp.recorder.deliveries import Deliveries
from webapp.recorder.replies import ask
from webapp.runs.merge import REPR, Facts
from webapp.runs.states import LIVE, rank
from webapp.text import NAME_MAX, tidy

ENTRIES_MAX: Final = 5000
"""Most runs that are taken from one answer."""
_CHUNK: Final = 500


def take_stock(
    engine: Engine, celery: Celery, held: Deliveries, hostnames: Collection[str], limit: int, value_max: int
) -> int:
    """Ask workers once for what they have at hand; return how many rows are new, or say more than they did.

    ``limit`` is how many processes are to answer, ``value_max`` bounds each text, in bytes.
    """
    asked_at = time.time()
    found: dict[str, Facts] = {}
    # What has begun says more than what is reserved, so it is asked for last.
    for command, state in (("scheduled", "RECEIVED"), ("reserved", "RECEIVED"), ("active", "STARTED")):
        for hostname, answers in ask(celery, command, hostnames, limit).items():
            for _, entries in answers:
                for entry in entries[:ENTRIES_MAX] if isinstance(entries, list) else ():
                    for task_id, facts, request in _facts_of(entry, hostname, state, asked_at, value_max):
                        found[task_id] = facts
                        if task_id not in held.taken:
                            held.note(task_id, request.get("life"), request.get("tag"))
    if not found:
        return 0
    # What was heard meanwhile is being written.
    time.sleep(2 * BATCH_SECONDS)
    written, task_ids = 0, list(found)
    for start in range(0, len(task_ids), _CHUNK):
        some = task_ids[start : start + _CHUNK]
        known = _known(engine, some)
        written += write(engine, {task_id: found[task_id] for task_id in some if _is_news(known, task_id, found)})
    return written


def _known(engine: Engine, task_ids: list[str]) -> dict[str, Any]:
    columns = [runs.c[name] for name in "task_id state phase name worker started_at".split()]
    with engine.connect() as connection:
        rows = connection.execute(select(*columns).where(runs.c.task_id.in_(task_ids)))
        return {row.task_id: row for row in rows}


def _is_news(known: dict[str, Any], task_id: str, found: dict[str, Facts]) -> bool:
    """Say whether what a worker tells is more than was heard; what was heard is dated more precisely."""
    row = known.get(task_id)
    if row is None:
        return True
    told = found[task_id]["key"][3]
    return bool(row.phase == LIVE and row.state in {"PENDING", "RECEIVED"} and (row.state, told) != ("RECEIVED", told))


def _facts_of(
    entry: Any, hostname: str, state: str, asked_at: float, value_max: int
) -> Iterator[tuple[str, Facts, dict[str, Any]]]:
    """Yield the task id of an entry, what it says and its request, nothing where it makes no sense."""
    request = entry.get("request", entry) if isinstance(entry, dict) else None
    task_id = tidy(request.get("id")) if isinstance(request, dict) else None
    if not isinstance(request, dict) or not task_id or len(task_id) > NAME_MAX:
        return
    began = request.get("time_start")
    started = isinstance(began, int | float) and asked_at - 366 * 86400 < began <= asked_at
    at = float(began) if state == "STARTED" and started else asked_at  # type: ignore[arg-type]  # just checked
    worker = tidy(hostname) or ""
    facts: Facts = {"created_at": at, "key": (rank(state), at, 0, state), "worker": (at, worker)}
    name = tidy(request.get("name") or request.get("type"))
    if name:
        kwargs = tidy(_text(request.get("kwargs")), value_max) or ""
        facts["arguments"] = (REPR, _args(request.get("args"), value_max), kwargs, name)
    where = request.get("delivery_info")
    if isinstance(where, dict) and not where.get("exchange") and isinstance(where.get("routing_key"), str):
        # Without an exchange the routing key is the name of the queue.
        facts["queue"] = tidy(where["routing_key"]) or ""
    if isinstance(entry.get("eta"), str):
        facts["eta"] = (tidy(entry["eta"]) or "")[:64]
    if state == "STARTED":
        facts["started_at"] = at
        facts["steps"] = frozenset({(at, "started", worker)})
    yield task_id, facts, request


def _args(args: Any, value_max: int) -> str:
    """Return positional arguments as events spell them: the repr of a tuple."""
    return tidy(_text(tuple(args) if isinstance(args, list) else args), value_max) or ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else repr(value)
