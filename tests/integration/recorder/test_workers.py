"""What is known of other apps' workers: two of one name, those that were at work before, those that say nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from celery import Celery

from tests.support import BIN, Stack, wait_until

# About brokers and workers; which database remembers the runs plays no part.
pytestmark = pytest.mark.sqlite_only

APP = """
import os, time
from celery import Celery

app = Celery("{name}", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.task_default_queue = "{name}"
app.conf.worker_prefetch_multiplier = 8
app.conf.broker_transport_options = {{"visibility_timeout": 3600}}

@app.task(name="{name}.work", acks_late=True, ignore_result=True)
def work(seconds=0.0):
    with open("executions", "a") as side:
        side.write(app.current_task.request.id + "\\n")
    time.sleep(seconds)
"""


class Foreign:
    """Workers of other apps, each in a folder of its own, and a client that sends to them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.started: list[subprocess.Popen[bytes]] = []
        self.client = Celery("client", broker=stack.broker_url, set_as_current=False)

    def start(self, name: str, *options: str, hostname: str | None = None) -> subprocess.Popen[bytes]:
        folder = self.folder(name)
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(textwrap.dedent(APP.format(name=name)))
        environ = {k: v for k, v in self.stack.environ.items() if not k.startswith("CELERY_")}
        command = [str(BIN / "celery"), "-A", name, "worker", "-n", hostname or f"{name}@there", "-l", "INFO", *options]
        with (folder / "log").open("ab") as log:
            worker = subprocess.Popen(
                command,
                cwd=folder,
                env=environ | {"BROKER": self.stack.broker_url},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(worker)
        wait_until(lambda: b" ready." in (folder / "log").read_bytes(), f"{name} is ready")
        return worker

    def folder(self, name: str) -> Path:
        return self.stack.folder / name

    def send(self, name: str, seconds: float = 0.0, **options: float) -> str:
        return str(self.client.send_task(f"{name}.work", [seconds], queue=name, **options).id)

    def executions(self, name: str) -> list[str]:
        side = self.folder(name) / "executions"
        return side.read_text().split() if side.exists() else []

    def kill(self) -> None:
        for worker in self.started:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        self.client.close()


@pytest.fixture
def foreign(own_stack: Stack) -> Iterator[Foreign]:
    own_stack.start("redis")
    foreign = Foreign(own_stack)
    yield foreign
    foreign.kill()


READ = "SELECT t.name, w.queues FROM vase_worker_tasks t JOIN vase_workers w ON w.hostname = t.hostname"
READ += " AND w.pid = t.pid WHERE w.online = 1 AND w.hostname = 'celery@twin'"


def known_by_twins(stack: Stack) -> dict[str, list[str]]:
    """Return of each task the queues of the process that knows it."""
    return {name: json.loads(queues or "[]") for name, queues in stack.query(READ.replace("= 1", "= TRUE"))}


@pytest.mark.parametrize("before", [True, False], ids=["before-the-recorder", "after-the-recorder"])
def test_two_workers_of_one_name_are_two(own_stack: Stack, foreign: Foreign, before: bool) -> None:
    """Each task is known with the queue that its own app's worker reads, and the page says that there are two."""
    if not before:
        own_stack.start("recorder")
    for name in ("alpha", "beta"):
        foreign.start(name, "-P", "solo", hostname="celery@twin")
        if not before:
            wait_until(lambda name=name: known_by_twins(own_stack).get(f"{name}.work") == [name], f"{name} is known")
    if before:
        own_stack.start("recorder")
    expected = {"alpha.work": ["alpha"], "beta.work": ["beta"]}
    wait_until(lambda: known_by_twins(own_stack) == expected, "both are known")
    own_stack.start("web")
    assert "are called <b hx-ignore>celery@twin</b>" in own_stack.get("/recording")[1]


def test_what_a_worker_has_at_hand_when_a_recorder_starts_is_shown_whole(own_stack: Stack, foreign: Foreign) -> None:
    foreign.start("shop", "-c", "1", "-E")
    running = foreign.send("shop", 30.0)
    wait_until(lambda: running in foreign.executions("shop"), "it runs")
    reserved, scheduled = foreign.send("shop", 1.5), foreign.send("shop", 2.5, countdown=600)
    log = foreign.folder("shop") / "log"
    wait_until(lambda: log.read_text().count("received") == 3, "the worker has all three")
    own_stack.start("recorder")
    rows = {
        task_id: own_stack.row_once(task_id, worker="shop@there", name="shop.work", queue="shop")
        for task_id in (running, reserved, scheduled)
    }
    assert [rows[task_id]["state"] for task_id in rows] == ["STARTED", "RECEIVED", "RECEIVED"]
    assert [rows[task_id]["args"] for task_id in rows] == ["(30.0,)", "(1.5,)", "(2.5,)"]
    assert (rows[scheduled]["eta"] is not None, rows[reserved]["eta"]) == (True, None)
    began = rows[running]["started_at"]
    assert time.time() - 60 < began < time.time() - 0.5
    assert rows[running]["steps"] is None, "one attempt, which the start tells of"


def test_a_worker_that_cannot_send_events_is_named_with_the_remedy(own_stack: Stack, foreign: Foreign) -> None:
    foreign.start("deaf", "-P", "solo", "--without-gossip", "--without-heartbeat", "--without-mingle")
    # It says nothing by itself, so it is known once all workers were asked who is there, as every recorder does first.
    own_stack.start("recorder")
    notice = "SELECT notice FROM vase_workers WHERE hostname = 'deaf@there'"
    wait_until(lambda: (found := own_stack.query(notice)) and found[0][0], "it is noticed", 60)
    own_stack.start("web")
    assert "Start this one with -E" in own_stack.get("/recording")[1]


def test_what_nobody_heard_while_no_recorder_ran_is_a_gap_with_its_number(own_stack: Stack, foreign: Foreign) -> None:
    own_stack.start("recorder")
    foreign.start("shop", "-P", "solo")
    log = foreign.folder("shop") / "log"
    wait_until(lambda: "enabled by remote" in log.read_text(), "its events are switched on")
    heard = foreign.send("shop")
    own_stack.row_once(heard, state="SUCCESS")
    time.sleep(3)  # its heartbeat tells of it
    own_stack.stop("recorder")
    missed = [foreign.send("shop") for _ in range(7)]
    wait_until(lambda: set(missed) <= set(foreign.executions("shop")), "they have run unheard")
    time.sleep(3)
    own_stack.start("recorder")
    gaps = wait_until(lambda: own_stack.query("SELECT messages, why FROM vase_gaps"), "the gap is noted", 60)
    assert [(messages, "shop@there" in why) for messages, why in gaps] == [(7, True)]


def test_nothing_is_a_gap_where_nothing_was_missed(own_stack: Stack, foreign: Foreign) -> None:
    own_stack.start("recorder")
    foreign.start("shop", "-P", "solo")
    known = "SELECT processed FROM vase_workers WHERE hostname = 'shop@there'"
    wait_until(lambda: own_stack.query(known) == [(0,)], "its heartbeat is heard")
    own_stack.stop("recorder")
    own_stack.start("recorder")
    time.sleep(18)  # longer than the recorder waits for everybody to be heard
    assert own_stack.query("SELECT * FROM vase_gaps") == []


def test_a_worker_that_is_halted_for_long_and_goes_on_runs_everything_once(own_stack: Stack, foreign: Foreign) -> None:
    own_stack.environ["DOUBT_SECONDS"] = "6"
    own_stack.start("recorder")
    worker = foreign.start("shop", "-c", "1", "-E")
    task_ids = [foreign.send("shop", 3.0), *(foreign.send("shop") for _ in range(5))]
    wait_until(lambda: task_ids[0] in foreign.executions("shop"), "the first has begun")
    worker.send_signal(signal.SIGSTOP)
    foreign.start("shop", "-c", "1", hostname="other@there")
    doubted = own_stack.row_once(task_ids[0], state="UNCERTAIN", timeout=60)
    assert "probably gone" in doubted["doubt"]
    time.sleep(10)  # in which nothing is to be given to the other worker
    worker.send_signal(signal.SIGCONT)
    wait_until(lambda: set(task_ids) <= set(foreign.executions("shop")), "all have run")
    time.sleep(3)
    assert sorted(foreign.executions("shop")) == sorted(task_ids)
    assert own_stack.query("SELECT count(*) FROM vase_task_runs WHERE state = 'LOST'") == [(0,)]


def test_a_person_gives_back_what_a_killed_worker_held(own_stack: Stack, foreign: Foreign) -> None:
    own_stack.environ["DOUBT_SECONDS"] = "6"
    own_stack.start("recorder", "web")
    worker = foreign.start("shop", "-c", "1", "-E")
    task_id = foreign.send("shop", 60.0)
    own_stack.row_once(task_id, state="STARTED")
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    own_stack.row_once(task_id, state="UNCERTAIN", timeout=60)
    page = own_stack.get(f"/runs/{task_id}")[1]
    assert "the task runs twice" in page
    assert "given back to its queue by hand" in own_stack.post("/give-back", task_id=task_id)[1]
    foreign.start("shop", "-P", "solo", "-E", hostname="next@there")
    wait_until(lambda: foreign.executions("shop").count(task_id) == 2, "it runs again")
