"""Runs that no event told of: they ended before events were switched on, or while nobody listened."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from celery import Celery

from tests.support import BIN, ROOT, Stack, wait_until

APP = """
import os
from celery import Celery

app = Celery("early", broker=os.environ["BROKER"], backend=os.environ["BROKER"])

@app.task(name="early.double")
def double(number):
    return 2 * number
"""


def test_a_run_that_another_apps_worker_found_waiting_when_it_started_is_recorded(stack: Stack, tmp_path: Path) -> None:
    """It has ended before events can be switched on in that worker, which was started without -E."""
    (tmp_path / "early.py").write_text(APP)
    with Celery("client", broker=stack.broker_url, set_as_current=False) as client:
        task_id = str(client.send_task("early.double", [21], queue="early").id)
    environ = {name: text for name, text in os.environ.items() if not name.startswith("CELERY_")}
    command = "celery -A early worker -Q early -n early@there -P solo --without-mingle".split()
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [BIN / command[0], *command[1:]],
            cwd=tmp_path,
            env=environ | {"BROKER": stack.broker_url},
            stdout=log,
            stderr=log,
        )
    try:
        row = stack.row_once(task_id, state="SUCCESS", outcome_exact=1, timeout=60)
        assert row["result"] == "42"
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()


def test_a_recorder_that_was_away_records_what_ended_meanwhile(own_stack: Stack) -> None:
    own_stack.start("redis")
    own_stack.start("worker")
    with Celery("client", broker=own_stack.broker_url, set_as_current=False) as client:
        task_id = str(client.send_task("webapp.tasks.divide", [1, 4], queue="vase").id)
    wait_until(lambda: "succeeded in" in own_stack.log("worker"), "it has run unseen")
    own_stack.start("recorder")
    row = own_stack.row_once(task_id, state="SUCCESS", outcome_exact=1)
    assert (row["name"], row["args"], row["result"]) == ("webapp.tasks.divide", "[1, 4]", "0.25")


def test_two_recorders_make_one_row_of_a_run(own_stack: Stack) -> None:
    own_stack.start("redis")
    own_stack.start("worker", "recorder")
    command = [BIN / "flask", "--app", "app", "record"]
    with (own_stack.folder / "second.log").open("wb") as log:
        second = subprocess.Popen(command, cwd=ROOT, env=own_stack.environ, stdout=log, stderr=log)
    try:
        said = own_stack.folder / "second.log"
        wait_until(lambda: "Recording events." in said.read_text(), "the second recorder listens")
        with Celery("client", broker=own_stack.broker_url, set_as_current=False) as client:
            sent = {str(client.send_task("webapp.tasks.divide", [n, 2], queue="vase").id) for n in range(20)}
        count = (
            "SELECT count(*), count(DISTINCT task_id) FROM vase_task_runs WHERE state = 'SUCCESS' AND outcome_exact = 1"
        )
        wait_until(lambda: own_stack.query(count) == [(len(sent), len(sent))], "each run has its one row")
        own_stack.stop("recorder")
        assert "Unforeseen" not in said.read_text()
    finally:
        second.send_signal(signal.SIGTERM)
        assert second.wait(timeout=20) == 0
