"""A task goes where a live worker that knows it takes messages from, from whichever door it is started."""

from __future__ import annotations

import json

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert, select, update

from webapp.actions import bulk
from webapp.extensions import db
from webapp.history.models import WorkerTask
from webapp.history.queries import runs, workers
from webapp.outbox.destinations import with_queue

FOREIGN = "shop.pay"


def worker(name: str, queues: list[str], pid: int = 1, online: bool = True) -> None:
    """A worker process that knows one task."""
    with db.engine.begin() as connection:
        about = {"hostname": "celery@shop", "pid": pid}
        row = {**about, "seen_at": 1.0, "online": online, "durable": False, "queues": json.dumps(queues)}
        connection.execute(insert(workers).values(**row))
        connection.execute(insert(WorkerTask.__table__).values(**about, name=name))


def queue_of_new_run(app: Flask, name: str, **options: str) -> str | None:
    with db.engine.connect() as connection:
        return with_queue(app, connection, name, options).get("queue")


def test_a_task_goes_where_its_worker_reads(app: Flask) -> None:
    worker(FOREIGN, ["money", "mail"])
    assert queue_of_new_run(app, FOREIGN) == "money"


def test_of_several_queues_it_takes_celerys_own(app: Flask) -> None:
    worker(FOREIGN, ["money", "celery"])
    assert queue_of_new_run(app, FOREIGN) == "celery"


def test_of_two_workers_of_one_name_the_one_that_knows_the_task_gets_it(app: Flask) -> None:
    worker("other.task", ["other"], pid=1)
    worker(FOREIGN, ["money"], pid=2)
    assert queue_of_new_run(app, FOREIGN) == "money"


def test_a_worker_that_is_gone_reads_nothing(app: Flask) -> None:
    worker(FOREIGN, ["old"], pid=1, online=False)
    worker(FOREIGN, ["money"], pid=2)
    assert queue_of_new_run(app, FOREIGN) == "money"


def test_a_task_that_nobody_knows_goes_to_celerys_own_queue(app: Flask) -> None:
    assert queue_of_new_run(app, FOREIGN) == "celery"


def test_our_own_tasks_have_a_queue_of_their_own(app: Flask) -> None:
    from webapp.outbox.relay import queue_of

    assert queue_of_new_run(app, "webapp.tasks.divide") is None
    assert queue_of(app, "webapp.tasks.divide") == "vase"


def test_a_queue_that_was_asked_for_is_kept(app: Flask) -> None:
    worker(FOREIGN, ["money"])
    assert queue_of_new_run(app, FOREIGN, queue="urgent") == "urgent"


@pytest.fixture
def ended(app: Flask) -> str:
    """A run of somebody's task, which went to a queue by a routing key that is none."""
    about = {"task_id": "first", "name": FOREIGN, "state": "SUCCESS", "phase": 1, "state_at": 1.0, "created_at": 1.0}
    call = {"args": "[1]", "kwargs": "{}", "arguments_rank": 2, "queue": "shop.orders", "id": 1}
    with db.engine.begin() as connection:
        connection.execute(
            insert(runs).values(**about, **call, outcome_exact=1, clock=0, changed=1, publish_attempts=0)
        )
    return "first"


def queue_of_retry(task_id: str) -> str:
    with db.engine.connect() as connection:
        return str(connection.execute(select(runs.c.queue).where(runs.c.retry_of == task_id)).scalar_one())


def test_run_again_goes_where_the_workers_read_now(app: Flask, client: FlaskClient, ended: str) -> None:
    worker(FOREIGN, ["money"])
    assert client.post("/again", data={"task_id": ended}).status_code == 303
    assert queue_of_retry(ended) == "money"


def test_run_again_goes_where_the_run_went_as_long_as_it_is_read(app: Flask, client: FlaskClient, ended: str) -> None:
    worker(FOREIGN, ["money", "shop.orders"])
    client.post("/again", data={"task_id": ended})
    assert queue_of_retry(ended) == "shop.orders"


def test_the_terminal_goes_by_the_same_rule(app: Flask, ended: str) -> None:
    worker(FOREIGN, ["money"])
    runner = app.test_cli_runner()
    assert runner.invoke(args=["retry", ended]).exit_code == 0
    assert queue_of_retry(ended) == "money"
    started = runner.invoke(args=["run-task", FOREIGN, "1"]).stdout.strip()
    with db.engine.connect() as connection:
        assert connection.execute(select(runs.c.queue).where(runs.c.task_id == started)).scalar_one() == "money"


def test_a_bulk_retry_goes_by_the_same_rule(app: Flask, client: FlaskClient, ended: str) -> None:
    worker(FOREIGN, ["money"])
    with db.engine.begin() as connection:
        connection.execute(update(runs).values(created_at=1.0))
        row = connection.execute(select(runs)).all()
        action = type("Action", (), {"id": 1, "created_at": 1.0, "reason": None})()
        bulk._retry(app, connection, action, row, 1)
    assert queue_of_retry(ended) == "money"
