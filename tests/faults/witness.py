"""Tasks that write what truly happens to a side file, for the checker to hold the dashboard against.

Workers import this module by the setting CELERY_INCLUDE. Every fact is one line that is appended in one write.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from celery import Task, shared_task
from celery.signals import task_postrun, task_prerun

SIDE_FILE = "WITNESS_FILE"
"""The variable that names the file."""
DEATHS = "DEATHS"
"""The variable that names the folder of ``tests.faults.dying``."""


def note(*facts: Any) -> None:
    """Append one line; whoever is killed a moment later has written all of it or nothing."""
    file = os.open(os.environ[SIDE_FILE], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, json.dumps(facts).encode() + b"\n")
    finally:
        os.close(file)


def _work(task: Task, number: int, seconds: float) -> int:
    note(task.request.id, "started", os.getpid(), time.time())
    time.sleep(seconds)
    note(task.request.id, "ended", number + 1)
    return number + 1


@shared_task(bind=True, acks_late=True)
def late(self: Task, number: int, seconds: float = 0.0) -> int:
    """Count one on; the message is acknowledged at the end."""
    return _work(self, number, seconds)


@shared_task(bind=True)
def early(self: Task, number: int, seconds: float = 0.0) -> int:
    """Count one on; the message is acknowledged at the beginning."""
    return _work(self, number, seconds)


@shared_task(bind=True, acks_late=True)
def failing(self: Task, number: int, seconds: float = 0.0) -> None:
    """Fail."""
    note(self.request.id, "started", os.getpid(), time.time())
    time.sleep(seconds)
    note(self.request.id, "failed", f"ValueError({number})")
    raise ValueError(number)


@task_prerun.connect
def _begins(task_id: str, task: Task, **_: Any) -> None:
    """Witness the tasks that Vase ships, which know nothing of side files."""
    if task.name.startswith("webapp."):
        note(task_id, "started", os.getpid(), time.time())


@task_postrun.connect
def _ends(task_id: str, task: Task, retval: Any, state: str, **_: Any) -> None:
    if task.name.startswith("webapp."):
        note(task_id, *(("ended", retval) if state == "SUCCESS" else ("failed", repr(retval))))
