"""Reads what the result backend keeps of runs: states, whole results, tracebacks, exact arguments, progress."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from celery import Celery
from celery.backends.base import BaseKeyValueStoreBackend

from webapp.merge import STORED, Facts
from webapp.recorder.events import EXCEPTION_MAX
from webapp.states import STATE_MAX, is_ready, rank
from webapp.text import clean, cut, tidy

BATCH: Final = 100
"""Results asked for at once; each may be large."""
EXACT: Final = 1
# json.dumps makes a new encoder with every call that wants other than its defaults.
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False).encode


def read_results(celery: Celery, task_ids: Iterable[str], now: float, value_max: int) -> Iterator[tuple[str, Facts]]:
    """Yield ``(task_id, facts)`` of the runs that the result backend knows.

    ``now`` (seconds UTC) dates states that carry no date. A backend that cannot be asked for many at once
    yields nothing; a stored value that is not Celery's JSON is passed over. Raises the backend's own errors when
    it cannot be reached.
    """
    backend = celery.backend
    if not isinstance(backend, BaseKeyValueStoreBackend):
        return
    wanted = list(task_ids)
    for start in range(0, len(wanted), BATCH):
        part = wanted[start : start + BATCH]
        for task_id, stored in zip(part, backend.mget([backend.get_key_for_task(i) for i in part]), strict=True):
            facts = facts_of_stored(stored, now, value_max) if stored else None
            if facts:
                yield task_id, facts


def facts_of_stored(stored: str | bytes, now: float, value_max: int) -> Facts | None:
    """Return what a stored result says, or None when it is not one.

    The JSON is parsed and nothing more: rebuilding an exception would import what a message names.
    """
    try:
        meta = json.loads(stored)
        state = str(meta["status"])[:STATE_MAX]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    at = _date(meta.get("date_done"), now)
    worker = tidy(meta.get("worker")) or ""
    facts: Facts = {"created_at": min(at, now), "key": (rank(state), at, 0, clean(state)[:STATE_MAX])}
    if worker:
        facts["worker"] = (at, worker)
    if isinstance(meta.get("name"), str):
        name = tidy(meta["name"]) or ""
        if name and isinstance(meta.get("args"), list) and isinstance(meta.get("kwargs"), dict):
            facts["arguments"] = (STORED, _dump(meta["args"], value_max), _dump(meta["kwargs"], value_max), name)
        else:
            facts["name"] = name
    if isinstance(meta.get("queue"), str):
        facts["queue"] = tidy(meta["queue"]) or ""
    if is_ready(state):
        facts["outcome"] = _outcome(meta, state, at, value_max)
    elif state not in ("STARTED", "RETRY", "RECEIVED", "PENDING"):
        _add_progress(facts, meta.get("result"), at)
    return facts


def _outcome(meta: dict[str, Any], state: str, at: float, value_max: int) -> tuple[int, int, float, str, str, str]:
    traceback = tidy(meta.get("traceback"), value_max) or ""
    result = meta.get("result")
    if state == "SUCCESS":
        return rank(state), EXACT, at, _dump(result, value_max), "", traceback
    return rank(state), EXACT, at, "", exception_text(result), traceback


def exception_text(stored: Any) -> str:
    """Return a stored exception as its repr would read: ``ZeroDivisionError('division by zero')``."""
    if not isinstance(stored, dict) or "exc_type" not in stored:
        return tidy(stored, EXCEPTION_MAX) or ""
    message = stored.get("exc_message")
    parts = message if isinstance(message, list | tuple) else [message]
    return tidy(f"{stored['exc_type']}({', '.join(repr(part) for part in parts)})", EXCEPTION_MAX) or ""


def _add_progress(facts: Facts, meta: Any, at: float) -> None:
    if not isinstance(meta, dict):
        return
    current, total = meta.get("current"), meta.get("total")
    if all(isinstance(n, int | float) and 0 <= n < 1e15 for n in (current, total)):
        facts["progress"] = (at, float(current), float(total))  # type: ignore[arg-type]  # just checked


def _date(value: Any, now: float) -> float:
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return now


def _dump(value: Any, value_max: int) -> str:
    if type(value) is float and math.isfinite(value):
        return repr(value)
    if value == {}:
        return "{}"
    try:
        return clean(cut(_ENCODE(value), value_max))
    except RecursionError:
        # What could just be read may be too deep to be written again.
        return "nested too deep to be shown"
