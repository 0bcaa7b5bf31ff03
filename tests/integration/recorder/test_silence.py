"""Connections that are silent and not closed, a broker that hangs: what is dead is found out, and nothing else is
called dead."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from tests.firewall import Firewall
from tests.support import BIN, Stack, wait_until

# About brokers and workers; which database remembers the runs plays no part.
pytestmark = pytest.mark.sqlite_only

FOREIGN = """
import os
from celery import Celery

app = Celery("shop", broker=os.environ["BROKER"], backend="disabled://")

@app.task(name="shop.pay")
def pay(order):
    return order
"""
FOUND_OUT = 45.0
"""Seconds in which a dead connection is found out; thirty are promised, the rest is for a busy machine."""


def reply_lists(stack: Stack) -> list[bytes]:
    return list(redis.Redis.from_url(stack.broker_url).scan_iter("*.reply.*"))


def heartbeat(stack: Stack) -> float:
    return float(stack.query("SELECT max(beat_at) FROM vase_recorders")[0][0])


@pytest.fixture
def firewall(own_stack: Stack) -> Iterator[Firewall]:
    """A firewall between all of Vase and its Redis."""
    own_stack.start("redis")
    wall = Firewall(own_stack.redis_port)
    own_stack.environ["CELERY_BROKER_URL"] = f"redis://127.0.0.1:{wall.port}/0"
    yield wall
    own_stack.stop_all()
    wall.close()


@pytest.fixture
def shop(own_stack: Stack, tmp_path: Path, firewall: Firewall) -> Iterator[Celery]:
    """A client of another app, whose worker runs and reaches Redis past the firewall; it stores no results."""
    (tmp_path / "shop.py").write_text(FOREIGN)
    environ = {name: text for name, text in os.environ.items() if not name.startswith("CELERY_")}
    words = "celery -A shop worker -E -Q shop -n shop@there -P solo".split()
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [BIN / words[0], *words[1:]],
            cwd=tmp_path,
            env=environ | {"BROKER": own_stack.broker_url},
            stdout=log,
            stderr=log,
        )
    try:
        with Celery("client", broker=own_stack.broker_url, set_as_current=False) as client:
            yield client
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()


def test_a_recorder_whose_connections_were_forgotten_hears_again_and_names_the_gap(
    own_stack: Stack, shop: Celery, firewall: Firewall
) -> None:
    own_stack.start("recorder")
    first = str(shop.send_task("shop.pay", [1], queue="shop").id)
    own_stack.row_once(first, state="SUCCESS", timeout=60)
    assert firewall.forget() > 0
    wait_until(lambda: own_stack.query("SELECT 1 FROM vase_gaps"), "the gap is noted", FOUND_OUT)
    second = str(shop.send_task("shop.pay", [2], queue="shop").id)
    # No result is stored, so that events alone can tell.
    own_stack.row_once(second, state="SUCCESS")
    ((began_at, ended_at, why),) = own_stack.query("SELECT began_at, ended_at, why FROM vase_gaps")
    assert began_at < ended_at
    assert "silent" in why
    assert "Traceback" not in own_stack.log("recorder")


def test_a_stream_whose_connection_was_forgotten_is_read_on_without_a_gap(own_stack: Stack, firewall: Firewall) -> None:
    own_stack.start("recorder", "web")
    assert firewall.forget() > 0
    own_stack.environ["CELERY_BROKER_URL"] = own_stack.broker_url
    own_stack.start("worker")
    with Celery("client", broker=own_stack.broker_url, set_as_current=False) as client:
        task_id = str(client.send_task("webapp.tasks.divide", [1, 4], queue="vase").id)
    assert own_stack.row_once(task_id, state="SUCCESS", timeout=FOUND_OUT)["started_at"]
    assert own_stack.query("SELECT 1 FROM vase_gaps") == []


def test_a_recorder_beside_a_broker_that_hangs_is_not_called_dead(own_stack: Stack) -> None:
    own_stack.start("redis")
    own_stack.start("recorder", "web")
    wait_until(lambda: own_stack.get_json("/ready")[1]["checks"]["broker"]["ok"], "the broker is there")
    os.kill(own_stack.parts["redis"].pid, signal.SIGSTOP)
    try:
        said = "SELECT 1 FROM vase_recorders WHERE NOT broker_ok"
        wait_until(lambda: own_stack.query(said), "the recorder has noticed")
        for _ in range(3):
            before = heartbeat(own_stack)
            wait_until(lambda before=before: heartbeat(own_stack) > before, "the heart beats", timeout=8)
        status, body = own_stack.get_json("/ready")
        assert (status, body["checks"]["recorder"]["ok"], body["checks"]["broker"]["ok"]) == (503, True, False)
    finally:
        os.kill(own_stack.parts["redis"].pid, signal.SIGCONT)
    wait_until(lambda: own_stack.get_json("/ready")[1]["checks"]["broker"]["ok"], "the broker is back")


def test_probes_ask_no_worker_and_leave_nothing_in_redis(stack: Stack) -> None:
    wait_until(lambda: stack.get_json("/ready")[0] == 200, "everything is ready")
    wait_until(lambda: not reply_lists(stack), "the recorder has put away what workers answered it late", 60)
    broker = redis.Redis.from_url(stack.broker_url)
    broker.config_resetstat()
    for _ in range(50):
        status, body = stack.get_json("/ready")
        assert (status, body["checks"]["broker"]["detail"]) == (200, "redis answers")
    # Nobody has connected anew for it: web has its connections, and the client of this test has one.
    assert broker.info("stats")["total_connections_received"] <= 4
    # The recorder may ask workers something of its own meanwhile, and puts it away.
    wait_until(lambda: reply_lists(stack) == [], "nothing is left behind", 60)


def test_a_deleted_database_file_takes_no_run(own_stack: Stack) -> None:
    own_stack.start("redis")
    own_stack.start("recorder", "web")
    assert own_stack.submit("1", "2")[0] == 200
    file = Path(own_stack.database_url.removeprefix("sqlite:///"))
    kept = file.rename(file.with_suffix(".kept"))
    status, page = own_stack.submit("1", "3")
    assert (status, "The database does not answer" in page) == (503, True)
    status, body = own_stack.get_json("/ready")
    assert (status, body["checks"]["database"]["ok"]) == (503, False)
    assert "there is no file" in body["checks"]["database"]["detail"]
    assert not file.exists()
    kept.rename(file)
    wait_until(lambda: own_stack.submit("1", "4")[0] == 200, "the file that was put back is used")
    assert [row[0] for row in own_stack.query("SELECT args FROM vase_task_runs ORDER BY id")] == ["[1, 2]", "[1, 4]"]


def test_a_recorder_at_rest_lets_redis_rest(own_stack: Stack) -> None:
    """What is promised is measured by ``python -m bench broker_load``; here a tenth of a minute has to do."""
    own_stack.start("redis")
    own_stack.start("recorder")
    wait_until(lambda: own_stack.query("SELECT 1 FROM vase_recorders WHERE broker_ok"), "the recorder has settled")
    broker = redis.Redis.from_url(own_stack.broker_url)
    time.sleep(20)  # each thread has connected by then, and judged once
    before = broker.info("stats")
    time.sleep(12)
    after = broker.info("stats")
    assert after["total_connections_received"] == before["total_connections_received"]
    assert after["total_commands_processed"] - before["total_commands_processed"] <= 60
