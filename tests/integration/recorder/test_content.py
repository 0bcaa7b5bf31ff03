"""Workers of other apps that send events and answer in msgpack, YAML or pickle, beside one Vase."""

from __future__ import annotations

import html
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from celery import Celery

from tests.support import BIN, Stack, wait_until

# Which database remembers the runs plays no part.
pytestmark = pytest.mark.sqlite_only

APP = """
import os
from celery import Celery

spoken = os.environ["SPOKEN"]
app = Celery(spoken, broker=os.environ["BROKER"], backend="disabled://")
app.conf.update(event_serializer=spoken, task_serializer=spoken, accept_content=["json", spoken])
app.conf.task_default_queue = spoken

@app.task(name=spoken + ".pay")
def pay(order):
    return order
"""
SPOKEN = ("msgpack", "yaml", "pickle")


@pytest.fixture(scope="module")
def vase(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Vase beside a worker of each kind."""
    folder = tmp_path_factory.mktemp("content")
    (folder / "speaking.py").write_text(APP)
    stack = Stack(folder)
    stack.migrate()
    workers = []
    try:
        stack.start("redis")
        for spoken in SPOKEN:
            environ = {name: text for name, text in os.environ.items() if not name.startswith("CELERY_")}
            words = f"celery -A speaking worker -E -P solo -n {spoken}@there".split()
            with (folder / f"{spoken}.log").open("wb") as log:
                workers.append(
                    subprocess.Popen(
                        [BIN / words[0], *words[1:]],
                        cwd=folder,
                        env=environ | {"BROKER": stack.broker_url, "SPOKEN": spoken, "C_FORCE_ROOT": "1"},
                        stdout=log,
                        stderr=log,
                    )
                )
        stack.start("recorder", "web")
        yield stack
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        stack.stop_all()


@pytest.mark.parametrize("spoken", ["msgpack", "yaml"])
def test_events_and_answers_are_read(vase: Stack, spoken: str) -> None:
    known = "SELECT 1 FROM vase_worker_tasks WHERE name = ?"
    wait_until(lambda: vase.query(known, f"{spoken}.pay"), "the worker has told its tasks", 60)
    with Celery("client", broker=vase.broker_url, set_as_current=False) as client:
        task_id = str(client.send_task(f"{spoken}.pay", (1,), queue=spoken).id)
    row = vase.row_once(task_id, state="SUCCESS")
    assert (row["name"], row["args"], row["worker"]) == (f"{spoken}.pay", "(1,)", f"{spoken}@there")
    # Of its statistics a worker cannot tell in YAML: Celery's hold a Counter, which PyYAML does not write.
    said = "SELECT queues, notice FROM vase_workers WHERE hostname = ? AND online"
    assert vase.query(said, f"{spoken}@there") == [(f'["{spoken}"]', None)]


def test_pickle_is_refused_once_and_named_with_the_setting_that_admits_it(vase: Stack) -> None:
    said = "SELECT notice FROM vase_workers WHERE hostname = 'pickle@there' AND online"
    wait_until(lambda: all(notice for (notice,) in vase.query(said)) and vase.query(said), "it is noted", 60)
    page = html.unescape(vase.get("/recording")[1])
    assert 'CELERY_ACCEPT_CONTENT=["json", "pickle"]' in page
    assert "Traceback" not in vase.log("recorder")
    assert vase.log("recorder").count("pickle@there: It sends its events as pickle") == 1
