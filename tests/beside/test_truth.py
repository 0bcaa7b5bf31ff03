"""What Vase says of the runs of somebody else's app is what has happened, in Celery's own words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.beside.harness import Foreign
from tests.support import wait_until


def row(foreign: Foreign, name: str, *columns: str) -> tuple[Any, ...]:
    """Return what Vase keeps of the one run of a task."""
    query = f"SELECT {', '.join(columns)} FROM vase_task_runs WHERE name = ?"
    rows = foreign.vase.query(query, f"shop.{name}")
    return rows[0] if len(rows) == 1 else ()


def test_an_end_of_ones_own_is_the_end(foreign: Foreign) -> None:
    foreign.watch()
    # Before it is told to, a worker without -E sends no events, and of an ignored run nothing else tells.
    foreign.worker("-c", "2", "-E")
    foreign.run("skips.delay(1); ignores.delay(2)")
    foreign.wait_for(2)
    foreign.wait_for_states(SKIPPED=1, IGNORED=1, timeout=60)
    foreign.pause(8)
    foreign.wait_for_states(SKIPPED=1, IGNORED=1)


def test_an_attempt_that_runs_is_not_the_retry_that_was_stored_before_it(foreign: Foreign) -> None:
    foreign.watch()
    foreign.worker("-c", "1", "-E")
    foreign.run("slow_at_last.delay(1, 8)")
    foreign.wait_for(2)
    if foreign.watched:
        wait_until(lambda: row(foreign, "slow_at_last", "state") == ("STARTED",), "the second attempt is heard")
        for _ in range(10):
            foreign.pause(0.5)
            assert row(foreign, "slow_at_last", "state") == ("STARTED",)
    foreign.wait_for_states(SUCCESS=1)


def test_the_successor_of_a_killed_worker_says_nothing_of_how_its_runs_ended(foreign: Foreign) -> None:
    """It has the same name, and knows of none of them; one of them will be delivered again."""
    foreign.watch()
    dying = foreign.worker("-c", "2", "-E", "-n", "one@here")
    foreign.run("work.delay(1, 3600); late.delay(2, 3600)")
    foreign.wait_for(2)
    foreign.wait_for_states(STARTED=2)
    foreign.kill(dying)
    foreign.worker("-c", "2", "-E", "-n", "one@here")
    foreign.wait_for_states(UNCERTAIN=2, timeout=60)
    foreign.pause(5)
    foreign.wait_for_states(UNCERTAIN=2)


def test_a_task_that_replaces_itself_has_one_name_and_its_arguments(foreign: Foreign) -> None:
    foreign.watch()
    foreign.worker("-c", "1", "-E")
    foreign.run("replaces.delay(1)")
    foreign.wait_for(2)
    foreign.wait_for_states(SUCCESS=1)
    if foreign.watched:
        name, args = foreign.vase.query("SELECT name, args FROM vase_task_runs")[0]
        assert (name, args) in {("shop.replaces", "(1,)"), ("shop.work", "[101]"), ("shop.work", "(101,)")}


def test_a_task_id_that_is_used_again_is_a_new_execution(foreign: Foreign) -> None:
    foreign.watch()
    foreign.worker("-c", "1", "-E")
    foreign.run("work.apply_async((1,), task_id='nightly')")
    foreign.wait_for_states(SUCCESS=1)
    foreign.wait_for(1)
    foreign.pause(2)
    foreign.run("work.apply_async((2,), task_id='nightly')")
    foreign.wait_for(2)
    if foreign.watched:
        found = "SELECT result FROM vase_task_runs WHERE args IN ('(2,)', '[2]') AND state = 'SUCCESS'"
        wait_until(lambda: foreign.vase.query(found) == [("2",)], "the second execution has an outcome of its own")


@pytest.mark.parametrize("code", [pytest.param("a_chain(1)", marks=pytest.mark.slow), "a_chord(1, 2, 3)"])
def test_parts_of_a_workflow_know_their_root(foreign: Foreign, code: str) -> None:
    foreign.watch()
    foreign.worker("-c", "2")
    foreign.run(code)
    number = 4 if "chord" in code else 3
    foreign.wait_for(number)
    foreign.wait_for_states(SUCCESS=number)
    if foreign.watched:
        (one,) = foreign.vase.query("SELECT task_id FROM vase_task_runs ORDER BY id LIMIT 1")[0]
        page = foreign.vase.get(f"/runs/{one}")[1]
        assert page.count("<a ") >= number
        assert "Workflow" in page


def test_a_task_with_a_time_is_shown_as_scheduled(foreign: Foreign) -> None:
    foreign.watch()
    foreign.worker("-c", "1")
    foreign.run("work.apply_async((1,), countdown=30)")
    if foreign.watched:
        wait_until(lambda: "Scheduled" in foreign.vase.get("/")[1], "it is scheduled")
    foreign.wait_for_states(SUCCESS=1, timeout=60)
    foreign.wait_for(1)


def test_a_task_that_no_worker_knows_has_its_name(foreign: Foreign) -> None:
    foreign.watch()
    foreign.worker("-c", "1", "-E")
    foreign.run("app.send_task('shop.unknown', (1,))")
    foreign.run("work.delay(1)")
    foreign.wait_for(1)
    if foreign.watched:
        wait_until(lambda: row(foreign, "unknown", "state"), "it is known by its name")


@pytest.mark.parametrize(
    "serializer", ["msgpack", *(pytest.param(name, marks=pytest.mark.slow) for name in ("json", "yaml"))]
)
def test_events_in_any_safe_format_are_heard(foreign: Foreign, serializer: str) -> None:
    accepted = ["json", "msgpack", "yaml"]
    foreign.configure({"event_serializer": serializer, "accept_content": accepted})
    foreign.watch()
    foreign.worker("-c", "1", "-E")
    foreign.run("for number in range(3): forgotten.delay(number)")
    foreign.wait_for(3)
    foreign.wait_for_states(SUCCESS=3)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--without-heartbeat",), marks=pytest.mark.slow),
        pytest.param(("--without-gossip", "--without-mingle"), marks=pytest.mark.slow),
        ("--without-heartbeat", "--without-gossip"),
    ],
    ids=lambda options: "".join(options),
)
def test_a_worker_that_says_little_loses_nobody(foreign: Foreign, options: tuple[str, ...]) -> None:
    foreign.watch()
    foreign.worker("-c", "1", "-E", *options)
    foreign.run("for number in range(2): late.delay(number, 14)")
    foreign.wait_for(2, 90)
    foreign.wait_for_states(SUCCESS=2, timeout=60)


def test_a_worker_without_remote_control_loses_nobody(foreign: Foreign) -> None:
    foreign.configure({"worker_enable_remote_control": False, "worker_send_task_events": True})
    foreign.watch()
    foreign.worker("-c", "1")
    foreign.run("for number in range(2): late.delay(number, 14)")
    foreign.wait_for(2, 90)
    foreign.wait_for_states(SUCCESS=2, timeout=60)


def test_vase_leaves_no_key_behind_that_is_not_its_own(foreign: Foreign) -> None:
    foreign.watch()
    foreign.worker("-c", "1")
    foreign.run("for number in range(5): work.delay(number)")
    foreign.wait_for_states(SUCCESS=5)
    foreign.wait_for(5)
    if foreign.watched:
        for _ in range(30):
            foreign.vase.get_json("/ready")
        foreign.vase.stop("recorder", "web")
    keys = json.loads(
        foreign.run(
            "import json, redis; print(json.dumps([k.decode() for k in redis.from_url(app.conf.broker_url).keys()]))"
        )
    )
    others = [key for key in keys if not key.startswith(("celery-task-meta-", "_kombu.", "unacked", "vase."))]
    assert others == []
