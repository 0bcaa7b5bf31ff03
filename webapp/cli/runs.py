"""The commands ``tasks``, ``runs``, ``cancel`` and ``retry``: what the pages do, on a terminal."""

from __future__ import annotations

import json
import time
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import Row, select

from webapp import formatting
from webapp.actions.cancel import cancel as ask_to_cancel
from webapp.actions.retry import original_call, retry_options
from webapp.catalog.tasks import known_tasks, schema_for
from webapp.celery_app import celery_of
from webapp.cli.common import telling_faults
from webapp.errors import ActionNotAllowedError
from webapp.extensions import db
from webapp.history import queries
from webapp.history.queries import runs
from webapp.outbox.submit import submit
from webapp.runs.merge import STORED
from webapp.runs.states import look
from webapp.search.pages import fetch_page
from webapp.search.planner import build_plan
from webapp.search.query import Filter
from webapp.search.timeout import time_limit

FIELDS = (
    "task_id name state created_at started_at state_at runtime worker queue retries args kwargs result exception note "
    "retry_of root_id parent_id"
).split()


@click.command("tasks")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with the schema of each task.")
@with_appcontext
def tasks_command(as_json: bool) -> None:
    """List the tasks that can be run, and the live workers that know each."""
    celery = celery_of(current_app)
    with telling_faults(), db.engine.connect() as connection:
        for task in known_tasks(connection, celery).values():
            if as_json:
                schema = schema_for(connection, celery, task)
                click.echo(json.dumps({"name": task.name, "workers": task.hostnames, "schema": schema}))
            else:
                click.echo(f"{task.name}  {', '.join(task.hostnames) or '(no live worker)'}")


@click.command("runs")
@click.argument("query", nargs=-1)
@click.option("--state", default="", help="A state, or live, success, failure or other.")
@click.option("--task", default="", help="The name of a task, or its last part.")
@click.option("--since", default="", help="Only runs made since then, such as 2h or 2026-11-23.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_appcontext
def runs_command(query: tuple[str, ...], state: str, task: str, since: str, limit: int, as_json: bool) -> None:
    """List runs, newest first; QUERY is what the search box takes, such as args:42 -name:noise."""
    # Typed into the box, a name may also be its last part.
    words = [*query, f"task:{task}"] if task else query
    wanted = Filter.parse({"q": " ".join(words), "state": state, "since": since})
    if wanted.problems:
        raise click.ClickException(wanted.problems[0][1])
    seconds = current_app.config["QUERY_SECONDS"]
    with telling_faults(), db.engine.connect() as connection, time_limit(connection, seconds):
        if problems := build_plan(connection, wanted, time.time()).problems:
            raise click.ClickException(problems[0])
        ids = [key.id for key in fetch_page(connection, wanted, limit).keys]
        rows = connection.execute(select(runs).where(runs.c.id.in_(ids)).order_by(runs.c.id.desc())).all()
    for row in rows:
        click.echo(json.dumps({name: getattr(row, name) for name in FIELDS}) if as_json else _line(row))
    if not rows and not as_json:
        click.echo("No run fits.", err=True)


def _line(row: Row[Any]) -> str:
    arguments = formatting.arguments(row.args, row.kwargs, row.arguments_rank >= STORED)
    call = f"{formatting.short_name(row.name)}({arguments})"
    outcome = row.exception or row.result or ""
    texts = (formatting.exact_time(row.created_at), row.task_id, look(row.state).label, call, outcome)
    return "  ".join(" ".join(text.split())[:200] for text in texts if text)


@click.command("cancel")
@click.argument("task_id")
@click.option("--reason", default="", help="Why, kept with the run.")
@click.option("--terminate", is_flag=True, help="End the process that runs it; what it has not finished is lost.")
@with_appcontext
def cancel_command(task_id: str, reason: str, terminate: bool) -> None:
    """Ask that the run TASK_ID does not happen."""
    with telling_faults():
        ended = ask_to_cancel(current_app, task_id, reason, terminate)
    click.echo("Cancelled before it was sent." if ended else "Requested; the workers are told.")


@click.command("retry")
@click.argument("task_id")
@with_appcontext
def retry_command(task_id: str) -> None:
    """Run the run TASK_ID again with its exact arguments, and print the new task id."""
    with telling_faults():
        with db.engine.connect() as connection:
            row = queries.run_by_id(connection, task_id)
            if row is None:
                raise ActionNotAllowedError("This run is not known.")
            options = retry_options(current_app, connection, [row])[0]
        args, kwargs = original_call(row)
        launched = submit(current_app, row.name, args, kwargs, options=options, retry_of=task_id)
    click.echo(launched.task_id)
