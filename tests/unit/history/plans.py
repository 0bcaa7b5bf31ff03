"""How SQLite carries out what was asked of it: whether a query would look through the whole table of runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, event


@contextlib.contextmanager
def scans(engine: Engine) -> Iterator[list[str]]:
    """Give a list that afterwards holds the statements said meanwhile that look through all runs, with their plans."""
    said: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, text: str, values: Any, _context: Any, many: bool) -> None:
        if "vase_task_runs" in text and text.startswith(("SELECT", "UPDATE", "DELETE")):
            said.append((text, values[0] if many else values))

    found: list[str] = []
    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", hear)
    assert said
    with engine.connect() as connection:
        for text, values in said:
            steps = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
            found += [
                f"{step}: {text}" for step in steps if step.startswith("SCAN vase_task_runs") and "USING" not in step
            ]
