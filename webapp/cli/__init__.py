"""The commands: ``flask --app app record``, ``run-task``, ``runs`` and others, and what ``shell`` offers."""

from __future__ import annotations

from typing import Any

from flask import Flask, current_app

from webapp.celery_app import celery_of
from webapp.extensions import db


def init_app(app: Flask) -> None:
    """Add the commands and the names that the shell knows."""
    from webapp.cli import recorder, run_task, runs

    commands = (recorder.record_command, recorder.prune_command, run_task.run_task_command)
    for command in (*commands, runs.tasks_command, runs.runs_command, runs.cancel_command, runs.retry_command):
        app.cli.add_command(command)
    app.shell_context_processor(shell_names)


def shell_names() -> dict[str, Any]:
    """Return what ``flask shell`` offers besides Flask's own names."""
    from celery.result import AsyncResult

    from webapp import tasks

    celery = celery_of(current_app)
    shipped = {name: getattr(tasks, name) for name in ("divide", "divide_many", "unreliable_divide")}
    return shipped | {"AsyncResult": AsyncResult, "celery": celery, "db": db}
