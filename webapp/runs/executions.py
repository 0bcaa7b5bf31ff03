"""Tells executions of one task id apart: whoever gives runs ids of their own, such as ``sync-customer-7``, may use one
again every night.

A message that is sent or received after a run has ended, and is neither a retry nor a redelivery, begins a new
execution. Where events do not say that a message was delivered again, as those of workers that are not ours, what it
begins counts as an execution as well: it is one.
"""

from __future__ import annotations

import time
from typing import Final

from webapp.runs.merge import Facts
from webapp.runs.states import IGNORED_RANK, READY_RANK, STORED

ASTRAY: Final = 60.0
"""Seconds by which the clocks of two machines may differ."""
MONTHS: Final = 60 * 86400.0
"""Seconds after which no result is kept any more; one that is older was dated by a clock that is wrong."""


def is_new(known: Facts, news: Facts) -> bool:
    """Say whether what is heard is of a new execution, and not of the one that is known."""
    begun_at = news.get("begun_at")
    if begun_at is None or known["key"][0] < IGNORED_RANK:
        return False
    if "received_at" not in news and "sent_at" not in known:
        # This may be how the known one was sent, by another clock and another way.
        begun_at -= ASTRAY
    if known["key"][3] == "REVOKED" and "sent_at" not in news and known.get("outcome", _NONE)[4] != "expired":
        # Whoever takes the message of a run that was cancelled is heard to receive it before it is dropped.
        return False
    return begun_at > known["key"][1]


_NONE: Final = (0, 0, 0.0, "", "", "")


def is_of_another(known: Facts, news: Facts, renewed_after: float | None) -> bool:
    """Say whether what is heard is of an earlier execution: one that ended at ``renewed_after``, or has left a result
    that is older than the run's start."""
    rank, at, *_ = news["key"]
    if renewed_after is not None and at <= renewed_after:
        return True
    started_at = known.get("started_at")
    if started_at is None or started_at > time.time() + ASTRAY:
        # By a clock that is ahead, against which nothing can be held.
        return False
    return rank >= READY_RANK + STORED and ASTRAY < started_at - at < MONTHS
