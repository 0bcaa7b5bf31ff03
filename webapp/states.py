"""The states of a run: their rank in the merge, their word and tone on a page, their group in the filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STATE_MAX: Final = 50
"""Longest state name kept, in characters; Celery's result tables use the same bound."""


@dataclass(frozen=True, slots=True)
class State:
    """How one state is ranked and shown.

    ``rank`` orders what contradicting observations say (see ``merge``); ``tone`` is a colour name of the
    style sheet and never stands without the ``label``.
    """

    rank: int
    label: str
    tone: str


PENDING_RANK: Final = 0
LIVE_RANK: Final = 10
READY_RANK: Final = 20
SUCCESS_RANK: Final = 30

# PENDING is what the sender knows, the other live states are what a worker said, so they win against it
# whatever the two clocks show. Among live states time decides. SUCCESS beats the other ready states because
# a result that exists cannot be taken back by a second, failed delivery.
STATES: Final[dict[str, State]] = {
    "PENDING": State(PENDING_RANK, "Pending", "wait"),
    "RECEIVED": State(LIVE_RANK, "Received", "wait"),
    "STARTED": State(LIVE_RANK, "Started", "run"),
    "RETRY": State(LIVE_RANK, "Retry", "wait"),
    "SUCCESS": State(SUCCESS_RANK, "Success", "ok"),
    "FAILURE": State(READY_RANK, "Failure", "bad"),
    "REVOKED": State(READY_RANK, "Revoked", "off"),
    "REJECTED": State(READY_RANK, "Rejected", "off"),
    "IGNORED": State(READY_RANK, "Ignored", "off"),
    # Named doubt, said by the recorder and never by Celery. It ranks as live, so that whatever a worker says later
    # takes it back, and counts as settled, so that nobody waits for it.
    "LOST": State(LIVE_RANK, "Lost", "odd"),
    "UNCERTAIN": State(LIVE_RANK, "Uncertain", "odd"),
}
DOUBTS: Final = frozenset({"LOST", "UNCERTAIN"})

UNSENT: Final = ("new", "held", "dead")
"""What the outbox says of a run whose message is on no way: nobody tried, tried in vain, given up."""

LIVE, SUCCESS, FAILURE, OTHER = range(4)
"""The phases, by which a list is divided: a run's phase follows from its state."""
GROUPS: Final[dict[str, tuple[int, str]]] = {
    "live": (LIVE, "Live"),
    "success": (SUCCESS, "Success"),
    "failure": (FAILURE, "Failure"),
    "other": (OTHER, "Other"),
}


def rank(state: str) -> int:
    """Return the merge rank of a state; a custom state such as PROGRESS ranks as live."""
    known = STATES.get(state)
    return known.rank if known else LIVE_RANK


def phase(state: str) -> int:
    """Return the phase of a state: live, success, failure, or settled in another way."""
    if state == "SUCCESS":
        return SUCCESS
    if state == "FAILURE":
        return FAILURE
    return OTHER if state in DOUBTS or rank(state) >= READY_RANK else LIVE


def is_settled(state: str) -> bool:
    """Say whether nothing more is expected of a run: it is ready, or there is named doubt about it."""
    return phase(state) != LIVE


def is_ready(state: str) -> bool:
    """Say whether a run in this state can no longer change.

    These are Celery's ``READY_STATES``, and REJECTED and IGNORED, after which no result follows either.
    """
    return rank(state) >= READY_RANK


def look(state: str) -> State:
    """Return label and tone of any state, custom ones included."""
    return STATES.get(state) or State(LIVE_RANK, state.replace("_", " ").capitalize(), "run")
