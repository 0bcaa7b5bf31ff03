"""How the tasks fared lately: counted among the newest runs, a stated number of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from webapp.ids import first_id
from webapp.states import FAILURE
from webapp.views.present import Moment, run_path

DAY: Final = 86_400.0
NEWEST: Final = 10_000
WINDOW_TEXT: Final = f"in the last 24 hours, among the newest {NEWEST:,} runs"

_COUNTS: Final = text(
    "SELECT name, count(*) AS ran, sum(CASE WHEN phase = :failure THEN 1 ELSE 0 END) AS failed, max(id) AS last "
    "FROM (SELECT id, name, phase FROM task_runs WHERE id > :since ORDER BY id DESC LIMIT :newest) AS newest "
    "GROUP BY name"
)
_LAST: Final = text("SELECT name, task_id, created_at FROM task_runs WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Lately:
    """How often a task ran and failed, and its last run."""

    ran: int
    failed: int
    path: str
    at: Moment


def lately(connection: Connection) -> dict[str, Lately]:
    """Return how each task that ran lately fared, by name; the cost does not grow with the table."""
    values: dict[str, Any] = {"failure": FAILURE, "since": first_id(time.time() - DAY), "newest": NEWEST}
    found = {}
    for name, ran, failed, last in connection.execute(_COUNTS, values).all():
        row = connection.execute(_LAST, {"id": last}).one_or_none()
        if row is not None:
            found[name] = Lately(ran, failed, run_path(row.task_id), Moment.at(row.created_at))
    return found
