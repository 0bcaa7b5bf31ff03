"""Whatever an app calls its keys and queues: they are read as they are, and nobody is lost meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from tests.beside.harness import Foreign

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "prefix": {
        "broker_transport_options": {"global_keyprefix": "shop:"},
        "result_backend_transport_options": {"global_keyprefix": "shop:"},
    },
    "steps": {"broker_transport_options": {"sep": "|", "priority_steps": [0, 4, 8]}},
    "queue": {"task_default_queue": "x"},
    "topic": {
        "task_default_queue": "orders",
        "task_default_exchange": "shop",
        "task_default_exchange_type": "topic",
        "task_default_routing_key": "shop.orders",
    },
}


QUICK = ("queue", "topic")


@pytest.mark.parametrize(
    "foreign_conf",
    [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in CONFIGURATIONS if name not in QUICK)],
)
def test_a_deploy_in_which_messages_wait_loses_nobody(foreign: Foreign, foreign_conf: str) -> None:
    """The worker stops, twelve messages wait, and for longer than doubt takes nobody reads the queue."""
    foreign.configure(CONFIGURATIONS[foreign_conf])
    foreign.watch()
    old = foreign.worker("-c", "1", "-n", "old@here")
    foreign.run("for number in range(2): late.delay(number)")
    foreign.wait_for(2)
    old.terminate()
    old.wait(30)
    foreign.run("for number in range(2, 14): late.delay(number)")
    foreign.pause(15)
    foreign.check()
    foreign.worker("-c", "2", "-n", "new@here")
    foreign.wait_for(14, 60)
    foreign.wait_for_states(SUCCESS=14)
    assert foreign.counts() == {f"late({number},)": 1 for number in range(14)}


@pytest.mark.parametrize("foreign_conf", ["prefix", pytest.param("topic", marks=pytest.mark.slow)])
def test_what_a_killed_worker_held_comes_back_by_the_broker_alone(foreign: Foreign, foreign_conf: str) -> None:
    """Redis gives it back after the visibility timeout; before that nobody does."""
    foreign.configure(CONFIGURATIONS[foreign_conf])
    foreign.watch()
    dying = foreign.worker("-c", "1", "-n", "dying@here")
    foreign.run("late.delay(1, 3600)")
    foreign.wait_for(1)
    foreign.kill(dying)
    foreign.worker("-c", "1", "-n", "heir@here")
    foreign.pause(20)
    assert foreign.counts() == {"late(1,)": 1}
