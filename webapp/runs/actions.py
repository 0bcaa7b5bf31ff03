"""Which action is allowed on a run in which state: one table, that draws the buttons and that every handler asks."""

from __future__ import annotations

from typing import Final

from webapp.runs.states import UNSENT, is_settled

CANCEL, TERMINATE, SEND, AGAIN = "cancel", "terminate", "send", "again"

_BY_STATE: Final[dict[str, frozenset[str]]] = {
    # No worker works on it, so that it is enough that none begins.
    "PENDING": frozenset({CANCEL, AGAIN}),
    "RECEIVED": frozenset({CANCEL, AGAIN}),
    "RETRY": frozenset({CANCEL, AGAIN}),
    # Of these nobody knows whether a worker does; a message that is still there can be taken back.
    "UNCERTAIN": frozenset({CANCEL, AGAIN}),
    "LOST": frozenset({CANCEL, AGAIN}),
}
_WORKING: Final = frozenset({TERMINATE, AGAIN})
_SETTLED: Final = frozenset({AGAIN})
HELD: Final = "Redis gives it back after its visibility timeout, an hour by default; then it runs."
"""Ends the doubt about a run whose message some worker took and has not acknowledged."""
_POOLS: Final = ("prefork", "processes")
"""Pools that can end one of their tasks alone; those of threads and of greenlets cannot, or leave it half done."""


def allowed(state: str, run_phase: int, publish_state: str | None, pool: str | None = None) -> frozenset[str]:
    """Return the actions that are allowed on a run; ``pool`` is that of its worker, as the worker calls it."""
    if state in _BY_STATE:
        unsent = publish_state in UNSENT and state == "PENDING"
        return _BY_STATE[state] | ({SEND} if unsent else frozenset())
    if is_settled(run_phase):
        return _SETTLED
    return _WORKING if can_terminate(pool) else _WORKING - {TERMINATE}


def may_give_back(state: str, doubt: str | None) -> bool:
    """Say whether a person may give a run's message back to its queue: it is held, and by whom is in doubt."""
    return state == "UNCERTAIN" and (doubt or "").endswith(HELD)


def is_solo(pool: str | None) -> bool:
    """Say whether a worker runs its tasks by itself, and neither sends heartbeats nor answers meanwhile."""
    return pool is not None and "solo" in pool


def can_terminate(pool: str | None) -> bool:
    """Say whether a pool can end a single task that runs."""
    return pool is not None and any(name in pool for name in _POOLS)
