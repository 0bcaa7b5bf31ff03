"""Runs as a page shows them: every text ready, so that templates only loop and look up."""

from __future__ import annotations

import inspect
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from celery import Celery
from sqlalchemy import Row

from webapp import formatting
from webapp.runs import durations
from webapp.runs.merge import STORED
from webapp.runs.states import DOUBTS, is_settled, look
from webapp.text import clean

UNSENT: Final = {
    "new": ("Waiting to be sent", "wait"),
    "held": ("Waiting for the broker", "wait"),
    "dead": ("Could not be sent", "bad"),
}
CLIP: Final = 200
"""Most characters of arguments or outcome in a list."""
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


@dataclass(slots=True)
class Badge:
    """A dot and a word. ``live`` breathes; ``hollow`` is for what has not left this site yet."""

    label: str
    tone: str
    live: bool = False
    hollow: bool = False


@dataclass(slots=True)
class Moment:
    """One time in three spellings: for the browser, for a list and exact."""

    iso: str
    short: str
    exact: str

    @classmethod
    def at(cls, timestamp: float) -> Moment:
        """Spell seconds UTC."""
        return cls(*formatting.spellings(timestamp))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; ``text`` is what a screen reader and a person read."""

    current: float
    total: float
    text: str


@dataclass(slots=True)
class ListedRun:
    """A run as one line of the ledger."""

    id: int
    task_id: str
    path: str
    badge: Badge
    name: str
    short_name: str
    arguments: str
    outcome: str
    tone: str
    progress: Progress | None
    wait: str
    runtime: str
    running_since: str
    worker: str
    created: Moment
    due: Moment | None
    due_in: str


def run_path(task_id: str) -> str:
    """Return the path of a run's page below the site's root; any text may be a task id, even ``../x``."""
    if _PLAIN.issuperset(task_id):
        return f"runs/{task_id}"
    return f"run?{urlencode({'task_id': task_id}, quote_via=quote)}"


def badge_of(row: Row[Any]) -> Badge:
    """Return the badge of a run."""
    if row.publish_state in UNSENT and not is_settled(row.phase):
        return Badge(*UNSENT[row.publish_state], hollow=True)
    state = look(row.state, row.phase)
    label = state.label
    if row.state == "RETRY" or (row.retries and due_at(row) is not None):
        label = f"Retry {_retry(row)}"
    elif due_at(row) is not None:
        label = "Scheduled"
    return Badge(label, state.tone, live=not is_settled(row.phase))


def due_at(row: Row[Any]) -> float | None:
    """Return when a run that waits for its time is to begin, in seconds UTC; None for any other."""
    at = seconds_of(row.eta) if row.eta and row.state in ("PENDING", "RECEIVED", "RETRY") else None
    return at if at is not None and at > time.time() else None


def seconds_of(text: str | None) -> float | None:
    """Return the time that a message carries as ISO 8601, in seconds UTC; None where it makes no sense."""
    try:
        moment = datetime.fromisoformat(text or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _retry(row: Row[Any]) -> int:
    """Return which retry comes next; the message of it may be received before its worker tells of the failure."""
    steps = getattr(row, "steps", None)
    failures = sum(1 for _, what, _ in json.loads(steps) if what == "retried") if steps else 0
    return max(failures, row.retries or 0, 1)


def listed(row: Row[Any]) -> ListedRun:
    """Return a row of ``queries.page`` as the list shows it."""
    failed = row.state in ("FAILURE", "RETRY")
    progress = progress_of(row)
    due = due_at(row)
    ready = is_settled(row.phase)
    return ListedRun(
        id=row.id,
        task_id=row.task_id,
        path=run_path(row.task_id),
        badge=badge_of(row),
        name=row.name or "unknown task",
        short_name=formatting.short_name(row.name) or "unknown task",
        arguments=clip(formatting.arguments(row.args, row.kwargs, row.arguments_rank >= STORED)),
        outcome=progress.text if progress else clip(_outcome(row)),
        tone="bad" if failed else "",
        progress=progress,
        wait=formatting.duration(waited(row)),
        runtime=formatting.duration(ran(row)),
        running_since="" if ready or row.state == "RETRY" or row.started_at is None else formatting.iso(row.started_at),
        worker=row.worker or "–",
        created=Moment.at(row.created_at),
        due=Moment.at(due) if due else None,
        due_in=formatting.duration(due - time.time()) if due else "",
    )


def _outcome(row: Row[Any]) -> str:
    if row.publish_state in UNSENT and not is_settled(row.phase):
        return str(row.publish_error or "")
    if row.state in DOUBTS:
        return str(row.doubt or "")
    if row.exception:
        return str(row.exception)
    if row.state == "RETRY":
        return next((note for _, what, note in reversed(attempts_of(row)) if what == "retried"), "")
    return "None" if row.result == "null" and row.outcome_exact else str(row.result or "")


def clip(text: str) -> str:
    """Return the beginning of a text as one line."""
    line = text if "\n" not in text else " ".join(text.split())
    return line if len(line) <= CLIP else f"{line[:CLIP]}…"


def progress_of(row: Row[Any]) -> Progress | None:
    """Return how far a live run is, or None when it does not say."""
    if is_settled(row.phase) or row.progress_total is None or row.progress_total <= 0:
        return None
    current = min(row.progress_current, row.progress_total)
    return Progress(current, row.progress_total, f"{current:,.15g} of {row.progress_total:,.15g}")


def time_left(row: Row[Any], now: float) -> float | None:
    """Return the seconds that a run still takes if it goes on as it did, None where it does not say how far it is."""
    known = row.started_at is not None and row.progress_at is not None and row.progress_current
    if progress_of(row) is None or not known:
        return None
    worked = max(row.progress_at - row.started_at, 0.0)
    whole = worked * row.progress_total / row.progress_current
    return float(max(whole - worked - max(now - row.progress_at, 0.0), 0.0))


def waited(row: Row[Any]) -> float | None:
    """Return seconds from sending to the first start, or None while nobody knows."""
    return durations.wait_time(row.sent_at, row.created_at, row.started_at)


def ran(row: Row[Any]) -> float | None:
    """Return seconds that a run took which has ended, or None for one that has not, or not that anybody knows."""
    return None if row.state in DOUBTS else durations.run_time(row.phase, row.state_at, row.started_at, row.runtime)


@dataclass(frozen=True, slots=True)
class Step:
    """One station on a run's way: what happened, when, how long after the start of the way, and a note."""

    label: str
    moment: Moment
    after: str
    note: str
    tone: str = ""


def timeline(row: Row[Any]) -> list[Step]:
    """Return a run's stations in order of time: sent, received, each attempt's start and end."""
    begin = row.sent_at or row.created_at
    sender = "from this site" if row.publish_state else row.origin or ""
    steps: list[tuple[float, str, str, str]] = []
    if row.sent_at is not None:
        steps.append((row.sent_at, "Sent", sender, ""))
    elif row.publish_state:
        steps.append((row.created_at, "Accepted", sender, "wait"))
    if row.received_at is not None:
        steps.append((row.received_at, "Received", row.worker or "", ""))
    attempts = attempts_of(row)
    starts = [(at, note) for at, what, note in attempts if what == "started"]
    failures = [(at, note) for at, what, note in attempts if what == "retried"]
    for number, (at, note) in enumerate(starts, 1):
        steps.append((at, f"Attempt {number} started" if len(starts) > 1 or failures else "Started", note, "run"))
    # The failure of an attempt may be told after the next one began, so each kind is counted by itself.
    steps += [(at, f"Attempt {number} failed", note, "wait") for number, (at, note) in enumerate(failures, 1)]
    steps += [(at, "A second copy was dropped", note, "") for at, what, note in attempts if what == "dropped"]
    if is_settled(row.phase):
        took = ran(row)
        note = f"ran {formatting.duration(took)}" if took is not None else ""
        ended = look(row.state, row.phase)
        steps.append((row.state_at, ended.label, note, ended.tone))
    # Python's sort keeps the order of equal times, so the order above holds where clocks say nothing.
    steps.sort(key=lambda step: step[0])
    return [
        Step(label, Moment.at(at), f"+{formatting.duration(at - begin)}" if at > begin else "", note, tone)
        for at, label, note, tone in steps
    ]


def attempts_of(row: Row[Any]) -> list[tuple[float, str, str]]:
    """Return ``(timestamp, "started", "retried" or "dropped", note)`` in order of time."""
    if row.steps:
        return [(at, what, note) for at, what, note in json.loads(row.steps)]
    return [] if row.started_at is None else [(row.started_at, "started", row.worker or "")]


def argument_lines(row: Row[Any], celery: Celery) -> list[tuple[str, str]]:
    """Return a run's arguments as ``(parameter, value)``; the parameter is empty where it is not known."""
    if row.args is None:
        return []
    if row.arguments_rank < STORED:
        return [("", formatting.arguments(row.args, row.kwargs, exact=False) or "none")]
    try:
        args, kwargs = json.loads(row.args), json.loads(row.kwargs or "{}")
        names = _parameters(celery, row.name)
        lines = [(names[i] if i < len(names) else "", formatting.python(value)) for i, value in enumerate(args)]
        return lines + [(name, formatting.python(value)) for name, value in kwargs.items()]
    except (ValueError, RecursionError):
        # Cut, or nested deeper than can be read: the text is shown as it is.
        return [("args", row.args), ("kwargs", row.kwargs)]


def _parameters(celery: Celery, name: str) -> list[str]:
    """Return the names of a task's positional parameters, or nothing when its code is not here."""
    task = celery.tasks.get(name)
    if task is None:
        return []
    parameters = inspect.signature(task.run).parameters.values()
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def source_of_arguments(row: Row[Any]) -> str:
    """Return a sentence where the arguments shown are not the exact ones, else nothing."""
    if row.args is None:
        return "No event has told the arguments yet."
    if row.arguments_rank < STORED:
        return "As abridged in Celery's event; the exact arguments are not known."
    return ""


def result_text(row: Row[Any]) -> str:
    """Return a result for reading: stored JSON indented when it is a list or dictionary."""
    if row.result is None:
        return ""
    if not row.outcome_exact:
        return str(row.result)
    try:
        value = json.loads(row.result)
        if isinstance(value, dict | list) and len(row.result) > 60:
            return clean(json.dumps(value, indent=2, ensure_ascii=False))
        return "None" if value is None else str(row.result)
    except (ValueError, RecursionError):
        return str(row.result)
