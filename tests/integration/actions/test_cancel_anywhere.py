"""A cancel takes the message back from whatever queue it went back to, of an app that knows nothing of Vase."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from tests.support import BIN, Stack, wait_until

# About brokers and workers; which database remembers the runs plays no part.
pytestmark = pytest.mark.sqlite_only

APP = """
import os, time
from celery import Celery

app = Celery("shop", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.task_default_queue = "x"

@app.task(name="shop.note")
def note(what, seconds=0):
    time.sleep(seconds)
    with open("ran", "a") as file:
        print(what, file=file)

@app.task(name="shop.again", bind=True, max_retries=3)
def again(self, what):
    note(what)
    raise self.retry(countdown=3600)

@app.task(name="shop.all")
def all_of(results):
    note("callback")
"""


CHORD = """
from celery import chord
from shop import all_of, note

print(chord([note.s("one"), note.s("two")])(all_of.s()).id)
"""


class Shop:
    """The other app: a client, and a worker that can be started and stopped in order."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        folder.mkdir()
        (folder / "shop.py").write_text(APP)
        self.folder, self.stack = folder, stack
        self.client = Celery("client", broker=stack.broker_url, set_as_current=False)
        self.client.conf.task_default_queue = "x"
        self.worker: subprocess.Popen[bytes] | None = None
        self.environ = {name: text for name, text in os.environ.items() if not name.startswith("CELERY_")}
        self.environ["BROKER"] = stack.broker_url

    def start(self) -> None:
        command = [str(BIN / "celery"), "-A", "shop", "worker", "-c", "1", "-n", "shop@there", "-E"]
        nothing = subprocess.DEVNULL
        self.worker = subprocess.Popen(command, cwd=self.folder, env=self.environ, stdout=nothing, stderr=nothing)

    def run(self, script: str) -> str:
        command = [str(BIN / "python"), "-c", script]
        return subprocess.run(
            command, cwd=self.folder, env=self.environ, check=True, capture_output=True, text=True
        ).stdout.strip()

    def stop(self) -> None:
        if self.worker:
            self.worker.send_signal(signal.SIGTERM)
            self.worker.wait(timeout=30)
            self.worker = None

    def send(self, name: str, *args: object, **options: object) -> str:
        return str(self.client.send_task(f"shop.{name}", args, **options).id)

    def ran(self) -> list[str]:
        path = self.folder / "ran"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def shop(own_stack: Stack, tmp_path: Path) -> Iterator[Shop]:
    own_stack.environ["DOUBT_SECONDS"] = "4"
    own_stack.start("redis")
    own_stack.start("recorder")
    shop = Shop(own_stack, tmp_path / "shop")
    yield shop
    shop.stop()
    shop.client.close()


def cancel(stack: Stack, *task_ids: str) -> None:
    for task_id in task_ids:
        assert stack.run("flask", "--app", "app", "cancel", task_id).returncode == 0


def test_runs_that_went_back_to_their_queue_are_taken_out_of_it(own_stack: Stack, shop: Shop) -> None:
    broker = redis.Redis(port=own_stack.redis_port)
    shop.start()
    own_stack.row_once(shop.send("note", "first"), state="SUCCESS")
    wait_until(
        lambda: own_stack.query("SELECT queues FROM vase_workers WHERE queues LIKE '%x%'"), "its queues are known"
    )
    # Cancelled while a worker has it, which then stops: its message goes back.
    held = shop.send("note", "held", countdown=3600)
    retried = shop.send("again", "retried")
    own_stack.row_once(held, state="RECEIVED")
    own_stack.row_once(retried, state="RETRY")
    cancel(own_stack, held)
    own_stack.row_once(held, state="REVOKED")
    at_work = shop.send("note", "at-work", 4)
    own_stack.row_once(at_work, state="STARTED")
    received, stays = shop.send("note", "received"), shop.send("note", "stays")
    own_stack.row_once(stays, state="RECEIVED")
    shop.stop()
    wait_until(lambda: broker.llen("x") >= 3, "they went back")
    cancel(own_stack, received, retried)
    for task_id in (received, retried):
        own_stack.row_once(task_id, state="REVOKED")
    wait_until(lambda: broker.llen("x") == 1, "only what was not cancelled is left", 60)
    # A run that an event named after another key than a queue, and that is nowhere, stops no judging.
    with shop.client.events.default_dispatcher() as dispatcher:
        dispatcher.send("task-sent", uuid="nowhere", name="shop.note", queue="unacked_index", args="()", kwargs="{}")
    broker.zadd("unacked_index", {"tag": 4e9})
    lost = own_stack.run("flask", "--app", "app", "run-task", "divide", "1", "2", "--queue", "y").stdout.strip()
    broker.delete("y")
    for task_id in ("nowhere", lost):
        own_stack.row_once(task_id, state="UNCERTAIN", timeout=60)
    assert own_stack.row(stays)["state"] == "RECEIVED"
    shop.start()
    own_stack.row_once(stays, state="SUCCESS")
    assert shop.ran() == ["first", "retried", "at-work", "stays"]


def test_a_part_of_a_chord_that_is_cancelled_in_its_queue_does_not_run_and_the_chord_ends(
    own_stack: Stack, shop: Shop
) -> None:
    callback = shop.run(CHORD)
    broker = redis.Redis(port=own_stack.redis_port)
    task_ids = [json.loads(text)["headers"]["id"] for text in reversed(broker.lrange("x", 0, -1))]
    with shop.client.events.default_dispatcher() as dispatcher:
        for task_id in task_ids:
            dispatcher.send("task-sent", uuid=task_id, name="shop.note", queue="x", args="()", kwargs="{}")
    own_stack.row_once(task_ids[0], state="PENDING")
    cancel(own_stack, task_ids[0])
    wait_until(lambda: b"2000-01-01" in broker.lindex("x", -1), "its message has expired")
    shop.start()
    own_stack.row_once(task_ids[0], state="REVOKED")
    assert "two" in wait_until(shop.ran, "the other part ran")
    wait_until(lambda: broker.exists(f"celery-task-meta-{callback}"), "the chord has ended")
    assert shop.ran() == ["two"]
