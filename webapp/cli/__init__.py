"""The commands: ``flask --app app record``, ``run-task``, ``runs`` and others, and what ``shell`` offers."""

from __future__ import annotations

from typing import Any

from flask import Flask, current_app

from webapp.celery_app import celery_of
from webapp.extensions import db


def init_app(app: Flask) -> None:
    """Add the commands and the names that the shell knows."""
    from webapp.cli import acting, recording, running

    commands = (recording.record_command, recording.prune_command, running.run_task_command)
    for command in (*commands, acting.tasks_command, acting.runs_command, acting.cancel_command, acting.retry_command):
        app.cli.add_command(command)
    app.shell_context_processor(shell_names)


def shell_names() -> dict[str, Any]:
    """Return what ``flask shell`` offers besides Flask's own names."""
    from celery.result import AsyncResult

    from webapp import tasks

    celery = celery_of(current_app)
    shipped = {name: getattr(tasks, name) for name in ("divide", "divide_many", "unreliable_divide")}
    return shipped | {"AsyncResult": AsyncResult, "celery": celery, "db": db}
