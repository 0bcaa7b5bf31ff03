"""The commands that Celery's and Flask's documentation teach work on this project as they are written there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from celery import Celery
from sqlalchemy.engine import make_url

from tests.support import BIN, ROOT, Stack, wait_until


def in_shell(stack: Stack, *lines: str) -> list[str]:
    """Type lines into ``flask shell`` and return what it answers to each that has a value."""
    result = stack.run("flask", "--app", "app", "shell", input="\n".join([*lines, ""]))
    answers = re.sub(r"^((>>>|\.\.\.) )+", "", result.stdout, flags=re.MULTILINE).splitlines()
    # The banner stands on standard error; a prompt at the end has nothing after it.
    return [answer for answer in answers if answer]


def test_a_task_at_work_is_pending_without_a_result_in_the_shell_however_slowly_somebody_types(tmp_path: Path) -> None:
    """As printed in the README: ``task.state, task.result`` is PENDING None, and SUCCESS 0.5 in the end."""
    stack = Stack(tmp_path, DIVIDE_SECONDS="10")
    try:
        stack.start("redis")
        stack.start("worker")
        said = in_shell(
            stack,
            "task = divide.delay(1, 2)",
            "while not any((celery.control.inspect(limit=1).active() or {}).values()): pass",
            "",
            "task.state, task.result",
        )
    finally:
        stack.stop_all()
    assert said == ["('PENDING', None)"]


def test_the_shell_offers_divide_asyncresult_celery_and_db(stack: Stack) -> None:
    said = in_shell(stack, "divide.name", "AsyncResult.__name__", "celery.main", "db.engine.name")
    database = make_url(stack.database_url).get_backend_name()
    assert said == ["'webapp.tasks.divide'", "'AsyncResult'", "'webapp'", repr(database)]


def test_celery_finds_its_instance_by_name_too(stack: Stack) -> None:
    assert "pong" in stack.run("celery", "-A", "celery_worker:celery", "inspect", "ping").stdout


def test_the_worker_refuses_what_is_not_json(stack: Stack) -> None:
    with Celery("client", broker=stack.broker_url, set_as_current=False) as client:
        client.send_task("webapp.tasks.divide", [1, 2], serializer="pickle", queue="vase")
    wait_until(lambda: "Refusing to deserialize" in stack.log("worker"), "the worker has refused the message")


def test_a_worker_does_not_tell_the_secrets_of_the_site(tmp_path: Path) -> None:
    """Whoever reaches the broker may ask a worker for its configuration, and Flower shows it."""
    secrets = {"SECRET_KEY": "kept-key", "FLOWER_BASIC_AUTH": "me:kept-password"}
    stack = Stack(tmp_path, **secrets)
    try:
        stack.start("redis")
        stack.start("worker")
        said = stack.run("celery", "-A", "celery_worker", "inspect", "conf").stdout
    finally:
        stack.stop_all()
    assert "webapp.tasks" in said
    assert re.findall("kept-[a-z]+", said) == []


@pytest.mark.parametrize(
    "command", ["flask --app app routes", "celery -A celery_worker inspect ping", "gunicorn --check-config app:app"]
)
def test_a_wrong_setting_stops_every_entry_with_one_line(stack: Stack, command: str) -> None:
    program, *arguments = command.split()
    environ = stack.environ | {"DIVIDE_SECONDS": "soon"}
    result = subprocess.run([BIN / program, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert result.returncode != 0
    assert result.stderr.strip() == "vase: DIVIDE_SECONDS='soon' is not a number. Example: DIVIDE_SECONDS=5"
