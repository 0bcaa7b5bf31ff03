"""Workers that only look dead are left alone: whatever they took runs once, with the recorder as without."""

from __future__ import annotations

import signal

import pytest

from tests.faults.checker import Checker
from tests.faults.conftest import Experiment
from tests.support import wait_until

POOLS = ["prefork", "threads", "solo", "gevent", "eventlet"]


def assert_each_ran_once(checker: Checker, count: int) -> None:
    """Wait for the end of all runs, and say that each began once."""
    wait_until(lambda: checker.states() == {"SUCCESS": count}, "every doubt has been taken back", 90)
    checker.settle()
    assert {len(run.pids) for run in checker.truth().values()} == {1}


@pytest.mark.slow
@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_that_is_halted_and_goes_on_runs_everything_once(experiment: Experiment, pool: str) -> None:
    """Another one stands by, with nothing to do, and is given nothing."""
    checker = experiment(f"SIGSTOP of a {pool} worker for longer than a silence", "redis", "recorder")
    checker.stack.extra["worker"] = ["-P", pool]
    checker.stack.start("worker")
    begun = checker.submit("late", 0, 2.0)
    checker.started(begun)
    checker.submit_many("late", 3)
    checker.submit_many("early", 3)
    checker.stack.send_signal("worker", signal.SIGSTOP)
    checker.stack.start("worker-2")
    wait_until(lambda: checker.states()["UNCERTAIN"], "the worker is doubted", 60)
    checker.stack.send_signal("worker", signal.SIGCONT)
    assert_each_ran_once(checker, 7)


@pytest.mark.slow
def test_a_rolling_restart_runs_everything_once(experiment: Experiment) -> None:
    """A warm shutdown goes on with what has begun while a successor of the same name takes the rest."""
    checker = experiment("a warm shutdown beside a successor of the same name", "redis", "worker", "recorder")
    begun = checker.submit_many("late", 2, 20.0)
    checker.started(*begun)
    checker.submit_many("late", 4)
    checker.submit_many("early", 4)
    checker.stack.extra["worker-3"] = []
    checker.stack.parts["worker"].send_signal(signal.SIGTERM)
    checker.stack.start("worker-3")
    assert_each_ran_once(checker, 10)
    assert "went back" not in checker.stack.log("recorder")
