"""How long a run waited and ran, and the two numbers by which lists are sorted."""

from __future__ import annotations

from typing import Final

from webapp.runs.states import LIVE

NOW_FIRST: Final = 1e12
"""Larger than any duration in seconds: what still waits or runs comes before what is over, the oldest first."""


def wait_time(sent_at: float | None, created_at: float, started_at: float | None) -> float | None:
    """Return seconds from sending to the first start, or None while nobody knows."""
    return None if started_at is None else max(started_at - (sent_at or created_at), 0.0)


def run_time(run_phase: int, state_at: float, started_at: float | None, runtime: float | None) -> float | None:
    """Return seconds that an ended run took: what its worker measured, else from start to end."""
    if runtime is not None:
        return runtime
    return None if started_at is None or run_phase == LIVE else max(state_at - started_at, 0.0)


def run_order(run_phase: int, state_at: float, started_at: float | None, runtime: float | None) -> float | None:
    """Return what to sort by, descending, for the longest running first; None for what never ran."""
    if started_at is not None and run_phase == LIVE:
        return NOW_FIRST - started_at
    return run_time(run_phase, state_at, started_at, runtime)


def wait_order(run_phase: int, sent_at: float | None, created_at: float, started_at: float | None) -> float | None:
    """Return what to sort by, descending, for the longest waiting first; None for what ended before it began."""
    if started_at is None and run_phase == LIVE:
        return NOW_FIRST - (sent_at or created_at)
    return wait_time(sent_at, created_at, started_at)
