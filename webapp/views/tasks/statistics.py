"""How the tasks fared lately, counted among the newest runs, a stated number of them; and the last run of each."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select, text

from webapp.history.queries import runs
from webapp.runs.ids import first_id
from webapp.runs.states import FAILURE
from webapp.search.pages import fetch_page
from webapp.search.query import Filter
from webapp.views.runs.presenters import Moment, run_path

DAY: Final = 86_400.0
NEWEST: Final = 10_000
SOUGHT: Final = 100
WINDOW_TEXT: Final = (
    f"in the last 24 hours, among the newest {NEWEST:,} runs; of tasks that did not run then, the last run of "
    f"the first {SOUGHT} is looked for"
)

_COUNTS: Final = text(
    "SELECT name, count(*) AS ran, sum(CASE WHEN phase = :failure THEN 1 ELSE 0 END) AS failed, max(id) AS last "
    "FROM (SELECT id, name, phase FROM vase_task_runs WHERE id > :since ORDER BY id DESC LIMIT :newest) AS newest "
    "GROUP BY name"
)


@dataclass(frozen=True, slots=True)
class Lately:
    """How often a task ran and failed lately, and its last run, whenever that was."""

    ran: int
    failed: int
    path: str
    at: Moment


def lately(connection: Connection, names: Iterable[str]) -> dict[str, Lately]:
    """Return how each of these tasks fared lately, by name; those that are not known to have run are left out.

    The cost does not grow with the table, but with the tasks that did not run lately: each is looked for alone, at most
    ``SOUGHT`` of them.
    """
    values: dict[str, Any] = {"failure": FAILURE, "since": first_id(time.time() - DAY), "newest": NEWEST}
    counted = {row.name: row for row in connection.execute(_COUNTS, values)}
    last = {name: row.last for name, row in counted.items()}
    for name in [name for name in names if name not in counted][:SOUGHT]:
        last.update((name, key.id) for key in fetch_page(connection, Filter.parse({"task": name}), 1).keys)
    found = {}
    columns = (runs.c.name, runs.c.task_id, runs.c.created_at)
    for row in connection.execute(select(*columns).where(runs.c.id.in_(last.values()))):
        count = counted.get(row.name)
        ran, failed = (count.ran, count.failed) if count else (0, 0)
        found[row.name] = Lately(ran, failed, run_path(row.task_id), Moment.at(row.created_at))
    return found
