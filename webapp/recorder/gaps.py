"""Notes the times for which events are known to be missing."""

from __future__ import annotations

import logging
import time

from sqlalchemy import Engine, insert, select

from webapp.history.queries import bump, gaps

log = logging.getLogger(__name__)


def note_gap(engine: Engine, began_at: float, ended_at: float, messages: int, why: str) -> None:
    """Note a gap between two times (seconds UTC); ``messages`` is 0 where nobody knows how many are missing."""
    log.error("%s (%s)", why, f"{messages} messages" if messages else f"{ended_at - began_at:.0f} seconds")
    row = {"began_at": began_at, "ended_at": ended_at, "messages": messages, "why": why}
    with engine.begin() as connection:
        bump(connection)
        connection.execute(insert(gaps), row)


def note_once(engine: Engine, why: str, fault: Exception) -> None:
    """Note, unless it is noted already, what cannot be heard from now on."""
    now = time.time()
    with engine.begin() as connection:
        if connection.execute(select(gaps.c.id).where(gaps.c.why == why).limit(1)).first():
            return
        log.warning("%s %s", why, fault)
        bump(connection)
        connection.execute(insert(gaps), {"began_at": now, "ended_at": now, "messages": 0, "why": why})
