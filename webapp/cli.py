"""The commands: ``flask --app app record``, ``run-task``, ``prune`` and what ``shell`` offers."""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
import threading
import time
from typing import Any, Final

import click
from flask import Flask, current_app
from flask.cli import with_appcontext
from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError

from webapp import fmt, queries
from webapp.celery_app import celery_of
from webapp.errors import VaseError
from webapp.extensions import db
from webapp.launching import launch
from webapp.states import is_settled, look

DATABASE_HELP: Final = "The database does not answer. Are its tables up to date? flask --app app db upgrade"


def init_app(app: Flask) -> None:
    """Add the commands and the names that the shell knows."""
    app.cli.add_command(record_command)
    app.cli.add_command(prune_command)
    app.cli.add_command(run_task_command)
    app.shell_context_processor(shell_names)


def shell_names() -> dict[str, Any]:
    """Return what ``flask shell`` offers besides Flask's own names."""
    from celery.result import AsyncResult

    from webapp import tasks

    celery = celery_of(current_app)
    shipped = {name: getattr(tasks, name) for name in ("divide", "divide_many", "unreliable_divide")}
    return shipped | {"AsyncResult": AsyncResult, "celery": celery, "db": db}


@click.command("prune")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@with_appcontext
def prune_command(dry_run: bool) -> None:
    """Remove ended runs that are older than RETENTION_DAYS or beyond RETENTION_MAX_RUNS, as the recorder does."""
    from webapp.recorder import pruning

    days, runs_max = current_app.config["RETENTION_DAYS"], current_app.config["RETENTION_MAX_RUNS"]
    try:
        if not dry_run:
            click.echo(f"{pruning.prune(db.engine, days, runs_max, math.inf):,} runs removed")
            return
        with db.engine.connect() as connection:
            found = list(pruning.rules(connection, days, runs_max, time.time()))
            for rule in found:
                click.echo(f"{pruning.count(connection, rule):,} runs would go: {rule.name}")
        if not found:
            click.echo("Nothing would go: RETENTION_DAYS and RETENTION_MAX_RUNS set no bound that is reached.")
    except SQLAlchemyError as fault:
        raise click.ClickException(f"{DATABASE_HELP} ({type(fault).__name__})") from None


@click.command("record")
@with_appcontext
def record_command() -> None:
    """Record what Celery's workers do into the database, until stopped."""
    from webapp.recorder.loop import record

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    # The recorder's second thread needs the app itself, not this thread's stand-in for it.
    try:
        record(current_app._get_current_object(), stopping)  # type: ignore[attr-defined]
    except SQLAlchemyError as fault:
        raise click.ClickException(f"{DATABASE_HELP} ({type(fault).__name__})") from None


# -1 is a number and no option.
@click.command("run-task", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("arguments", nargs=-1)
@click.option("--wait", is_flag=True, help="Follow the run until it ends.")
@with_appcontext
def run_task_command(name: str, arguments: tuple[str, ...], wait: bool) -> None:
    """Start the task NAME with ARGUMENTS, each JSON or else plain text.

    NAME is a task's full name, or its last part where only one task ends so. With --wait the exit code is 0 for
    SUCCESS and 1 for any other end.
    """
    try:
        launched = launch(current_app, _full_name(name), [_value(text) for text in arguments])
    except VaseError as fault:
        raise click.ClickException(str(fault)) from None
    except SQLAlchemyError as fault:
        kind = type(fault).__name__
        raise click.ClickException(f"{DATABASE_HELP} ({kind})") from None
    click.echo(launched.task_id)
    if launched.error:
        click.echo("The broker cannot be reached; the run is kept and sent when it is back.", err=True)
    if wait:
        sys.exit(0 if _follow(launched.task_id) == "SUCCESS" else 1)


def _full_name(name: str) -> str:
    known: list[str] = [task for task in celery_of(current_app).tasks if not task.startswith("celery.")]
    if name in known:
        return name
    fits: list[str] = [task for task in known if fmt.short_name(task) == name]
    if len(fits) == 1:
        return fits[0]
    if not fits:
        raise VaseError(f"There is no task {name!r}. Known tasks: {', '.join(sorted(known))}.")
    raise VaseError(f"{name!r} could be any of {', '.join(sorted(fits))}; give the full name.")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _follow(task_id: str) -> str:
    """Print one line that follows a run, on a terminal rewritten in place, then its end; return its state."""
    shown = ""
    while True:
        with db.engine.connect() as connection:
            row = queries.run_by_id(connection, task_id)
            around = queries.environment(connection)
        if row is None:
            raise click.ClickException("The run has vanished from the database.")
        line = _line(row, around)
        if line != shown and sys.stderr.isatty():
            click.echo(f"\r\x1b[K{line}", nl=False, err=True)
        elif line.partition(" (")[0] != shown.partition(" (")[0]:
            click.echo(line, err=True)
        shown = line
        if is_settled(row.state):
            break
        time.sleep(0.25)
    if sys.stderr.isatty():
        click.echo(err=True)
    click.echo(row.traceback or row.exception or row.result or "")
    return str(row.state)


def _line(row: Row[Any], around: queries.Environment) -> str:
    state = look(row.state).label
    if row.publish_state in ("new", "held"):
        state = "Waiting for the broker"
    if row.progress_total and not is_settled(row.state):
        state += f" {row.progress_current:g} of {row.progress_total:g}"
    if not around.recorder_ok and not is_settled(row.state):
        return f"{state}; no recorder is running, start one with: flask --app app record"
    end = row.state_at if is_settled(row.state) else time.time()
    return f"{state} ({fmt.duration(max(end - row.created_at, 0))})"
