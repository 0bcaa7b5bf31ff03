"""The one rule that turns observations of a run, in any order and any number, into the same row.

An observation is a dictionary of *facts*: each key says one thing, a missing key says nothing. Every fact has a
rule that picks or joins two values and is commutative, associative and idempotent, so ``merge`` is a join of a
semilattice: duplicates, reordering, replays and two recorders all lead to the same facts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypedDict

ATTEMPTS_MAX: Final = 100
"""Most steps of a run's attempts that are kept; the earliest ones are."""

Key = tuple[int, float, int, str]
"""``(rank, timestamp, clock, state)``: timestamp in seconds UTC by the worker's clock, clock is Celery's
logical clock."""

Step = tuple[float, str, str]
"""``(timestamp, what, note)``: ``what`` is "started" (note: hostname), "retried" (note: the exception) or "dropped" (a
second copy of the message; note: hostname)."""


class Facts(TypedDict, total=False):
    """What one observation says of one run."""

    key: Key
    outcome: tuple[int, int, float, str, str, str]  # rank, exact, timestamp, result, exception, traceback
    arguments: tuple[int, str, str, str]  # how exact, args, kwargs, and the name of the task that takes them
    worker: tuple[float, str]  # timestamp, hostname
    progress: tuple[float, float, float]  # timestamp, current, total
    doubt: tuple[float, str]  # timestamp, why the run is LOST or UNCERTAIN
    steps: frozenset[Step]
    name: str  # where nothing is known of the arguments
    queue: str
    origin: str
    root_id: str
    parent_id: str
    group_id: str
    eta: str
    expires: str
    retries: int
    created_at: float
    sent_at: float
    received_at: float
    started_at: float
    runtime: float
    begun_at: float  # when a message was sent or received that is no retry: what comes after an end is a new execution


REPR, STORED, SUBMITTED = 0, 1, 2
"""How exact arguments are: an event's shortened repr, the worker's JSON, or what was submitted here."""


def _join_steps(left: frozenset[Step], right: frozenset[Step]) -> frozenset[Step]:
    joined = left | right
    # The smallest k of a union is again a join, so the bound does not break the rule.
    return frozenset(sorted(joined)[:ATTEMPTS_MAX]) if len(joined) > ATTEMPTS_MAX else joined


RULES: Final[dict[str, Callable[[Any, Any], Any]]] = {
    **dict.fromkeys(("created_at", "sent_at", "received_at", "started_at", "begun_at"), min),
    **dict.fromkeys(("key", "outcome", "arguments", "worker", "progress", "doubt", "retries", "runtime"), max),
    **dict.fromkeys(("name", "queue", "origin", "root_id", "parent_id", "group_id", "eta", "expires"), max),
    "steps": _join_steps,
}


def merge(left: Facts, right: Facts) -> Facts:
    """Return what two observations of the same run say together."""
    merged = left.copy()
    merge_into(merged, right)
    return merged


def merge_into(known: Facts, news: Facts) -> None:
    """Add to what is known of a run what another observation says."""
    merged: dict[str, Any] = known  # type: ignore[assignment]  # a TypedDict cannot be filled key by key
    for fact, value in news.items():
        merged[fact] = RULES[fact](merged[fact], value) if fact in merged else value
    if "arguments" in merged:
        # One fact with its name: a task that replaces itself has another one with other arguments.
        merged.pop("name", None)
