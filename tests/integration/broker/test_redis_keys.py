"""All keys are those that the app's transport options name, and a broker's user without rights on ours does no harm."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import redis

from tests import postgres
from tests.support import Stack, answers, free_port, redis_executable, wait_until
from webapp.broker.redis_keys import CANCELLED, STREAM
from webapp.recorder.site import COPIED
from webapp.recorder.stream import FORBIDDEN

OPTIONS = {"global_keyprefix": "acme:", "sep": ":", "priority_steps": [0, 5]}
OF_RESULTS = b"celery-task-meta-"


def client(stack: Stack) -> redis.Redis:
    return redis.Redis(port=stack.redis_port)


def divide(stack: Stack, *more: str) -> str:
    return stack.run("flask", "--app", "app", "run-task", "divide", "1", "4", *more).stdout.strip()


@pytest.mark.sqlite_only
def test_with_a_prefix_and_a_separator_of_the_apps_own_all_is_as_without(own_stack: Stack) -> None:
    own_stack.environ |= {"CELERY_BROKER_TRANSPORT_OPTIONS": json.dumps(OPTIONS), "DOUBT_SECONDS": "4"}
    own_stack.start("redis")
    own_stack.start("worker", "recorder")
    own_stack.row_once(divide(own_stack), state="SUCCESS")
    broker = client(own_stack)
    assert broker.exists(f"acme:{STREAM}")
    assert [key for key in broker.keys("*") if not key.startswith((b"acme:", OF_RESULTS))] == []
    own_stack.stop("worker")
    waits, cancelled = divide(own_stack, "--queue", "other"), divide(own_stack)
    own_stack.run("flask", "--app", "app", "cancel", cancelled)
    own_stack.row_once(cancelled, state="REVOKED")
    assert "taken out of the queue" in own_stack.row(cancelled)["exception"]
    # Judged meanwhile: only what really is nowhere is in doubt.
    nowhere = divide(own_stack, "--queue", "third")
    broker.delete("acme:third")
    own_stack.row_once(nowhere, state="UNCERTAIN", timeout=60)
    assert own_stack.row(waits)["state"] == "PENDING"
    assert broker.llen("acme:other") == 1
    assert own_stack.query("SELECT why FROM vase_gaps") == []


@pytest.mark.sqlite_only
def test_without_rights_on_our_keys_all_goes_on_and_it_is_said_once(own_stack: Stack) -> None:
    own_stack.start("redis")
    keys = ["~celery*", "~unacked*", "~_kombu*", "~vase", "~vase\x06*", "~*.pidbox*"]
    client(own_stack).execute_command("ACL", "SETUSER", "small", "on", "nopass", "&*", "+@all", "resetkeys", *keys)
    own_stack.environ["CELERY_BROKER_URL"] = f"redis://small:any@127.0.0.1:{own_stack.redis_port}/0"
    own_stack.start("worker", "recorder", "web")
    own_stack.row_once(divide(own_stack), state="SUCCESS")
    later = re.findall(r"id=(\S+);", own_stack.run("flask", "--app", "app", "shell", input=LATER).stdout)[0]
    own_stack.row_once(later, state="RECEIVED")
    own_stack.run("flask", "--app", "app", "cancel", later)
    own_stack.row_once(later, state="REVOKED")
    own_stack.stop("recorder")
    own_stack.start("recorder")
    own_stack.row_once(divide(own_stack), state="SUCCESS")
    assert own_stack.query("SELECT why FROM vase_gaps") == [(FORBIDDEN,)]
    assert "may not use the keys" in own_stack.get("/recording")[1]
    assert "Traceback" not in own_stack.log("recorder") + own_stack.log("worker")
    assert own_stack.log("worker").count("may not append to the stream") <= 3
    assert own_stack.log("worker").count("may not read what was cancelled") == 1
    assert "could not be" not in own_stack.log("worker")
    assert not client(own_stack).exists(STREAM, CANCELLED)


LATER = """
from webapp.tasks import divide
print(f"id={divide.apply_async((1, 2), countdown=3600).id};")
"""


@pytest.mark.sqlite_only
def test_behind_a_sentinel_all_is_as_without(own_stack: Stack, tmp_path: Path) -> None:
    own_stack.start("redis")
    port, options = free_port(), json.dumps({"master_name": "main"})
    settings = tmp_path / "sentinel.conf"
    settings.write_text(f"port {port}\ndir {tmp_path}\nsentinel monitor main 127.0.0.1 {own_stack.redis_port} 1\n")
    own_stack.environ |= {
        "CELERY_BROKER_URL": f"sentinel://127.0.0.1:{port}/0",
        "CELERY_BROKER_TRANSPORT_OPTIONS": options,
        "CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS": options,
    }
    with subprocess.Popen([redis_executable(), str(settings), "--sentinel"], stdout=subprocess.DEVNULL) as sentinel:
        try:
            wait_until(lambda: answers(port), "the sentinel listens")
            own_stack.start("worker", "recorder")
            task_id = divide(own_stack)
            own_stack.row_once(task_id, state="SUCCESS", outcome_exact=1)
            assert client(own_stack).exists(STREAM)
            own_stack.stop("worker")
            cancelled = divide(own_stack)
            own_stack.run("flask", "--app", "app", "cancel", cancelled)
            own_stack.row_once(cancelled, state="REVOKED")
            assert "taken out of the queue" in own_stack.row(cancelled)["exception"]
        finally:
            sentinel.kill()


def copied(stack: Stack, folder: Path) -> Stack:
    """Return a second Vase at the same broker, with a copy of the database of the first, which is stopped."""
    original = stack.database_url
    settings = {} if original.startswith("sqlite") else {"DATABASE_URL": postgres.copy_of(original)}
    copy = Stack(folder, CELERY_BROKER_URL=stack.broker_url, **settings)
    copy.redis_port, copy.broker_url = stack.redis_port, stack.broker_url
    if original.startswith("sqlite"):
        here, there = (Path(url.removeprefix("sqlite:///")) for url in (original, copy.database_url))
        there.parent.mkdir(parents=True)
        shutil.copy(here, there)
    return copy


def test_a_copy_of_the_database_reads_all_events_and_so_does_the_original(own_stack: Stack, tmp_path: Path) -> None:
    own_stack.start("redis")
    own_stack.start("worker", "recorder")
    own_stack.row_once(divide(own_stack), state="SUCCESS")
    own_stack.stop("recorder")
    copy = copied(own_stack, tmp_path / "copy")
    own_stack.start("recorder")
    copy.start("recorder")
    try:
        ran = [divide(own_stack) for _ in range(6)]
        for stack in (own_stack, copy):
            for task_id in ran:
                stack.row_once(task_id, state="SUCCESS")
                assert stack.row(task_id)["started_at"]
        assert [why for (why,) in copy.query("SELECT why FROM vase_gaps")] == [COPIED]
        assert own_stack.query("SELECT why FROM vase_gaps") == []
    finally:
        copy.stop_all()


def test_a_copy_that_stands_where_the_original_did_is_known_by_its_token(own_stack: Stack) -> None:
    """As of a whole machine: path and inode say nothing."""
    own_stack.start("redis")
    own_stack.start("recorder")
    wait_until(lambda: own_stack.query("SELECT streamed FROM vase_changes")[0][0], "the stream is read")
    site = own_stack.query("SELECT site FROM vase_changes")
    own_stack.stop("recorder")
    broker = client(own_stack)
    life = next(key for key in broker.keys("vase.events:life:*"))
    own_stack.start("recorder")
    own_stack.stop("recorder")
    assert own_stack.query("SELECT site FROM vase_changes") == site
    broker.set(life, "the token of the other one")
    own_stack.start("recorder")
    wait_until(lambda: own_stack.query("SELECT site FROM vase_changes") != site, "it is another site")
    wait_until(lambda: len(broker.xinfo_groups(STREAM)) == 2, "both have groups")
    assert broker.get(life) == b"the token of the other one"
