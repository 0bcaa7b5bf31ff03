"""Reads what the result backend keeps of runs: states, whole results, tracebacks, exact arguments, progress."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from celery import Celery
from celery.backends.base import BaseKeyValueStoreBackend
from celery.backends.redis import RedisBackend
from redis.exceptions import ResponseError

from webapp.recorder.event_facts import EXCEPTION_MAX, unknown_task
from webapp.runs.merge import STORED, Facts
from webapp.runs.states import STATE_MAX, UNREADY, is_ready, rank, stored_rank
from webapp.text import clean, cut, tidy

BATCH: Final = 100
"""Results asked for at once."""
HEAD: Final = 128 * 1024
"""Bytes of each that are asked for at once; longer ones are read one by one."""
WHOLE_MAX: Final = 64 * 1024 * 1024
"""Bytes of the longest result that is read whole; of a longer one its beginning is kept as text."""
EXACT: Final = 1
_STATE: Final = re.compile(rb'"status": ?"([^"]{1,50})"')
_DATE: Final = re.compile(rb'"date_done": ?"([^"]{1,40})"')
# json.dumps makes a new encoder with every call that wants other than its defaults.
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False).encode


def read_results(
    celery: Celery, task_ids: Iterable[str], now: float, value_max: int, left: Collection[str] = ()
) -> Iterator[tuple[str, Facts]]:
    """Yield ``(task_id, facts)`` of the runs that the result backend knows; no worker has those in ``left`` any more.

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
        for task_id, stored in _stored(backend, part):
            facts = facts_of_stored(stored, now, value_max, task_id in left) if stored else None
            if facts:
                if facts.get("parent_id") == task_id:
                    # So it is with each attempt but the first, and with what a task replaced itself by.
                    del facts["parent_id"]
                yield task_id, facts


def _stored(backend: Any, task_ids: list[str]) -> Iterator[tuple[str, str | bytes | None]]:
    """Yield what is stored of each run; one that is long is read when it is its turn, since many would fill memory.

    Commands: ``GETRANGE`` for each, ``STRLEN`` and ``GET`` for a long one.
    """
    keys = [backend.get_key_for_task(task_id) for task_id in task_ids]
    if not isinstance(backend, RedisBackend):
        yield from zip(task_ids, backend.mget(keys), strict=True)
        return
    pipeline = backend.client.pipeline(transaction=False)
    for key in keys:
        pipeline.getrange(key, 0, HEAD - 1)
    for task_id, key, head in zip(task_ids, keys, pipeline.execute(raise_on_error=False), strict=True):
        if isinstance(head, ResponseError):
            # A key of another type is no result.
            continue
        if isinstance(head, Exception):
            raise head
        yield task_id, head if len(head) < HEAD else _long(backend.client, key, head)


def _long(client: Any, key: Any, head: bytes) -> bytes | None:
    """Return a long result whole, or one that is longer still as one whose value is the beginning of its text."""
    if client.strlen(key) <= WHOLE_MAX:
        stored: bytes | None = client.get(key)
        return stored
    state, ended = _STATE.search(head), _DATE.search(client.getrange(key, -4096, -1))
    if state is None:
        return None
    text = head.decode(errors="replace")
    meta = {"status": state[1].decode(errors="replace"), "result": text, "date_done": ended and ended[1].decode()}
    return json.dumps(meta).encode()


def facts_of_stored(stored: str | bytes, now: float, value_max: int, left: bool = False) -> Facts | None:
    """Return what a stored result says, or None when it is not one.

    ``left`` says that no worker has the run any more, so that a state which is none of Celery's is its end.
    The JSON is parsed and nothing more: rebuilding an exception would import what a message names.
    """
    try:
        meta = json.loads(stored)
        state = str(meta["status"])[:STATE_MAX]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    at = _date(meta.get("date_done"), now)
    worker = tidy(meta.get("worker")) or ""
    ended = is_ready(state) or (left and state not in UNREADY)
    state_rank = stored_rank(state) if ended else rank(state)
    facts: Facts = {"created_at": min(at, now), "key": (state_rank, at, 0, clean(state)[:STATE_MAX])}
    if worker:
        facts["worker"] = (at, worker)
    if ended:
        facts["outcome"] = _outcome(meta, state_rank, state, at, value_max)
    elif state not in UNREADY:
        _add_progress(facts, meta.get("result"), at)
    if isinstance(meta.get("name"), str):
        name = tidy(meta["name"]) or ""
        if name and isinstance(meta.get("args"), list) and isinstance(meta.get("kwargs"), dict):
            facts["arguments"] = (STORED, _dump(meta["args"], value_max), _dump(meta["kwargs"], value_max), name)
        else:
            facts["name"] = name
    if ended and (unknown := unknown_task(facts["outcome"][4])) and "arguments" not in facts:
        facts["name"] = unknown
    if isinstance(meta.get("group_id"), str):
        facts["group_id"] = tidy(meta["group_id"]) or ""
    if isinstance(meta.get("parent_id"), str):
        facts["parent_id"] = tidy(meta["parent_id"]) or ""
    if isinstance(meta.get("queue"), str):
        facts["queue"] = tidy(meta["queue"]) or ""
    return facts


def _outcome(
    meta: dict[str, Any], state_rank: int, state: str, at: float, value_max: int
) -> tuple[int, int, float, str, str, str]:
    traceback = tidy(meta.get("traceback"), value_max) or ""
    result = meta.get("result")
    if state == "SUCCESS" or not is_ready(state):
        return state_rank, EXACT, at, _dump(result, value_max), "", traceback
    return state_rank, EXACT, at, "", exception_text(result), traceback


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
