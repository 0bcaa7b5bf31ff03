"""Turns one of Celery's task events into facts about a run; pure, and proof against any event whatever.

The fields of each event are those of Celery's documentation, "Monitoring and Management", Event Reference.
"""

from __future__ import annotations

import re
from typing import Any, Final

from webapp.runs.merge import REPR, Facts, Step
from webapp.runs.states import STATE_MAX, rank
from webapp.text import NAME_MAX, Tidy, bounded, tidy
from webapp.worker.submissions import DROPPED, IGNORED

STATES_OF_EVENTS: Final[dict[str, str]] = {
    "task-sent": "PENDING",
    "task-received": "RECEIVED",
    "task-started": "STARTED",
    "task-retried": "RETRY",
    "task-succeeded": "SUCCESS",
    "task-failed": "FAILURE",
    "task-rejected": "REJECTED",
    "task-revoked": "REVOKED",
    IGNORED: "IGNORED",
}
_TEXTS: Final = ("name", "queue", "root_id", "parent_id", "group_id")
_UNKNOWN: Final = re.compile(r"NotRegistered\('([^'\\\s]{1,255})'\)")
OLDEST: Final = 60 * 86400.0
"""Seconds after which no event is heard any more: the stream keeps them for a week. What is older is a wrong clock."""
AHEAD: Final = 86400.0
"""Seconds that the clock of a worker may be ahead, be it set by the time of another zone."""
EXCEPTION_MAX: Final = 4096
"""Longest exception text kept, in characters; the traceback ends with the whole of it anyway."""


def task_id_of(event: dict[str, Any], harmless: bool = False) -> str | None:
    """Return the cleaned task id of an event, or None when it has none that could be one."""
    task_id = event.get("uuid")
    if not isinstance(task_id, str) or not 0 < len(task_id) <= NAME_MAX:
        return None
    return task_id if harmless else tidy(task_id)


def facts_of(event: dict[str, Any], received_at: float, value_max: int, harmless: bool = False) -> Facts | None:
    """Return what an event says, or None when it says nothing about a run's state.

    ``received_at`` (seconds UTC) stands in for a timestamp that is missing, impossible, or by a clock that is wrong by
    months; ``value_max`` bounds
    each text, in bytes. ``harmless`` says that its texts have no character that must be cleaned away.
    """
    if event.get("type") == DROPPED:
        return _facts_of_copy(event, received_at)
    state = STATES_OF_EVENTS.get(str(event.get("type")))
    if state is None or (state == "REJECTED" and event.get("requeue")):
        return None
    tidied: Tidy = bounded if harmless else tidy
    at = event.get("timestamp")
    # By a clock of 1970 a run would be pruned at once, and by one of 2100 be the latest for ever.
    low = max(received_at - OLDEST, 0.0)
    if type(at) is not float or not low <= at <= received_at + AHEAD:
        at = _number(at, low, received_at + AHEAD, received_at)
    hostname = tidied(event.get("hostname")) or ""
    clock = int(_number(event.get("clock"), 0, 2**62, 0))
    # Nothing was made after it was heard of, whatever the clock of its worker shows.
    facts: Facts = {"created_at": min(at, received_at), "key": (rank(state), at, clock, state)}
    for field in _TEXTS:
        if field in event and isinstance(event[field], str):
            facts[field] = tidied(event[field]) or ""
    if event.get("root_id") == event.get("uuid"):
        # Celery calls a run that is no part of another its own root; saying so costs 36 bytes a run.
        facts.pop("root_id", None)
    itself = event.get("parent_id") == event.get("uuid")
    if itself:
        # So it is with each attempt but the first, and with what a task replaced itself by.
        facts.pop("parent_id", None)
    if state == "PENDING":
        facts["sent_at"], facts["origin"] = at, hostname
    else:
        facts["worker"] = (at, hostname)
    if state in ("PENDING", "RECEIVED"):
        _add_message(facts, event, value_max, tidied)
        if not (itself or event.get("retries") or event.get("redelivered")):
            facts["begun_at"] = at
    add = _ADD.get(state)
    if add:
        add(facts, event, at, value_max, tidied)
    return facts


def _facts_of_copy(event: dict[str, Any], received_at: float) -> Facts:
    """A second copy of a submission was dropped; that says nothing of the run's own state."""
    at = min(_number(event.get("timestamp"), 0.0, 1e11, received_at), received_at)
    step: Step = (at, "dropped", tidy(event.get("hostname")) or "")
    return {"created_at": at, "key": (rank("PENDING"), 0.0, 0, "PENDING"), "steps": frozenset({step})}


def _add_message(facts: Facts, event: dict[str, Any], value_max: int, tidied: Tidy) -> None:
    if ("args" in event or "kwargs" in event) and facts.get("name"):
        facts["arguments"] = (
            REPR,
            tidied(event.get("args"), value_max) or "",
            tidied(event.get("kwargs"), value_max) or "",
            facts.pop("name"),
        )
    if event.get("retries"):
        facts["retries"] = int(_number(event["retries"], 0, 2**31 - 1, 0))
    for field in ("eta", "expires"):
        if event.get(field) is not None:
            facts[field] = (tidied(event[field]) or "")[:64]


def _add_received(facts: Facts, event: dict[str, Any], at: float, value_max: int, tidied: Tidy) -> None:
    facts["received_at"] = at


def _add_started(facts: Facts, event: dict[str, Any], at: float, value_max: int, tidied: Tidy) -> None:
    facts["started_at"] = at
    facts["steps"] = frozenset({(at, "started", facts["worker"][1])})


def _add_retried(facts: Facts, event: dict[str, Any], at: float, value_max: int, tidied: Tidy) -> None:
    step: Step = (at, "retried", (tidied(event.get("exception")) or "")[: STATE_MAX * 4])
    facts["steps"] = frozenset({step})


def _add_succeeded(facts: Facts, event: dict[str, Any], at: float, value_max: int, tidied: Tidy) -> None:
    facts["outcome"] = (facts["key"][0], REPR, at, tidied(event.get("result"), value_max) or "", "", "")
    if event.get("runtime") is not None:
        facts["runtime"] = _number(event["runtime"], 0.0, 1e11, 0.0)


def _add_failed(facts: Facts, event: dict[str, Any], at: float, value_max: int, tidied: Tidy) -> None:
    exception = tidied(event.get("exception"), EXCEPTION_MAX) or ""
    facts["outcome"] = (facts["key"][0], REPR, at, "", exception, tidied(event.get("traceback"), value_max) or "")
    if (name := unknown_task(exception)) and "name" not in facts:
        facts["name"] = name


def unknown_task(exception: str) -> str:
    """Return the name of the task that a worker did not know, of which no other word is said; else nothing."""
    found = _UNKNOWN.fullmatch(exception)
    return found[1] if found else ""


def _add_revoked(facts: Facts, event: dict[str, Any], at: float, value_max: int, tidied: Tidy) -> None:
    why = "expired" if event.get("expired") else "terminated" if event.get("terminated") else "revoked"
    facts["outcome"] = (facts["key"][0], REPR, at, "", why, "")


_ADD: Final = {
    "RECEIVED": _add_received,
    "STARTED": _add_started,
    "RETRY": _add_retried,
    "SUCCESS": _add_succeeded,
    "FAILURE": _add_failed,
    "REVOKED": _add_revoked,
}


def _number(value: Any, low: float, high: float, otherwise: float) -> float:
    # NaN and infinity fail the comparison, and so does a whole number that is too large for a float.
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return value
    return otherwise
