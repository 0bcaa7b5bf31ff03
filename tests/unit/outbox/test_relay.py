"""Row first: an accepted run is kept, is owned by one publisher at a time, and is not sent when it has been seen."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from webapp.errors import BrokerError, InvalidArgumentsError, UnexplainedError, UnpublishableError
from webapp.extensions import db
from webapp.history.queries import changes, runs
from webapp.history.writer import write
from webapp.outbox.relay import ATTEMPTS_MAX, LEASE, RETRY_MAX, claim, mark_held, mark_sent, relay, release
from webapp.outbox.submit import Submission, submit
from webapp.recorder.event_facts import facts_of
from webapp.services import services_of

pytestmark = pytest.mark.database

DIVIDE = "webapp.tasks.divide"
KEY = "6104b10e-cffe-4703-997d-bc085068d517"


def row(task_id: str) -> Any:
    with db.engine.connect() as connection:
        return connection.execute(select(runs).where(runs.c.task_id == task_id)).one()


def accept(app: Flask, *args: Any) -> str:
    """Accept a run while the broker is away, as it is in all tests here."""
    launched = submit(app, DIVIDE, list(args) or [1, 2])
    assert launched.error
    return launched.task_id


def test_a_run_accepted_without_a_broker_is_kept_with_its_exact_arguments(app: Flask) -> None:
    kept = row(accept(app, 1, 2.5))
    assert (kept.name, json.loads(kept.args), kept.state, kept.publish_state) == (DIVIDE, [1, 2.5], "PENDING", "held")


def test_what_would_harm_a_worker_is_refused_before_anything_is_kept(app: Flask) -> None:
    with pytest.raises(InvalidArgumentsError):
        submit(app, DIVIDE, [float("nan"), 1])
    with db.engine.connect() as connection:
        assert connection.execute(select(runs)).all() == []


def test_a_waiting_run_is_not_due_before_its_pause_is_over(app: Flask) -> None:
    accept(app)
    assert claim(db.engine) == []


def test_a_waiting_run_is_due_when_its_pause_is_over(app: Flask) -> None:
    task_id = accept(app)
    assert [message.task_id for message in claim(db.engine, RETRY_MAX)] == [task_id]


def test_a_waiting_run_is_due_at_once_when_the_broker_is_back(app: Flask) -> None:
    task_id = accept(app)
    assert [message.task_id for message in claim(db.engine, impatient=True)] == [task_id]


def test_a_claimed_run_is_not_claimed_again_while_its_lease_lasts(app: Flask) -> None:
    accept(app)
    claim(db.engine, impatient=True)
    assert claim(db.engine, LEASE - 1, impatient=True) == []


def test_a_run_whose_publisher_was_killed_is_claimed_when_the_lease_ends(app: Flask) -> None:
    task_id = accept(app)
    claim(db.engine, impatient=True)
    assert [message.task_id for message in claim(db.engine, LEASE + 1)] == [task_id]


def test_two_relays_never_claim_the_same_run(app: Flask) -> None:
    wanted = {accept(app, number, 1) for number in range(10)}

    engine = db.engine

    def claim_some(_: int) -> list[str]:
        return [message.task_id for message in claim(engine, impatient=True)]

    with ThreadPoolExecutor(4) as relays:
        claimed = [task_id for part in relays.map(claim_some, range(8)) for task_id in part]
    assert sorted(claimed) == sorted(wanted)


def test_a_run_that_a_worker_was_seen_with_is_not_sent_again(app: Flask) -> None:
    """A publish that raised may have been delivered all the same."""
    task_id = accept(app)
    facts = facts_of({"type": "task-received", "hostname": "w@h", "timestamp": time.time()}, time.time(), 4096)
    assert facts is not None
    write(db.engine, {task_id: facts})
    assert claim(db.engine, impatient=True) == []
    assert row(task_id).publish_state == "sent"


def test_a_run_that_is_claimed_is_published_as_it_was_accepted(app: Flask) -> None:
    accept(app, 1, 2.5)
    (message,) = claim(db.engine, impatient=True)
    assert (message.name, json.loads(message.args), json.loads(message.kwargs)) == (DIVIDE, [1, 2.5], {})


def test_a_relay_without_a_broker_puts_everything_back(app: Flask) -> None:
    wanted = {accept(app, number, 1) for number in range(3)}
    assert relay(app, db.engine, impatient=True) == 0
    assert {row(task_id).publish_state for task_id in wanted} == {"held"}


def test_pauses_between_attempts_grow_and_are_bounded(app: Flask) -> None:
    task_id = accept(app)
    pauses = []
    for _ in range(ATTEMPTS_MAX - 2):
        now = time.time()
        (message,) = claim(db.engine, 1000, impatient=True)
        with db.engine.begin() as connection:
            mark_held(connection, message, UnexplainedError("odd"))
        pauses.append(round(row(task_id).publish_due_at - now))
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(RETRY_MAX, abs=5)


def refused(task_id: str, fault: BrokerError, times: int = 1) -> Any:
    """What becomes of a run whose publishing ends so."""
    for _ in range(times):
        (message,) = claim(db.engine, 1000, impatient=True)
        with db.engine.begin() as connection:
            mark_held(connection, message, fault)
    return row(task_id)


def test_an_outage_is_waited_out_however_long_it_lasts(app: Flask) -> None:
    assert refused(accept(app), BrokerError("OOM command not allowed"), 3 * ATTEMPTS_MAX).publish_state == "held"


def test_a_message_that_is_refused_for_itself_is_dead_at_once_with_the_reason(app: Flask) -> None:
    kept = refused(accept(app), UnpublishableError("WRONGTYPE"))
    assert (kept.publish_state, kept.publish_error, kept.publish_due_at) == ("dead", "WRONGTYPE", None)


def test_what_nobody_can_explain_is_tried_a_bounded_number_of_times(app: Flask) -> None:
    assert refused(accept(app), UnexplainedError("odd"), ATTEMPTS_MAX - 1).publish_state == "dead"


def test_an_outage_charges_nobody_who_waits_behind(app: Flask) -> None:
    for number in range(3):
        accept(app, number, 1)
    for _ in range(2 * ATTEMPTS_MAX):
        relay(app, db.engine, impatient=True)
    with db.engine.connect() as connection:
        # One says that a message may have been delivered, and nothing more.
        assert set(connection.execute(select(runs.c.publish_attempts)).scalars()) <= {0, 1}


def test_a_sent_run_is_never_claimed(app: Flask) -> None:
    task_id = accept(app)
    with db.engine.begin() as connection:
        mark_sent(connection, [task_id], time.time())
    assert claim(db.engine, 10_000, impatient=True) == []


def all_at_once(calls: list[Callable[[], Submission]]) -> list[str]:
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result().task_id for future in [threads.submit(call) for call in calls]]


def in_app(app: Flask, *args: Any, key: str) -> Callable[[], Submission]:
    def call() -> Submission:
        with app.app_context():
            return submit(app, DIVIDE, list(args), task_id=key)

    return call


def test_a_form_sent_many_times_at_once_is_one_run(app: Flask) -> None:
    assert all_at_once([in_app(app, 1, 2, key=KEY) for _ in range(6)]) == [KEY] * 6
    with db.engine.connect() as connection:
        assert len(connection.execute(select(runs)).all()) == 1


def test_a_key_used_for_other_values_at_the_same_time_is_another_run(app: Flask) -> None:
    assert len(set(all_at_once([in_app(app, number, 1, key=KEY) for number in range(4)]))) == 4


def test_every_change_of_a_run_is_a_new_version_of_the_table(app: Flask) -> None:
    """A poll that carries the last version seen would otherwise be answered with 204."""
    seen = []
    for act in (
        lambda: accept(app),
        lambda: relay(app, db.engine, impatient=True),
        lambda: claim(db.engine, impatient=True),
    ):
        act()
        with db.engine.connect() as connection:
            seen.append(connection.execute(select(changes.c.version)).scalar_one())
    assert seen == sorted(set(seen))


def test_a_form_sent_again_with_another_time_or_queue_is_a_run_of_its_own(app: Flask) -> None:
    def start(**options: str) -> str:
        return submit(app, DIVIDE, [1, 2], task_id=KEY, options=options or None).task_id

    eta = {"eta": "2030-01-01T10:00:00+00:00"}
    assert start(**eta) == KEY
    # A countdown that was typed is a little later when the same form comes once more.
    assert start(eta="2030-01-01T10:00:02+00:00") == KEY
    assert KEY not in (start(eta="2030-01-01T11:00:00+00:00"), start(), start(**eta, queue="slow"))


def test_before_workers_were_heard_only_what_was_never_tried_is_claimed(app: Flask) -> None:
    tried = accept(app)
    services_of(app).circuit_breaker.record_failure("away")
    never = accept(app)
    assert [message.task_id for message in claim(db.engine, RETRY_MAX, first_only=True)] == [never]
    assert [message.task_id for message in claim(db.engine, RETRY_MAX)] == [tried]


def test_what_was_claimed_and_not_tried_is_due_at_once_for_others(app: Flask) -> None:
    task_id = accept(app)
    messages = claim(db.engine, RETRY_MAX)
    release(db.engine, messages)
    assert (row(task_id).publish_state, row(task_id).publish_attempts) == ("held", 1)
    assert [message.task_id for message in claim(db.engine, 1)] == [task_id]
