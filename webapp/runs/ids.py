"""Numbers for runs that are in order of time: newest first is largest first, and a time is a range of ids.

An id is the microsecond in which a run was made, by the best knowledge when its row was first written, and ten random
bits. Every index ends in it, so every list can be read in order of time, and a page may begin at any id, whether or
not the row is still there.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Final

BITS: Final = 10
LATEST: Final = 9.0e9
"""Seconds since the epoch (year 2255) up to which ids keep the order of time."""


def first_id(at: float) -> int:
    """Return the smallest id of a run made at this time (seconds UTC)."""
    return int(min(max(at, 0.0), LATEST) * 1e6) << BITS


def time_of(id_: int) -> float:
    """Return the time at which a run with this id was made (seconds UTC)."""
    return (id_ >> BITS) / 1e6


def new_id(at: float, taken: Collection[int] = (), crowd: int = 0) -> int:
    """Return an id for a run made at this time, none of those taken.

    ``crowd`` counts how often the ids of that microsecond turned out to be taken in the database: with each time the
    runs are spread over 64 times as long, up to some seconds, whatever number claims to be made in one moment.
    """
    wanted = first_id(at) + random.getrandbits(BITS + 6 * crowd)  # only to tell runs apart
    while wanted in taken:
        wanted += 1
    return wanted
