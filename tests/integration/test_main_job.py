"""Start a run, by form, shell, terminal or another Celery client, and read its end from the dashboard."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest

from tests.support import Stack, wait_until


def submit(stack: Stack, x: str, y: str) -> str:
    """Send the form as a browser without JavaScript does and return the page that follows."""
    body = urllib.parse.urlencode({"x": x, "y": y}).encode()
    with urllib.request.urlopen(f"{stack.url}/runs", body, timeout=20) as answer:
        return answer.read().decode()


def page(stack: Stack, path: str) -> str:
    with urllib.request.urlopen(stack.url + path, timeout=20) as answer:
        return answer.read().decode()


def ended(stack: Stack, args: str) -> dict[str, Any]:
    """Wait until the newest run with these arguments has ended and its whole result is kept; return the row."""
    columns = "task_id name state args result exception traceback worker queue outcome_exact retries steps".split()
    where = "WHERE args = ? AND phase > 0 AND outcome_exact = 1 ORDER BY id DESC LIMIT 1"

    def row() -> tuple[Any, ...] | None:
        found = stack.query(f"SELECT {', '.join(columns)} FROM vase_task_runs {where}", args)
        return found[0] if found else None

    return dict(zip(columns, wait_until(row, f"{args} has ended"), strict=True))


def test_a_division_from_the_form_ends_in_its_quotient(stack: Stack) -> None:
    assert "divide" in submit(stack, "1", "8")
    row = ended(stack, "[1, 8]")
    assert (row["state"], row["result"], row["queue"]) == ("SUCCESS", "0.125", "vase")


def test_a_division_by_zero_ends_in_its_exception_and_traceback(stack: Stack) -> None:
    submit(stack, "1", "0")
    row = ended(stack, "[1, 0]")
    assert (row["state"], row["exception"]) == ("FAILURE", "ZeroDivisionError('division by zero')")
    text = page(stack, f"/runs/{row['task_id']}")
    assert "ZeroDivisionError(&#39;division by zero&#39;)" in text
    assert "Traceback (most recent call last)" in text


def test_the_shell_session_of_the_readme_works(stack: Stack) -> None:
    session = """
task = divide.delay(1, 2)
print("first", task.state, task.result)
print("value", task.get(timeout=30))
print("then", task.state, task.result, AsyncResult(task.id).state)
print("names", celery.main, db.__class__.__name__)
"""
    said = stack.run("flask", "--app", "app", "shell", input=session).stdout
    assert "first PENDING None" in said
    assert "then SUCCESS 0.5 SUCCESS" in said
    assert "names webapp SQLAlchemy" in said


def test_a_run_started_from_the_shell_is_in_the_dashboard(stack: Stack) -> None:
    stack.run("flask", "--app", "app", "shell", input="divide.delay(31, 4)\n")
    row = ended(stack, "[31, 4]")
    assert (row["state"], row["result"]) == ("SUCCESS", "7.75")


@pytest.mark.parametrize(("command", "said"), [("inspect ping", "pong"), ("status", "1 node online")])
def test_celery_commands_find_the_app_and_its_worker(stack: Stack, command: str, said: str) -> None:
    assert said in stack.run("celery", "-A", "celery_worker", *command.split()).stdout


def test_progress_reaches_the_row_while_the_task_runs(stack: Stack) -> None:
    # It runs for much longer than the command takes to end on a busy machine.
    pairs = [[n, 2] for n in range(30)]
    started = stack.run("flask", "--app", "app", "run-task", "divide_many", json.dumps(pairs), "0.5")
    task_id = started.stdout.strip()
    query = "SELECT state, progress_current, progress_total FROM vase_task_runs WHERE task_id = ?"

    def halfway() -> bool:
        ((state, current, total),) = stack.query(query, task_id)
        return state == "PROGRESS" and 0 < current < total == 30

    wait_until(halfway, "the row tells the progress")
    assert re.search(r'<progress value="[\d.]+" max="30', page(stack, f"/runs/{task_id}"))


def test_each_attempt_of_a_retried_run_is_told(stack: Stack) -> None:
    arguments = ["unreliable_divide", "9", "4", "1.0"]
    task_id = stack.run("flask", "--app", "app", "run-task", *arguments).stdout.strip()
    query = "SELECT steps FROM vase_task_runs WHERE task_id = ?"
    wait_until(lambda: (stack.query(query, task_id)[0][0] or "").count("retried") >= 2, "two attempts have failed")
    text = page(stack, f"/runs/{task_id}")
    assert "Attempt 1 failed" in text
    assert "Attempt 2 started" in text
    assert "The line dropped on attempt 1" in text


def test_run_task_follows_a_run_to_its_result(stack: Stack) -> None:
    done = stack.run("flask", "--app", "app", "run-task", "divide", "7", "2", "--wait")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "3.5")
    assert "Success" in done.stderr


def test_run_task_says_by_its_exit_code_that_a_run_failed(stack: Stack) -> None:
    done = stack.run("flask", "--app", "app", "run-task", "webapp.tasks.divide", "7", "0", "--wait")
    assert done.returncode == 1
    assert "ZeroDivisionError: division by zero" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["multiply", "1", "2"], "There is no task 'multiply'"), (["divide", "NaN", "2"], "not a number that JSON")],
)
def test_run_task_refuses_what_cannot_run(stack: Stack, arguments: list[str], said: str) -> None:
    done = stack.run("flask", "--app", "app", "run-task", *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_everything_answers_when_everything_runs(stack: Stack) -> None:
    status, body = stack.get_json("/ready")
    assert (status, body["ok"]) == (200, True)
