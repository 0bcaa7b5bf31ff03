"""Where a task is sent: to a queue that a live worker which knows it takes messages from.

The one rule for the form, the terminal, retries and bulk actions.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any, Final

from flask import Flask
from sqlalchemy import Connection

from webapp.celery_app import celery_of, is_ours
from webapp.history.queries import LIVE_TASKS, worker_tasks
from webapp.outbox.relay import queue_of

CELERYS_OWN: Final = "celery"
"""The queue that Celery's workers read by default (``task_default_queue`` of its documentation)."""
SHIPPED: Final = "webapp.tasks."


def queues_of_tasks(connection: Connection, names: Collection[str]) -> dict[str, list[str]]:
    """Return, by task, the queues from which the live workers that know it take messages, without repetition."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for _, name, _, queues in connection.execute(LIVE_TASKS.where(worker_tasks.c.name.in_(names))):
        found[name] += [queue for queue in json.loads(queues or "[]") if queue not in found[name]]
    return found


def choose(app: Flask, name: str, read: Iterable[str], before: str | None = None) -> str | None:
    """Return the queue for a task whose workers ``read`` those, None for that of its own code and the app's routes.

    ``before`` is where an earlier run of it went, which stays the place as long as nobody is known to read elsewhere.
    """
    celery, read = celery_of(app), list(read)
    ours = is_ours(celery)
    # The tasks that Vase ships are none of another app's, though importing them makes them known to it.
    imported = name in celery.tasks and (ours or not name.startswith(SHIPPED))
    if before in read:
        return before
    # Tasks of ours went to Celery's own queue once, where by now only other apps' workers read.
    if before and not read and not (ours and imported and before == CELERYS_OWN):
        return before
    if imported:
        return None
    routed = queue_of(app, name)
    if routed in read:
        return routed
    if read:
        return CELERYS_OWN if CELERYS_OWN in read else read[0]
    return CELERYS_OWN if ours and routed == celery.conf.task_default_queue else None


def with_queue(app: Flask, connection: Connection, name: str, options: dict[str, Any] | None) -> dict[str, Any]:
    """Return the options of a new run, with its queue unless one was asked for or the app's own routes say it."""
    options = dict(options or {})
    queue = options.get("queue") or choose(app, name, queues_of_tasks(connection, [name])[name])
    return options | ({"queue": queue} if queue else {})
