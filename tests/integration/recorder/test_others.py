"""Celery clients and workers that know nothing of Vase are recorded all the same, whatever they say."""

from __future__ import annotations

import json
import subprocess
import textwrap
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from tests.support import BIN, ROOT, Stack, wait_until

FOREIGN_APP = """
import os, time
from celery import Celery

app = Celery("shop", broker=os.environ["BROKER"], backend=os.environ["BROKER"])

@app.task(name="shop.pay")
def pay(order, amount=1):
    time.sleep(0.3)
    return {"order": order, "paid": amount}

@app.task(name="shop.long")
def long(size):
    return "x" * size

@app.task(name="shop.hostile")
def hostile(text):
    return {"said": text, "more": "\\x00\\x1b[31m\\u202e<script>alert(1)</script>"}

@app.task(name="shop.fail")
def fail(text):
    raise ValueError(text + "\\x00\\ud800<img src=x onerror=alert(1)>")

@app.task(name="<script>alert(2)</script>")
def evil():
    return "done"
"""


GUIDED_APP = """
import os
from celery import Celery
from webapp.celery_app import describe_tasks
from webapp.worker.events import StreamEvents

app = Celery("mall", broker=os.environ["BROKER"], backend=os.environ["BROKER"], events=StreamEvents)
app.conf.vase_stream_max = 1000
describe_tasks()

@app.task(name="mall.pay")
def pay(order: int, urgent: bool = False):
    "Pay an order."
    return order + urgent
"""


@pytest.fixture(scope="module")
def shop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Celery]:
    """A producer of another app, whose worker was started without -E, with its own queue."""
    folder: Path = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(textwrap.dedent(FOREIGN_APP))
    log = (folder / "worker.log").open("wb")
    command = [str(BIN / "celery"), "-A", "shop", "worker", "-Q", "shop", "-n", "shop@there", "-c", "1", "-l", "INFO"]
    environ = {k: v for k, v in stack.environ.items() if not k.startswith("CELERY_")} | {"BROKER": stack.broker_url}
    worker = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
    log.close()
    known = "SELECT online FROM vase_workers WHERE hostname = 'shop@there'"
    producer = Celery("producer", broker=stack.broker_url, set_as_current=False)
    try:
        wait_until(lambda: stack.query(known) == [(1,)], "the other app's worker is known")
        said = folder / "worker.log"
        wait_until(lambda: "enabled by remote" in said.read_text(errors="replace"), "its events are switched on")
        yield producer
    finally:
        worker.terminate()
        worker.wait(timeout=30)
        producer.close()


def test_an_app_that_follows_the_guide_is_recorded_durably_and_typed(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "mall.py").write_text(GUIDED_APP)
    command = [BIN / "celery", "-A", "mall", "worker", "-E", "-Q", "mall", "-n", "mall@there", "-c", "1"]
    environ = {k: v for k, v in stack.environ.items() if not k.startswith("CELERY_")}
    environ |= {"BROKER": stack.broker_url, "PYTHONPATH": str(ROOT)}
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=log, stderr=log)
    try:
        known = "SELECT durable FROM vase_workers WHERE hostname = 'mall@there'"
        wait_until(lambda: stack.query(known) == [(True,)], "its worker says that it is durable")
        wait_until(lambda: 'name="p.order"' in stack.get("/task?name=mall.pay")[1], "the task is described", 60)
        assert "Pay an order." in stack.get("/task?name=mall.pay")[1]
        call = {"name": "mall.pay", "mode": "fields", "p.order": "4", "p.urgent": "true"}
        url = urllib.parse.urlencode(call).encode()
        with urllib.request.urlopen(f"{stack.url}/task", url, timeout=20) as answer:
            assert ended(stack, answer.url.rpartition("/")[2])[:2] == ("SUCCESS", "5")
    finally:
        worker.terminate()
        worker.wait(timeout=30)


def ended(stack: Stack, task_id: str) -> tuple[str, str, str]:
    query = "SELECT state, result, exception FROM vase_task_runs WHERE task_id = ? AND phase > 0 AND outcome_exact = 1"
    return wait_until(lambda: stack.query(query, task_id), f"{task_id} has ended")[0]


def send(shop: Celery, name: str, *args: object, **kwargs: object) -> str:
    return str(shop.send_task(name, args=args, kwargs=kwargs, queue="shop").id)


def test_a_run_of_another_app_is_recorded_with_its_exact_result(stack: Stack, shop: Celery) -> None:
    state, result, _ = ended(stack, send(shop, "shop.pay", 4211, amount=9.5))
    assert state == "SUCCESS"
    assert json.loads(result) == {"order": 4211, "paid": 9.5}


def test_events_are_switched_on_in_a_worker_that_was_started_without_them(stack: Stack, shop: Celery) -> None:
    task_id = send(shop, "shop.pay", 1)
    query = "SELECT worker, started_at FROM vase_task_runs WHERE task_id = ? AND started_at IS NOT NULL"
    ((worker, _),) = wait_until(lambda: stack.query(query, task_id), "its start was heard")
    assert worker == "shop@there"


def test_a_long_result_is_kept_whole(stack: Stack, shop: Celery) -> None:
    assert ended(stack, send(shop, "shop.long", 10_000))[1] == '"' + "x" * 10_000 + '"'


def test_a_result_beyond_the_limit_is_cut_and_says_so(stack: Stack, shop: Celery) -> None:
    result = ended(stack, send(shop, "shop.long", 1_000_000))[1]
    assert result.endswith("… [cut: 1,000,002 bytes in all]")
    assert len(result) < 70_000


def test_hostile_values_are_kept_and_shown_as_text(stack: Stack, shop: Celery) -> None:
    ids = [
        send(shop, "shop.hostile", "<script>alert(3)</script>\x00\x1b"),
        send(shop, "shop.fail", "</pre><script>alert(4)</script>"),
        send(shop, "<script>alert(2)</script>"),
    ]
    states = [ended(stack, task_id)[0] for task_id in ids]
    assert states == ["SUCCESS", "FAILURE", "SUCCESS"]
    for path in ["/", *(f"/runs/{task_id}" for task_id in ids)]:
        with urllib.request.urlopen(stack.url + path) as answer:
            text = answer.read().decode()
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "\x00" not in text


def test_a_hostile_event_does_not_lose_its_neighbours(stack: Stack, shop: Celery) -> None:
    events = [
        ("task-received", {"uuid": "before", "name": "n"}),
        ("task-received", {"uuid": "\x00\ud800", "name": "\ud800"}),
        ("task-received", {"uuid": "big", "name": "x" * 1_000_000, "args": "y" * 1_000_000}),
        ("task-received", {"uuid": ["no", "text"], "name": {"a": 1}}),
        ("task-started", {"uuid": "strange", "timestamp": "never", "clock": "x", "freq": None}),
        ("nonsense", {}),
        ("task-received", {"uuid": "after", "name": "n"}),
    ]
    with shop.connection_for_write() as connection, shop.events.Dispatcher(connection) as dispatcher:
        for kind, fields in events:
            body = {"type": kind, "hostname": "w@x", "timestamp": 1000.0, "clock": 1} | fields
            dispatcher.producer.publish(
                body, routing_key=kind.replace("-", "."), exchange=dispatcher.exchange, declare=[dispatcher.exchange]
            )
    query = "SELECT count(*) FROM vase_task_runs WHERE task_id IN ('before', 'after', 'big', 'strange')"
    wait_until(lambda: stack.query(query) == [(4,)], "the good rows are there")
