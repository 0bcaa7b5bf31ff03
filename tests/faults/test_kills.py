"""Processes are killed in the middle of their work; nothing that was accepted is lost."""

from __future__ import annotations

import http.client
import signal
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Stack, wait_until


def submit(stack: Stack, x: str, y: str) -> str:
    """Send the form as a browser without JavaScript does and return the page that follows."""
    body = urllib.parse.urlencode({"x": x, "y": y}).encode()
    with urllib.request.urlopen(stack.url + "/runs", body, timeout=20) as answer:
        return answer.read().decode()


def states(stack: Stack) -> list[tuple[str, str]]:
    """Return the arguments and the state of every run, oldest first."""
    return [(args, state) for args, state in stack.query("SELECT args, state FROM task_runs ORDER BY id")]


def executions(stack: Stack) -> int:
    """Return how many times workers of this stack finished a task well."""
    logs = [path.read_text(errors="replace") for path in stack.folder.glob("worker*.log")]
    return sum(log.count("succeeded in") for log in logs)


@pytest.fixture
def busy_stack(tmp_path: Path) -> Iterator[Stack]:
    """A Vase in which a division of two seconds, long enough to be killed in, has just started."""
    stack = Stack(tmp_path, DIVIDE_SECONDS="2")
    stack.migrate()
    try:
        stack.start("redis")
        stack.start("worker", "recorder", "web")
        submit(stack, "1", "2")
        wait_until(lambda: states(stack) == [("[1, 2]", "STARTED")], "the run has started")
        yield stack
    finally:
        stack.stop_all()


def test_a_run_whose_worker_is_killed_runs_again_on_its_successor(busy_stack: Stack) -> None:
    busy_stack.stop("worker", number=signal.SIGKILL)
    busy_stack.start("worker")
    wait_until(lambda: states(busy_stack) == [("[1, 2]", "SUCCESS")], "the run has ended well", 60)


def test_a_run_whose_only_worker_is_killed_waits_for_the_next_one(busy_stack: Stack) -> None:
    busy_stack.stop("worker", number=signal.SIGKILL)
    wait_until(lambda: "went back to their queues" in busy_stack.log("recorder"), "the message is given back", 60)
    busy_stack.start("worker")
    wait_until(lambda: states(busy_stack) == [("[1, 2]", "SUCCESS")], "the run has ended well", 60)


def test_a_worker_that_lives_keeps_its_messages(busy_stack: Stack) -> None:
    busy_stack.stop("recorder", number=signal.SIGKILL)
    busy_stack.start("recorder")
    wait_until(lambda: states(busy_stack) == [("[1, 2]", "SUCCESS")], "the run has ended well", 60)
    assert executions(busy_stack) == 1


def test_what_ends_while_no_recorder_runs_is_recorded_by_the_next(own_stack: Stack) -> None:
    own_stack.start("redis")
    own_stack.start("worker", "recorder", "web")
    for x in range(20):
        submit(own_stack, str(x), "2")
    own_stack.stop("recorder", number=signal.SIGKILL)
    wait_until(lambda: executions(own_stack) == 20, "all have run unseen")
    own_stack.start("recorder")
    wanted = [(f"[{x}, 2]", "SUCCESS") for x in range(20)]
    wait_until(lambda: states(own_stack) == wanted, "all ends are known")


def test_what_others_sent_and_ran_while_no_recorder_ran_is_found_by_the_next(own_stack: Stack) -> None:
    own_stack.start("redis")
    own_stack.start("worker")
    own_stack.run("flask", "--app", "app", "shell", input="divide.delay(7, 2); divide.delay(7, 0)\n")
    wait_until(lambda: executions(own_stack) == 1 and "ZeroDivisionError" in own_stack.log("worker"), "both have run")
    own_stack.start("recorder")
    wanted = [("[7, 0]", "FAILURE"), ("[7, 2]", "SUCCESS")]
    wait_until(lambda: sorted(states(own_stack)) == wanted, "both are known")


def test_every_answered_submission_survives_kills_of_the_web_server(own_stack: Stack) -> None:
    own_stack.start("redis")
    own_stack.start("worker", "recorder", "web")
    accepted: list[int] = []
    stop = threading.Event()

    def keep_submitting() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                submit(own_stack, str(number), "3")
                accepted.append(number)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)

    thread = threading.Thread(target=keep_submitting, daemon=True)
    thread.start()
    for _ in range(3):
        before = len(accepted)
        wait_until(lambda before=before: len(accepted) > before + 5, "some were accepted")
        own_stack.stop("web", number=signal.SIGKILL)
        own_stack.start("web")
    stop.set()
    thread.join()

    def all_ended() -> bool:
        return {state for _, state in states(own_stack)} == {"SUCCESS"}

    wait_until(all_ended, "every row has run, those whose sender was killed before it could answer as well", 90)
    assert {f"[{n}, 3]" for n in accepted} <= {args for args, _ in states(own_stack)}


def test_pages_stay_readable_and_runs_go_on_over_a_redis_restart(own_stack: Stack) -> None:
    own_stack.start("redis")
    own_stack.start("worker", "recorder", "web")
    submit(own_stack, "1", "2")
    own_stack.stop("redis", number=signal.SIGKILL)
    page = submit(own_stack, "3", "4")
    assert "Waiting for the broker" in page
    own_stack.start("redis")
    wanted = [("[1, 2]", "SUCCESS"), ("[3, 4]", "SUCCESS")]

    def all_ended() -> bool:
        # A Celery worker that loses Redis in the middle of a task may end with "Unrecoverable error".
        own_stack.revive("worker")
        return states(own_stack) == wanted

    wait_until(all_ended, "both have ended", 90)
