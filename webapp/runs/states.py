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
IGNORED_RANK: Final = 15
READY_RANK: Final = 20
SUCCESS_RANK: Final = 30
STORED: Final = 20
"""Added to the rank of an end that the result backend keeps: where it has one, it is the end, whatever events say."""

# PENDING is what the sender knows, the other live states are what a worker said, so they win against it
# whatever the two clocks show. Among live states time decides. SUCCESS beats the other ready states because
# a result that exists cannot be taken back by a second, failed delivery. IGNORED is no more than that nothing was told
# of an end, so that any other end wins.
STATES: Final[dict[str, State]] = {
    "PENDING": State(PENDING_RANK, "Pending", "wait"),
    "RECEIVED": State(LIVE_RANK, "Received", "wait"),
    "STARTED": State(LIVE_RANK, "Started", "run"),
    "RETRY": State(LIVE_RANK, "Retry", "wait"),
    "SUCCESS": State(SUCCESS_RANK, "Success", "ok"),
    "FAILURE": State(READY_RANK, "Failure", "bad"),
    "REVOKED": State(READY_RANK, "Revoked", "off"),
    "REJECTED": State(READY_RANK, "Rejected", "off"),
    "IGNORED": State(IGNORED_RANK, "Ignored", "off"),
    # Named doubt, said by the recorder and never by Celery. It ranks as live, so that whatever a worker says later
    # takes it back, and counts as settled, so that nobody waits for it.
    "LOST": State(LIVE_RANK, "Lost", "odd"),
    "UNCERTAIN": State(LIVE_RANK, "Uncertain", "odd"),
}
UNREADY: Final = frozenset({"PENDING", "RECEIVED", "STARTED", "RETRY"})
"""Celery's states of a run that has not ended."""
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


def phase(state: str, state_rank: int | None = None) -> int:
    """Return the phase of a state: live, success, failure, or settled in another way.

    ``state_rank`` is that of the observation: a state of the app's own may be an end, which its name does not tell.
    """
    if state == "SUCCESS":
        return SUCCESS
    if state == "FAILURE":
        return FAILURE
    ranked = rank(state) if state_rank is None else state_rank
    return OTHER if state in DOUBTS or ranked >= IGNORED_RANK else LIVE


def phases_of(state: str) -> set[int]:
    """Return the phases that runs in a state may have: one of an app's own may be on the way, or an end."""
    return {phase(state)} if state in STATES else {LIVE, OTHER}


def rank_in_row(state: str, run_phase: int, stored: bool) -> int:
    """Return the rank of the state that a row keeps; ``stored`` says that its outcome is the result backend's."""
    return stored_rank(state) if stored and run_phase != LIVE and state not in DOUBTS else rank(state)


def stored_rank(state: str) -> int:
    """Return the rank of an end that the result backend keeps, be it a state of the app's own."""
    return max(rank(state), READY_RANK) + STORED


def is_settled(run_phase: int) -> bool:
    """Say whether nothing more is expected of a run: it is ready, or there is named doubt about it."""
    return run_phase != LIVE


def is_ready(state: str) -> bool:
    """Say whether a state is one of Celery's ends: ``READY_STATES``, REJECTED and IGNORED."""
    return rank(state) >= IGNORED_RANK


def look(state: str, run_phase: int = LIVE) -> State:
    """Return label and tone of any state, those of an app's own included, which are neither good nor bad as ends."""
    own = State(LIVE_RANK, state.replace("_", " ").capitalize(), "run" if run_phase == LIVE else "off")
    return STATES.get(state) or own
