"""Nothing is removed by a clock that may be wrong, and no run is lost to one."""

from __future__ import annotations

import time

import pytest
from flask import Flask

from webapp.extensions import db
from webapp.history.writer import write
from webapp.recorder.clock import PATIENCE, Clock
from webapp.recorder.event_facts import facts_of

DAY = 86400.0
NOW = 1_800_000_000.0


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW, 1000.0)


def test_a_clock_that_goes_on_as_time_does_is_believed(clock: Clock) -> None:
    clock.compare(NOW + 5, 1005.0)
    clock.compare(NOW + 10.5, 1010.0, [NOW + 10, NOW - 7200])
    assert clock.is_believed()


@pytest.mark.parametrize("days", [40, -40])
def test_a_clock_that_jumps_is_not_believed_for_a_day(clock: Clock, days: int) -> None:
    clock.compare(NOW + days * DAY, 1005.0)
    assert not clock.is_believed()
    clock.compare(NOW + days * DAY + PATIENCE / 2, 1005.0 + PATIENCE / 2)
    assert not clock.is_believed()
    clock.compare(NOW + days * DAY + PATIENCE, 1005.0 + PATIENCE)
    assert clock.is_believed()


def test_a_clock_that_most_workers_contradict_is_not_believed(clock: Clock) -> None:
    clock.compare(NOW, 1000.0, [NOW - 40 * DAY, NOW - 40 * DAY, NOW])
    assert not clock.is_believed()


def test_one_worker_with_a_wrong_clock_among_others_changes_nothing(clock: Clock) -> None:
    clock.compare(NOW, 1000.0, [0.0, NOW, NOW])
    assert clock.is_believed()


@pytest.mark.parametrize(("age", "believed"), [(0.5, True), (40.0, False)])
def test_a_recorder_that_starts_long_after_the_latest_run_waits_for_a_day(
    app: Flask, age: float, believed: bool
) -> None:
    """Its clock may be ahead, and whatever is younger than it shows would be removed."""
    event = {"type": "task-succeeded", "timestamp": time.time() - age * DAY, "hostname": "w@h"}
    facts = facts_of(event, time.time() - age * DAY, 65536)
    assert facts is not None
    write(db.engine, {"t": facts})
    clock = Clock()
    clock.remember(db.engine)
    assert clock.is_believed() is believed


@pytest.mark.parametrize("at", [0.0, 12.5, 4_102_444_800.0, NOW - 100 * DAY, NOW + 2 * DAY])
def test_what_a_worker_says_by_a_clock_that_is_far_off_is_dated_by_ours(at: float) -> None:
    facts = facts_of({"type": "task-started", "uuid": "t", "timestamp": at, "hostname": "w@h"}, NOW, 65536)
    assert facts is not None
    assert (facts["created_at"], facts["key"][1], facts["started_at"]) == (NOW, NOW, NOW)


@pytest.mark.parametrize("at", [NOW - 7 * DAY, NOW - 1.0, NOW + 7200])
def test_what_is_late_or_by_a_clock_that_is_somewhat_off_keeps_its_time(at: float) -> None:
    facts = facts_of({"type": "task-started", "uuid": "t", "timestamp": at, "hostname": "w@h"}, NOW, 65536)
    assert facts is not None
    assert (facts["created_at"], facts["started_at"]) == (min(at, NOW), at)
