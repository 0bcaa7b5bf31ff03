"""Two recorders share the work; one of them is killed."""

from __future__ import annotations

import signal

import pytest

from tests.faults import events
from tests.faults.conftest import Experiment


@pytest.mark.slow
def test_two_recorders_of_which_one_is_killed(experiment: Experiment) -> None:
    checker = experiment("two recorders, kill -9 of one in between", "redis", "worker", "recorder", "recorder-2")
    checker.submit_many("late", 30)
    events.flood(checker, 1_000)
    checker.submit_many("failing", 5)
    checker.stack.stop("recorder", number=signal.SIGKILL)
    checker.submit_many("early", 30)
    events.flood(checker, 1_000)
    assert checker.settle() == {"SUCCESS": 2_060, "FAILURE": 5}
