"""Processes are killed in the middle of their work; nothing that was accepted is lost."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time

import pytest

from tests.faults.checker import Checker
from tests.faults.conftest import Experiment
from tests.support import wait_until


def begin_and_queue(checker: Checker) -> tuple[str, str]:
    """Let a late-acknowledging and an early-acknowledging run of three seconds begin, and more of both wait behind."""
    begun = checker.submit("late", 1, 3.0), checker.submit("early", 2, 3.0)
    for task in ("late", "early", "failing"):
        checker.submit_many(task, 3)
    checker.started(*begun)
    return begun


def assert_only_the_early_run_is_lost(checker: Checker, late: str, early: str) -> None:
    states = checker.settle(90)
    # A message may be lost between the two steps in which a worker takes it; the row says so.
    assert (states.total(), states["LOST"], states["UNCERTAIN"] <= 1) == (11, 1, True)
    assert checker.stack.row(early)["state"] == "LOST"
    assert "is gone" in checker.stack.row(early)["doubt"]
    assert len(checker.truth()[late].pids) == 2


@pytest.mark.slow
def test_a_killed_worker_with_a_successor(experiment: Experiment) -> None:
    tried = "kill -9 of the worker, started again at once"
    # Longer than it takes to notice that a worker is silent, as it is by default.
    checker = experiment(tried, "redis", "worker", "recorder", DOUBT_SECONDS="12")
    begun = begin_and_queue(checker)
    checker.stack.stop("worker", number=signal.SIGKILL)
    checker.stack.start("worker")
    assert_only_the_early_run_is_lost(checker, *begun)


@pytest.mark.slow
def test_a_worker_killed_before_it_said_what_it_took(experiment: Experiment) -> None:
    """The doubt is named, and when Redis gives the message back it runs."""
    tried = "kill -9 of a worker that had not said what it took"
    checker = experiment(tried, "redis", "recorder", DOUBT_SECONDS="4")
    task_id = checker.submit("late", 1)
    take = "import os; from celery_worker import celery; c = celery.connection_for_read(); "
    take += "assert c.default_channel.basic_get('vase'); os.kill(os.getpid(), 9)"
    checker.stack.run("python", "-c", take)
    assert "Redis gives it back" in checker.stack.row_once(task_id, state="UNCERTAIN", timeout=60)["doubt"]
    # As if an hour had passed.
    checker.redis.zadd("unacked_index", dict.fromkeys(checker.redis.zrange("unacked_index", 0, -1), 1.0))
    checker.stack.start("worker")
    checker.stack.row_once(task_id, state="SUCCESS", timeout=60)
    assert checker.settle() == {"SUCCESS": 1}


@pytest.mark.slow
def test_a_killed_worker_without_a_successor(experiment: Experiment) -> None:
    tried = "kill -9 of the worker, started again a minute later"
    checker = experiment(tried, "redis", "worker", "recorder", DOUBT_SECONDS="30")
    begun = begin_and_queue(checker)
    checker.stack.stop("worker", number=signal.SIGKILL)
    wait_until(lambda: "went back to their queues" in checker.stack.log("recorder"), "the messages are given back", 60)
    time.sleep(45)  # long enough for every judgement that could be wrong
    checker.stack.start("worker")
    assert_only_the_early_run_is_lost(checker, *begun)


def test_a_killed_process_of_a_workers_pool(experiment: Experiment) -> None:
    checker = experiment("kill -9 of two of a worker's pool processes", "redis", "worker", "recorder")
    doomed = [checker.submit("late", 1, 30.0), checker.submit("early", 2, 30.0)]
    others = checker.submit_many("late", 4)
    checker.started(*doomed)
    for task_id in doomed:
        os.kill(checker.truth()[task_id].pids[0], signal.SIGKILL)
    states = checker.settle()
    assert (states["FAILURE"], states["SUCCESS"]) == (2, len(others))


PLACES_IN_WEB = ["web-before-commit", "web-after-commit", "web-after-publish"]


def test_a_web_server_killed_around_the_commit(experiment: Experiment) -> None:
    tried = "kill -9 of the web server before and after the commit, and after publishing"
    checker = experiment(tried, "redis", "worker", "recorder", "web", mortal=("web",))
    for place in PLACES_IN_WEB:
        task_id = checker.attempt()
        checker.stack.doom(place)
        with pytest.raises((OSError, http.client.HTTPException)):
            checker.post(task_id)
        assert checker.stack.is_dead(place)
        if place != "web-after-publish":
            # Whoever saw no answer sends the form again. In the other case they give up.
            wait_until(lambda: checker.stack.get_json("/health"), "it is there again")
            checker.post(task_id)
    assert checker.settle() == {"SUCCESS": 3}
    assert [len(run.pids) for run in checker.truth().values()] == [1, 1, 1]


@pytest.mark.slow
def test_a_web_server_killed_again_and_again(experiment: Experiment) -> None:
    checker = experiment("kill -9 of the web server, three times", "redis", "worker", "recorder", "web")
    stop = threading.Event()

    def keep_submitting() -> None:
        while not stop.is_set():
            try:
                checker.post(checker.attempt())
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)

    thread = threading.Thread(target=keep_submitting, daemon=True)
    thread.start()
    for _ in range(3):
        enough = len(checker.accepted) + 5
        wait_until(lambda enough=enough: len(checker.accepted) > enough, "some were accepted")
        checker.stack.stop("web", number=signal.SIGKILL)
        checker.stack.start("web")
    stop.set()
    thread.join()
    checker.settle(90)


def test_a_relay_killed_between_publishing_and_noting_it(experiment: Experiment) -> None:
    checker = experiment("kill -9 of the relay between publish and mark", "redis", "recorder", mortal=("recorder",))
    checker.stack.stop("redis", number=signal.SIGKILL)
    task_ids = checker.submit_many("late", 5)
    assert {checker.stack.row(task_id)["publish_state"] for task_id in task_ids} == {"held"}
    checker.stack.doom("relay-after-publish")
    checker.stack.start("redis", "worker")
    wait_until(lambda: checker.stack.parts["recorder"].poll() is not None, "the recorder is dead")
    assert checker.stack.is_dead("relay-after-publish")
    checker.stack.stop("recorder")
    checker.stack.start("recorder")
    assert checker.settle() == {"SUCCESS": 5}
    assert {len(run.pids) for run in checker.truth().values()} == {1}


@pytest.mark.slow
def test_a_recorder_killed_in_the_middle_of_a_batch(experiment: Experiment) -> None:
    tried = "kill -9 of the recorder in mid-batch, before the commit and before acknowledging"
    checker = experiment(tried, "redis", "worker", "recorder", mortal=("recorder",))
    for place in ("recorder-before-commit", "recorder-before-acknowledging"):
        checker.stack.doom(place)
        checker.submit_many("late", 10)
        checker.submit_many("failing", 2)
        wait_until(lambda: checker.stack.parts["recorder"].poll() is not None, "the recorder is dead")
        assert checker.stack.is_dead(place)
        checker.stack.stop("recorder")
        checker.stack.start("recorder")
    assert checker.settle() == {"SUCCESS": 20, "FAILURE": 4}


@pytest.mark.slow
def test_a_recorder_that_is_killed_leaves_the_messages_of_a_living_worker_alone(experiment: Experiment) -> None:
    checker = experiment("kill -9 of the recorder while runs go on", "redis", "worker", "recorder")
    task_ids = checker.submit_many("late", 2, 5.0)
    checker.started(*task_ids)
    checker.stack.stop("recorder", number=signal.SIGKILL)
    checker.stack.start("recorder")
    assert checker.settle() == {"SUCCESS": 2}
    assert {len(run.pids) for run in checker.truth().values()} == {1}


@pytest.mark.slow
def test_a_worker_killed_after_the_recorder_was_started_anew(experiment: Experiment) -> None:
    """Which messages it has a worker tells each recorder that meets it, since those read no event twice."""
    checker = experiment("kill -9 of a worker that a later recorder asked", "redis", "worker", "recorder")
    begun = checker.submit_many("late", 2, 25.0)
    checker.started(*begun)
    task_ids = [*begun, *checker.submit_many("late", 2)]
    wait_until(lambda: checker.states()["RECEIVED"] == 2, "the worker has taken all, and said so")
    checker.stack.stop("recorder")
    checker.stack.start("recorder")
    time.sleep(10)  # in which it asks
    checker.stack.stop("worker", number=signal.SIGKILL)
    checker.stack.start("worker")
    wait_until(lambda: "4 of its messages went back" in checker.stack.log("recorder"), "all four are given back", 60)
    assert checker.settle(90) == {"SUCCESS": 4}
    assert [len(checker.truth()[task_id].pids) for task_id in task_ids] == [2, 2, 1, 1]


@pytest.mark.slow
def test_runs_that_end_while_no_recorder_runs(experiment: Experiment) -> None:
    """Ours from the stream, and those that others sent too; what the backend has of them has been deleted."""
    checker = experiment("runs that begin and end while no recorder runs", "redis", "worker")
    checker.submit_many("late", 20)
    for _ in range(2):
        checker.accepted.add(checker.app.extensions["celery"].send_task("tests.faults.witness.early", [7]).id)
    wait_until(lambda: sum(bool(run.results) for run in checker.truth().values()) == 22, "all have run unseen")
    time.sleep(0.5)
    checker.redis.delete(*checker.redis.keys("celery-task-meta-*"))
    checker.stack.start("recorder")
    assert checker.settle() == {"SUCCESS": 22}
