"""What a page with news costs: the region of 50 runs, whole, while runs change all the time."""

from __future__ import annotations

from bench.common import Figure, against_peer
from bench.rows import change_one, fill
from tests.support import Stack


def measure() -> Figure:
    """Compare a poll that is answered with 50 badges with a constant view."""
    return against_peer("region of 50 badges", 0.3, 200, address, change_one)


def address(stack: Stack) -> str:
    """Fill the list and return the address that a page polls which has seen none of it."""
    fill(stack)
    return "/fragments/runs?v=1s-0"
