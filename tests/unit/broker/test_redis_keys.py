"""Keys in Redis are called as the app's transport options call them, and no run is sent to one that is no queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from webapp.actions import bulk
from webapp.broker.redis_keys import Keys, check_queue, keys_of
from webapp.celery_app import celery_of, publisher_of
from webapp.errors import InvalidArgumentsError, UnpublishableError
from webapp.extensions import db
from webapp.history.queries import runs
from webapp.outbox.relay import Message, publish
from webapp.outbox.submit import submit
from webapp.search.query import Filter

TAKEN = [
    "unacked",
    "unacked_index",
    "unacked_mutex",
    "_kombu.binding.celery",
    "_kombu.binding_deadlines",
    "celery@host.celery.pidbox",
    "0b0f.reply.celery.pidbox",
    "celeryev.0b0f",
    "celery-task-meta-0b0f",
    "chord-unlock-0b0f",
    "vase.events",
    "vase.cancelled",
]


def keys(app: Flask, **options: object) -> Keys:
    publisher_of(app).conf.broker_transport_options = {**publisher_of(app).conf.broker_transport_options, **options}
    keys_of.cache_clear()
    found = keys_of(publisher_of(app))
    assert found
    return found


@pytest.mark.parametrize("queue", TAKEN)
def test_a_run_for_a_queue_that_is_none_is_refused_and_not_kept(app: Flask, queue: str) -> None:
    with pytest.raises(InvalidArgumentsError, match="Choose another queue"):
        submit(app, "shop.pay", [1], options={"queue": queue})
    with db.engine.connect() as connection:
        assert connection.execute(select(runs.c.id)).all() == []


@pytest.mark.parametrize("queue", ["celery", "vase", "x", "unacked_orders", "orders.unacked", "my-celeryev"])
def test_queues_of_other_names_are_taken(app: Flask, queue: str) -> None:
    check_queue(publisher_of(app), queue)


def test_the_form_says_beside_the_field_that_a_queue_is_none(app: Flask, client: FlaskClient) -> None:
    sent = {"name": "webapp.tasks.divide", "p.x": "1", "p.y": "2", "o.queue": "unacked", "run": "1"}
    answer = client.post("/task", data=sent)
    assert answer.status_code == 422
    assert 'aria-describedby="error-o-queue"' in answer.text


def test_a_route_of_the_app_to_a_queue_that_is_none_is_refused(app: Flask) -> None:
    for celery in (celery_of(app), publisher_of(app)):
        celery.conf.task_routes = {"shop.*": {"queue": "unacked_index"}}
        celery.amqp._rtable = None
        celery.amqp.__dict__.pop("router", None)
    with pytest.raises(InvalidArgumentsError):
        submit(app, "shop.pay", [1])


def test_keys_that_an_app_renamed_are_no_queues(app: Flask) -> None:
    found = keys(app, unacked_key="held", unacked_index_key="held_index", global_keyprefix="acme:")
    taken = {queue for queue in ("held", "held_index", "unacked", "vase.events", "shop") if found.is_reserved(queue)}
    assert taken == {"held", "held_index", "unacked", "vase.events"}


def test_a_queue_of_which_one_list_would_be_another_key_is_none(app: Flask) -> None:
    assert keys(app, sep=":", unacked_key="held:3").is_reserved("held")


def test_lists_and_keys_carry_the_prefix_the_separator_and_the_steps_of_the_app(app: Flask) -> None:
    found = keys(app, global_keyprefix="acme:", sep=":", priority_steps=[0, 5])
    assert (found.lists("shop"), found.key("vase.events")) == (["acme:shop", "acme:shop:5"], "acme:vase.events")
    assert "acme:shop:3" in found.other_lists("shop")


def test_a_broker_that_is_not_redis_has_no_keys_and_still_no_queue_of_events(
    new_app: Callable[[Path], Flask], tmp_path: Path
) -> None:
    app = new_app(tmp_path)
    publisher_of(app).conf.broker_url = "memory://"
    keys_of.cache_clear()
    assert keys_of(publisher_of(app)) is None
    check_queue(publisher_of(app), "unacked")
    with pytest.raises(InvalidArgumentsError):
        check_queue(publisher_of(app), "celeryev.0b0f")


def test_what_was_accepted_for_such_a_queue_before_is_never_sent(app: Flask) -> None:
    with pytest.raises(UnpublishableError, match="Choose another queue"):
        publish(app, Message("an id", "shop.pay", "[]", "{}", options='{"queue": "unacked"}'))


def test_run_again_shows_the_form_for_a_run_whose_recorded_queue_is_none(app: Flask, client: FlaskClient) -> None:
    task_id = submit(app, "webapp.tasks.divide", [1, 2], options={"queue": "fine"}).task_id
    with db.engine.begin() as connection:
        connection.execute(update(runs).values(queue="unacked", options='{"queue": "unacked"}'))
    shown = client.post("/again", data={"task_id": task_id}, follow_redirects=True).text
    assert 'aria-describedby="error-o-queue"' in shown
    with db.engine.connect() as connection:
        assert len(connection.execute(select(runs.c.id)).all()) == 1


def test_a_bulk_retry_leaves_out_a_run_whose_recorded_queue_is_none(app: Flask) -> None:
    submit(app, "webapp.tasks.divide", [1, 2], options={"queue": "fine"})
    with db.engine.begin() as connection:
        connection.execute(update(runs).values(queue="unacked", options='{"queue": "unacked"}', publish_state="sent"))
        number = bulk.create(connection, "retry", Filter.parse({}), [], "again", rate=1000)
    bulk.carry_out(app, db.engine, time.time() + 1)
    with db.engine.connect() as connection:
        row = connection.execute(select(bulk.bulk_actions).where(bulk.bulk_actions.c.id == number)).one()
    assert (row.failed, "Choose another queue" in row.last_error) == (1, True)


def test_the_terminal_says_that_a_queue_is_none(app: Flask) -> None:
    said = app.test_cli_runner().invoke(args=["run-task", "divide", "1", "2", "--queue", "unacked"])
    assert (said.exit_code, "Choose another queue" in said.output) == (1, True)
