"""Whatever runs the tasks, and however long it is mute: each is executed once, beside Vase as without."""

from __future__ import annotations

import pytest

from tests.beside.harness import Foreign

POOLS = ["prefork", "solo", "gevent", *(pytest.param(pool, marks=pytest.mark.slow) for pool in ("threads", "eventlet"))]


def once(name: str, number: int) -> dict[str, int]:
    return {f"{name}({each},)": 1 for each in range(number)}


def test_forty_tasks_in_celerys_own_queue_run_in_their_own_worker(foreign: Foreign) -> None:
    foreign.watch()
    foreign.worker("-c", "2")
    foreign.run("for number in range(40): work.delay(number)")
    foreign.wait_for(40)
    foreign.wait_for_states(SUCCESS=40)
    assert foreign.counts() == once("work", 40)


@pytest.mark.parametrize("pool", POOLS)
def test_a_pool_that_computes_for_long_begins_each_task_once(foreign: Foreign, pool: str) -> None:
    """In a gevent, eventlet or solo pool the worker says nothing meanwhile, as if it were dead."""
    foreign.watch()
    foreign.worker("-P", pool, "-c", "2")
    foreign.run("for number in range(3): compute.delay(number, 12)")
    foreign.wait_for(3, 90)
    foreign.wait_for_states(SUCCESS=3, timeout=90)
    assert foreign.counts() == once("compute", 3)


@pytest.mark.slow
def test_threads_that_hold_the_interpreter_begin_each_task_once(foreign: Foreign) -> None:
    foreign.watch()
    foreign.worker("-P", "threads", "-c", "2")
    foreign.run("for number in range(4): hold.delay(number)")
    foreign.wait_for(4, 180)
    foreign.wait_for_states(SUCCESS=4, timeout=180)
    assert foreign.counts() == once("hold", 4)


@pytest.mark.parametrize(
    "pool", ["solo", *(pytest.param(pool, marks=pytest.mark.slow) for pool in ("prefork", "threads"))]
)
def test_a_worker_that_stands_still_for_long_goes_on_with_what_it_has(foreign: Foreign, pool: str) -> None:
    foreign.watch()
    worker = foreign.worker("-P", pool, "-c", "2")
    foreign.run("for number in range(6): late.delay(number, 3)")
    foreign.wait_for(1)
    foreign.freeze(worker)
    foreign.pause(30)
    # Another worker would take what was given back.
    foreign.worker("-P", pool, "-c", "2", "-n", "other@%h")
    foreign.pause(5)
    foreign.thaw(worker)
    foreign.wait_for(6, 90)
    foreign.wait_for_states(SUCCESS=6, timeout=90)
    assert foreign.counts() == once("late", 6)


def test_two_workers_of_one_name_are_no_proof_of_anything(foreign: Foreign) -> None:
    foreign.watch()
    for _ in range(2):
        foreign.worker("-c", "1", "-n", "same@here")
    foreign.run("for number in range(8): late.delay(number, 4)")
    foreign.wait_for(8, 90)
    foreign.wait_for_states(SUCCESS=8, timeout=90)
    assert foreign.counts() == once("late", 8)


@pytest.mark.slow
def test_a_rolling_restart_begins_each_task_once(foreign: Foreign) -> None:
    """The successor has the name of the worker that still ends its tasks, as in a deploy."""
    foreign.watch()
    old = foreign.worker("-c", "2", "-n", "same@here")
    foreign.run("for number in range(6): late.delay(number, 15)")
    foreign.wait_for(2)
    old.terminate()
    foreign.worker("-c", "2", "-n", "same@here")
    foreign.wait_for(6, 120)
    foreign.wait_for_states(SUCCESS=6, timeout=120)
    assert foreign.counts() == once("late", 6)


def test_retries_that_wait_for_their_time_are_not_sent_once_more(foreign: Foreign) -> None:
    foreign.watch()
    foreign.worker("-c", "2")
    foreign.run("for number in range(5): flaky.delay(number, 10)")
    foreign.wait_for(5)
    if foreign.watched:
        foreign.vase.stop("recorder")
        foreign.vase.start("recorder")
    foreign.wait_for_states(SUCCESS=5, timeout=90)
    foreign.wait_for(15, 90)
    assert set(foreign.counts().values()) == {1}
