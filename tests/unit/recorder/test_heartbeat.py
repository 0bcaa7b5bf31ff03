"""Signs of life: recorders write them side by side."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import select

from webapp.extensions import db
from webapp.history.queries import workers
from webapp.recorder.heartbeat import write_heartbeat
from webapp.recorder.worker_registry import WorkerRegistry


def heard(hostnames: list[str]) -> WorkerRegistry:
    """Return the workers that a recorder has heard, in this order."""
    found = WorkerRegistry()
    for hostname in hostnames:
        found.hear({"type": "worker-heartbeat", "hostname": hostname, "freq": 2, "timestamp": time.time()}, time.time())
    return found


@pytest.mark.parametrize("turn", range(5))
def test_recorders_that_hear_the_same_workers_at_once_write_each_once(app: Flask, turn: int) -> None:
    """Each hears them in an order of its own, which must not make them wait for each other."""
    hostnames = [f"celery@{turn}-{number}" for number in range(20)]
    engine = db.engine
    with ThreadPoolExecutor(4) as threads:
        orders = [hostnames, hostnames[::-1], hostnames[10:] + hostnames[:10], sorted(hostnames)]
        list(threads.map(lambda order: write_heartbeat(engine, heard(order), None), orders * 3))
    with engine.connect() as connection:
        assert set(connection.execute(select(workers.c.hostname)).scalars()) == set(hostnames)


def test_a_worker_that_answered_before_it_was_heard_is_written_once(app: Flask) -> None:
    found, engine = WorkerRegistry(), db.engine
    found.answered("celery@one", time.time(), 360)
    write_heartbeat(engine, found, None)
    found.hear({"type": "worker-heartbeat", "hostname": "celery@one", "pid": 7}, time.time())
    write_heartbeat(engine, found, None)
    with engine.connect() as connection:
        assert connection.execute(select(workers.c.pid)).scalars().all() == [7]
