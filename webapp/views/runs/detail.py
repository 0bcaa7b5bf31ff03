"""The live region of one run: what its page shows, and the version that tells whether it changed."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from celery import Celery
from flask import current_app, url_for
from sqlalchemy import Connection, Row, select

from webapp import formatting
from webapp.actions.retry import executions, related
from webapp.history import workflow
from webapp.history.models import Cancel
from webapp.history.queries import SystemStatus, pool_of
from webapp.runs.actions import allowed, may_give_back
from webapp.runs.states import DOUBTS, is_settled
from webapp.views.runs import presenters
from webapp.views.runs.presenters import Moment, run_path

cancels = Cancel.__table__


class Unknown(str):
    """The task id of a run that is not known, as the description of a 404."""

    __slots__ = ()


def run_region(connection: Connection, row: Row[Any], around: SystemStatus, celery: Celery) -> dict[str, Any]:
    """Return the template's context of one run."""
    pool = pool_of(connection, row.worker)
    version, any_live = workflow.version(connection, row)
    return {
        "around": around,
        "run": presenters.listed(row),
        "row": row,
        "timeline": presenters.timeline(row),
        "arguments": presenters.argument_lines(row, celery),
        "arguments_note": presenters.source_of_arguments(row),
        "result": presenters.result_text(row),
        "facts": _facts(row),
        "live": any_live or not is_settled(row.phase),
        "settled": is_settled(row.phase),
        "workflow": workflow.workflow_of(connection, row, time.time()),
        "left": presenters.time_left(row, time.time()),
        "may_give_back": may_give_back(row.state, row.doubt),
        "doubted": row.state in DOUBTS,
        "flower": flower_link(row.task_id),
        "actions": allowed(row.state, row.phase, row.publish_state, pool),
        "key": uuid.uuid4(),
        "cancel": _cancel(connection, row),
        "executions": [_execution(other, row) for other in executions(connection, row)],
        "retries": [_relative(other, row) for other in related(connection, row)],
        "base": url_for("pages.index"),
        "poll": url_for("fragments.run", task_id=row.task_id, v=run_version(around, max(row.changed, version))),
    }


def run_version(around: SystemStatus, changed: int) -> str:
    """Return the version of one run's page, given the latest change of any run that it shows."""
    return f"{changed}{'r' if around.recorder_ok else 's'}"


def flower_link(task_id: str) -> str:
    """Return the address of the same run in Flower, nothing where there is no Flower."""
    flower = current_app.config["FLOWER_URL"]
    return f"{flower}/task/{quote(task_id, safe='')}" if flower else ""


def _relative(other: Row[Any], row: Row[Any]) -> dict[str, Any]:
    """Return a run that this one was run again from or as."""
    return {
        "what": "Run again from" if other.task_id == row.retry_of else "Run again as",
        "path": run_path(other.task_id),
        "task_id": other.task_id,
        "badge": presenters.badge_of(other),
        "at": Moment.at(other.created_at),
    }


def _execution(other: Row[Any], row: Row[Any]) -> dict[str, Any]:
    """Return another execution of the same task id."""
    what = "Earlier execution" if other.created_at < row.created_at else "Later execution"
    return {**_relative(other, row), "what": what}


def _cancel(connection: Connection, row: Row[Any]) -> dict[str, Any] | None:
    """Return the three steps of a cancel: requested, acknowledged, ended; None when nobody asked for one."""
    asked = connection.execute(select(cancels).where(cancels.c.task_id == row.task_id)).one_or_none()
    if asked is None:
        return None
    what = "Terminate" if asked.terminate else "Cancel"
    steps = [(f"{what} requested", Moment.at(asked.requested_at), asked.reason or "", "wait")]
    if asked.acknowledged_at is not None:
        names = (asked.acknowledged_by or "").split()
        how = ("Acknowledged", "by " + ", ".join(names)) if names else ("Taken back", "Its message left the queue.")
        steps.append((how[0], Moment.at(asked.acknowledged_at), how[1], "run"))
    waiting = ""
    if row.state == "REVOKED":
        done = (
            "The run did not happen."
            if asked.ended_at is not None
            else "Whoever takes its message from the queue drops it."
        )
        steps.append(("Ended", Moment.at(row.state_at), "" if asked.terminate else done, "off"))
    elif is_settled(row.phase) and row.state not in DOUBTS:
        steps.append(("Too late", Moment.at(row.state_at), "It finished before the cancel reached it.", "bad"))
    elif asked.acknowledged_at is None:
        waiting = "No worker has answered yet. The request is kept and sent again when a worker comes online."
    elif row.started_at is not None and not asked.terminate:
        waiting = "The run had begun when the workers heard of it; it goes on to its end."
    else:
        waiting = "The workers know; whoever takes the run from its queue drops it."
    return {"steps": steps, "waiting": waiting}


@dataclass(frozen=True, slots=True)
class Due:
    """A time that a message carries: what is to happen then, and how long that is still."""

    at: Moment
    left: str

    @classmethod
    def read(cls, text: str | None) -> Due | str | None:
        """Spell a time as ISO 8601; what makes no sense is shown as it is."""
        at = presenters.seconds_of(text)
        if at is None or not 0 <= at < 253402300799:
            return text
        return cls(Moment.at(at), formatting.duration(at - now) if at > (now := time.time()) else "")


def _facts(row: Row[Any]) -> list[tuple[str, str | Due]]:
    starts = sum(1 for _, what, _ in presenters.attempts_of(row) if what == "started")
    facts = [
        ("Task", row.name),
        ("Queue", row.queue),
        ("Worker", row.worker),
        ("Waited", formatting.duration(presenters.waited(row)) if row.started_at is not None else None),
        ("Ran", formatting.duration(took) if (took := presenters.ran(row)) is not None else None),
        ("Attempts", str(starts) if starts else None),
        ("Started by", "the form or command line of this site" if row.publish_state else row.origin),
        ("Not before", Due.read(row.eta)),
        ("Expires", Due.read(row.expires)),
        ("Part of", row.root_id if row.root_id != row.task_id else None),
        ("Part of group", row.group_id),
        ("Called by", row.parent_id if row.parent_id != row.task_id else None),
    ]
    return [(label, value) for label, value in facts if value]
