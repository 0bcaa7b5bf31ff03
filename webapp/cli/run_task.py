"""The command ``run-task``: starts a run, and follows it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import Row

from webapp import formatting
from webapp.cli.common import full_name, telling_faults
from webapp.extensions import db
from webapp.history import queries
from webapp.outbox.submit import submit
from webapp.runs.states import is_settled, look


# -1 is a number and no option.
@click.command("run-task", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("arguments", nargs=-1)
@click.option("--arg", "named", multiple=True, metavar="NAME=VALUE", help="An argument by its name.")
@click.option("--queue", help="Where to send it instead.")
@click.option("--wait", is_flag=True, help="Follow the run until it ends.")
@with_appcontext
def run_task_command(
    name: str, arguments: tuple[str, ...], named: tuple[str, ...], queue: str | None, wait: bool
) -> None:
    """Start the task NAME with ARGUMENTS, each JSON or else plain text.

    NAME is a task's full name, or its last part where only one task ends so. With --wait the exit code is 0 for
    SUCCESS and 1 for any other end.
    """
    args, kwargs = [_value(text) for text in arguments], dict(_named(text) for text in named)
    with telling_faults():
        launched = submit(current_app, full_name(name), args, kwargs, options={"queue": queue} if queue else None)
    click.echo(launched.task_id)
    if launched.unsendable:
        click.echo(f"The run is kept, but it cannot be sent: {launched.unsendable}", err=True)
    elif launched.error:
        click.echo(f"The broker did not take it ({launched.error}); the run is kept and sent by itself.", err=True)
    if wait:
        sys.exit(0 if follow(launched.task_id) == "SUCCESS" else 1)


def _named(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE, such as x=1.", param_hint="--arg")
    return name, _value(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def follow(task_id: str) -> str:
    """Print one line that follows a run, on a terminal rewritten in place, then its end; return its state."""
    shown = ""
    while True:
        with db.engine.connect() as connection:
            row = queries.run_by_id(connection, task_id)
            around = queries.system_status(connection)
        if row is None:
            raise click.ClickException("The run has vanished from the database.")
        line = _line(row, around)
        if line != shown and sys.stderr.isatty():
            click.echo(f"\r\x1b[K{line}", nl=False, err=True)
        elif line.partition(" (")[0] != shown.partition(" (")[0]:
            click.echo(line, err=True)
        shown = line
        if is_settled(row.phase) or row.publish_state == "dead":
            break
        time.sleep(0.25)
    if sys.stderr.isatty():
        click.echo(err=True)
    click.echo(row.traceback or row.exception or row.result or row.publish_error or "")
    return str(row.state)


def _line(row: Row[Any], around: queries.SystemStatus) -> str:
    state = look(row.state).label
    if row.publish_state in ("new", "held"):
        state = "Waiting for the broker"
    if row.publish_state == "dead" and not is_settled(row.phase):
        state = "Could not be sent"
    if row.progress_total and not is_settled(row.phase):
        state += f" {row.progress_current:g} of {row.progress_total:g}"
    if not around.recorder_ok and not is_settled(row.phase):
        return f"{state}; no recorder is running, start one with: flask --app app record"
    end = row.state_at if is_settled(row.phase) else time.time()
    return f"{state} ({formatting.duration(max(end - row.created_at, 0))})"
