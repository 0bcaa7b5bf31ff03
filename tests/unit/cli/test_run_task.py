"""``run-task`` reads its arguments, refuses what cannot run, and keeps a run while the broker is away."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import select

from webapp.extensions import db
from webapp.history.queries import runs


def run_task(app: Flask, *arguments: str) -> Result:
    """Type ``flask run-task`` and these arguments."""
    return app.test_cli_runner().invoke(args=["run-task", *arguments])


def kept() -> list[Any]:
    """Return the arguments of all runs."""
    with db.engine.connect() as connection:
        return [json.loads(args) for args in connection.execute(select(runs.c.args)).scalars()]


@pytest.mark.parametrize("name", ["divide", "webapp.tasks.divide"])
def test_a_task_is_started_by_its_full_name_or_the_last_part_of_it(app: Flask, name: str) -> None:
    assert run_task(app, name, "1", "2").exit_code == 0
    assert kept() == [[1, 2]]


def test_what_is_json_is_read_as_json_and_the_rest_as_text(app: Flask) -> None:
    assert run_task(app, "unreliable_divide", '{"a": [1.5, null]}', "plain text").exit_code == 0
    assert kept() == [[{"a": [1.5, None]}, "plain text"]]


def test_negative_numbers_are_numbers_and_not_options(app: Flask) -> None:
    run_task(app, "divide", "-1", "-2.5")
    assert kept() == [[-1, -2.5]]


def test_the_task_id_is_all_that_stands_on_standard_output(app: Flask) -> None:
    said = run_task(app, "divide", "1", "2").stdout
    with db.engine.connect() as connection:
        assert said.split() == [connection.execute(select(runs.c.task_id)).scalar_one()]


def test_without_a_broker_the_run_is_kept_and_it_says_so(app: Flask) -> None:
    result = run_task(app, "divide", "1", "2")
    assert "the run is kept" in result.stderr
    assert kept() == [[1, 2]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["multiply", "1", "2"], "There is no task 'multiply'. Known tasks: webapp.tasks.divide,"),
        (["celery.ping"], "There is no task 'celery.ping'"),
        (["divide", "NaN", "1"], "nan is not a number that JSON can carry"),
        (["divide", "1e999", "1"], "inf is not a number that JSON can carry"),
        (["divide", "[" * 65 + "]" * 65, "1"], "nested deeper than 64 levels"),
        (["divide", '{"__type__": 1, "__value__": 2}', "1"], "would vanish on the way"),
        (["divide", "x" * 300_000, "1"], "bytes long"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_run_is_refused_with_one_line(app: Flask, arguments: list[str], said: str) -> None:
    result = run_task(app, *arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert kept() == []


@pytest.mark.parametrize("arguments", [["divide"], ["divide", "1"], ["divide", "1", "2", "3"]], ids=" ".join)
def test_a_wrong_number_of_arguments_is_refused_as_delay_refuses_it(app: Flask, arguments: list[str]) -> None:
    assert run_task(app, *arguments).exit_code != 0
    assert kept() == []


def test_without_tables_it_says_how_to_make_them(app: Flask) -> None:
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE vase_changes")
    result = run_task(app, "divide", "1", "2")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), "it ended with a traceback"
    assert "flask --app app db upgrade" in result.stderr


def test_the_shell_offers_what_the_readme_promises(app: Flask) -> None:
    assert {"divide", "AsyncResult", "celery", "db"} <= app.make_shell_context().keys()


def test_runs_are_listed_by_the_last_part_of_a_tasks_name(app: Flask) -> None:
    run_task(app, "divide", "1", "2")
    run_task(app, "divide_many", "[[1, 2]]")
    said = app.test_cli_runner().invoke(args=["runs", "--task", "divide", "--state", "live"]).stdout
    assert "divide(1, 2)" in said
    assert "divide_many" not in said
