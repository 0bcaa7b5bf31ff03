"""Every task that can be run: those whose code is here and those that live workers know, and how each is called."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Final

from celery import Celery
from flask import Flask, current_app
from sqlalchemy import Connection, select

from webapp.actions.retry import original_call
from webapp.celery_app import is_ours
from webapp.errors import ActionNotAllowedError
from webapp.forms.infer import infer
from webapp.history.models import TaskSchema
from webapp.history.queries import LIVE_TASKS, runs, worker_tasks
from webapp.outbox.destinations import SHIPPED, choose
from webapp.outbox.relay import queue_of
from webapp.runs.merge import STORED
from webapp.search.pages import fetch_page
from webapp.search.query import Filter
from webapp.text import tidy
from webapp.worker.describe import schema_of

log = logging.getLogger(__name__)

task_schemas = TaskSchema.__table__

BUILT_IN: Final = "celery."
SUMMARY_MAX: Final = 1000
"""Most bytes of a task's summary in the list of all tasks."""
RECENT: Final = 20
"""Runs of a task from which the types of its arguments are guessed, and that are offered to be filled in."""


@dataclass(slots=True)
class KnownTask:
    """A task, who knows it, and the ways in which workers say it is called."""

    name: str
    imported: bool = False
    hostnames: list[str] = field(default_factory=list)
    schemas: dict[str, list[str]] = field(default_factory=dict)
    """Worker names by the hash of the schema that they told; more than one means that they run different code."""
    queues: list[str] = field(default_factory=list)
    """The queues from which the workers that know it take messages."""


@cache
def _import_modules(celery: Celery) -> None:
    """Import the modules of tasks that a Celery instance names or discovers, as its workers do when they start.

    Not when the dashboard is made: a site that mounts it has not been imported whole by then.
    """
    try:
        celery.loader.import_default_modules()
    # Somebody's own code; what of it can be imported is known, the rest is told by workers.
    except Exception:
        log.exception("Some modules of tasks could not be imported.")


def known_tasks(connection: Connection, celery: Celery) -> dict[str, KnownTask]:
    """Return all tasks by name, in order, without Celery's own."""
    _import_modules(celery)
    hidden = (BUILT_IN,) if ships_tasks(celery) else (BUILT_IN, SHIPPED)
    found = {name: KnownTask(name, imported=True) for name in celery.tasks if not name.startswith(hidden)}
    for hostname, name, told, queues in connection.execute(LIVE_TASKS.order_by(worker_tasks.c.hostname)):
        task = found.setdefault(name, KnownTask(name))
        task.queues += [queue for queue in json.loads(queues or "[]") if queue not in task.queues]
        if hostname not in task.hostnames:
            task.hostnames.append(hostname)
        if told and hostname not in task.schemas.setdefault(told, []):
            task.schemas[told].append(hostname)
    return dict(sorted(found.items()))


def ships_tasks(celery: Celery) -> bool:
    """Say whether the tasks that Vase ships are tasks of this installation, whatever workers know.

    They are none of another app's, though importing them here makes them known to it, nor of another app's broker.
    """
    return is_ours(celery) and bool(current_app.config["DEMO_WORKER"])


def knows(connection: Connection, celery: Celery, name: str) -> bool:
    """Say whether a task of ours can be run here: always with our own worker, else while a live worker knows it."""
    query = LIVE_TASKS.where(worker_tasks.c.name == name).limit(1)
    return ships_tasks(celery) or connection.execute(query).first() is not None


def queue_for(app: Flask, task: KnownTask) -> str:
    """Return the queue to which a task goes, see ``webapp.outbox.destinations``."""
    return choose(app, task.name, task.queues) or queue_of(app, task.name)


def schema_for(connection: Connection, celery: Celery, task: KnownTask) -> dict[str, Any]:
    """Return how a task is called: by its code, else as a worker told, else as its recent runs were."""
    code = celery.tasks.get(task.name)
    if code is not None:
        return _schema_of_code(code)
    for told in task.schemas:
        text = connection.execute(select(task_schemas.c.schema).where(task_schemas.c.hash == told)).scalar()
        if text:
            schema: dict[str, Any] = json.loads(text)
            return schema
    return infer([call for _, *call in recent_calls(connection, task.name)])  # type: ignore[misc]  # a pair each


def summaries(connection: Connection, celery: Celery, tasks: Iterable[KnownTask]) -> dict[str, str]:
    """Return what these tasks are for, by name, from their docstrings: all in one query, and nothing is guessed."""
    tasks = list(tasks)
    foreign = {told for task in tasks if task.name not in celery.tasks for told in task.schemas}
    query = select(task_schemas.c.hash, task_schemas.c.schema).where(task_schemas.c.hash.in_(foreign))
    told = {row.hash: json.loads(row.schema) for row in connection.execute(query)}
    found = {}
    for task in tasks:
        code = celery.tasks.get(task.name)
        schemas = (
            [_schema_of_code(code)] if code is not None else [told[hash_] for hash_ in task.schemas if hash_ in told]
        )
        found[task.name] = _summary(schemas[0]) if schemas else ""
    return found


def _summary(schema: Any) -> str:
    """Return what a schema says of the task as a whole; it comes from another process."""
    text = schema.get("summary") if isinstance(schema, dict) else None
    return tidy(text, SUMMARY_MAX) or "" if isinstance(text, str) else ""


@lru_cache(maxsize=512)
def _schema_of_code(task: Any) -> dict[str, Any]:
    return schema_of(task.run)


def recent_calls(connection: Connection, name: str) -> list[tuple[str, list[Any], dict[str, Any]]]:
    """Return task id, args and kwargs of the latest runs of a task whose arguments are exactly known, newest first."""
    keys = fetch_page(connection, Filter.parse({"task": name}), RECENT).keys
    columns = [runs.c[column] for column in ("id", "task_id", "name", "args", "kwargs", "arguments_rank")]
    found = []
    query = select(*columns).where(runs.c.id.in_([key.id for key in keys])).order_by(runs.c.id.desc())
    for row in connection.execute(query):
        if row.name != name or row.arguments_rank < STORED:
            continue
        try:
            found.append((row.task_id, *original_call(row)))
        except ActionNotAllowedError:
            continue
    return found
