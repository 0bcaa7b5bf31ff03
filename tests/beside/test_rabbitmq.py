"""An app on RabbitMQ: nothing is declared anew, and a connection that was closed is opened."""

from __future__ import annotations

import json
import re

import pytest

from tests import rabbitmq
from tests.beside.harness import Foreign
from tests.support import wait_until

pytestmark = pytest.mark.rabbitmq

QUEUES = {
    "classic": {},
    "quorum": {"x-queue-type": "quorum"},
    "priority": {"x-max-priority": 10},
}


def submit(foreign: Foreign, number: int) -> None:
    """Submit a task from Vase's page; without Vase, from the app itself."""
    if not foreign.watched:
        foreign.run(f"work.delay({number})")
        return
    wait_until(lambda: "shop.work" in foreign.vase.get("/tasks")[1], "the worker has told of its tasks")
    call = json.dumps({"args": [number], "kwargs": {}})
    status, page = foreign.vase.post("/task", name="shop.work", mode="raw", raw=call)
    assert status == 200, re.sub(r"\s+", " ", page)[:2000]


@pytest.mark.parametrize(
    "kind", ["quorum", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("classic", "priority"))]
)
def test_a_queue_that_is_declared_in_its_own_way_takes_submissions(foreign: Foreign, kind: str) -> None:
    queues = {"orders": {"exchange": "orders", "routing_key": "orders", "queue_arguments": QUEUES[kind]}}
    foreign.configure({"task_queues": queues, "task_default_queue": "orders"})
    foreign.watch()
    foreign.worker("-c", "2")
    foreign.run("for number in range(20): work.delay(number)")
    submit(foreign, 20)
    foreign.wait_for(21)
    foreign.wait_for_states(SUCCESS=21)
    assert set(foreign.counts().values()) == {1}


def test_a_connection_that_the_broker_closed_is_opened_anew(foreign: Foreign) -> None:
    foreign.watch()
    foreign.worker("-c", "2", "-E")
    foreign.run("for number in range(5): forgotten.delay(number)")
    foreign.wait_for(5)
    foreign.wait_for_states(SUCCESS=5)
    host = foreign.broker.rpartition("/")[2]
    rabbitmq.server().control("close_all_connections", "--vhost", host, "a test")
    foreign.pause(8)
    foreign.run("for number in range(5, 10): forgotten.delay(number)")
    foreign.wait_for(10)
    foreign.wait_for_states(SUCCESS=10)
    submit(foreign, 10)
    foreign.wait_for(11)
    assert set(foreign.counts().values()) == {1}


def test_while_rabbitmq_is_short_of_memory_submissions_wait_and_then_run_once(foreign: Foreign) -> None:
    foreign.watch()
    foreign.worker("-c", "2")
    submit(foreign, 0)
    foreign.wait_for(1)
    if foreign.watched:
        rabbitmq.server().control("set_vm_memory_high_watermark", "0.00001")
    try:
        for number in (1, 2, 3):
            submit(foreign, number)
        if foreign.watched:
            assert foreign.vase.get("/health")[0] == 200
            foreign.pause(12)
            assert (
                "did not confirm" in foreign.vase.query("SELECT publish_error FROM vase_task_runs ORDER BY id")[-1][0]
            )
    finally:
        rabbitmq.server().control("set_vm_memory_high_watermark", "0.4")
    foreign.wait_for(4)
    foreign.pause(10)
    assert set(foreign.counts().values()) == {1}


def test_a_user_who_may_not_hear_events_is_said(foreign: Foreign) -> None:
    host = foreign.broker.rpartition("/")[2]
    name, server = f"deaf-{host}", rabbitmq.server()
    server.control("add_user", name, "secret")
    server.control("set_permissions", "--vhost", host, name, "^$", "^celery$", "^celery$")
    foreign.vase.environ["CELERY_BROKER_URL"] = f"amqp://{name}:secret@127.0.0.1:{server.port}/{host}"
    if foreign.watched:
        foreign.vase.migrate()
        foreign.vase.launch("recorder")
        said = wait_until(lambda: foreign.vase.query("SELECT why FROM vase_gaps"), "it is said")
        assert "may not hear the workers' events" in said[0][0]
    foreign.worker("-c", "1")
    foreign.run("work.delay(1)")
    foreign.wait_for(1)


@pytest.mark.slow
def test_what_a_killed_worker_held_is_given_back_by_rabbitmq_alone(foreign: Foreign) -> None:
    foreign.watch()
    dying = foreign.worker("-c", "1", "-n", "dying@here")
    foreign.run("late.delay(1, 10)")
    foreign.wait_for(1)
    foreign.kill(dying)
    foreign.worker("-c", "1", "-n", "heir@here")
    foreign.wait_for(2)
    foreign.wait_for_states(SUCCESS=1)
    assert foreign.counts() == {"late(1,)": 2}


def test_a_submission_whose_queue_was_deleted_is_not_left_pending(foreign: Foreign) -> None:
    foreign.comparable = False
    foreign.watch()
    worker = foreign.worker("-c", "1")
    submit(foreign, 1)
    foreign.wait_for(1)
    if foreign.watched:
        foreign.wait_for_states(SUCCESS=1)
        foreign.kill(worker)
        submit(foreign, 2)
        rabbitmq.server().control("delete_queue", "--vhost", foreign.broker.rpartition("/")[2], "celery")
        foreign.wait_for_states(SUCCESS=1, UNCERTAIN=1)
