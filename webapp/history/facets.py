"""The values that runs have had: names of tasks, workers, queues and states, offered wherever one filters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Connection, delete, insert, or_, select, text, update

from webapp.history.models import Known as KnownValue

values = KnownValue.__table__

KINDS: Final = ("state", "task", "worker", "queue")
CAP: Final = 1000
"""Most values of a kind that are offered; more may be kept."""
REFRESH: Final = 6 * 3600.0
"""Seconds after which it is noted again that a value still occurs."""


class FacetRecorder:
    """Notes values, with the memory of what this process has noted lately; one transaction at a time."""

    def __init__(self) -> None:
        self.noted: dict[tuple[str, str], float] = {}
        self.rows: dict[Sequence[str | None], float] = {}

    def note(self, connection: Connection, rows: Collection[Sequence[str | None]], now: float) -> None:
        """Note the values of rows, each given as state, task, worker and queue, in the order of ``KINDS``.

        Takes part in the caller's transaction, whose writers stand in line, so that no two add the same value.
        """
        fresh = [row for row in rows if self.rows.get(row, 0.0) < now - REFRESH]
        if not fresh:
            return
        pairs = {(kind, value) for row in fresh for kind, value in zip(KINDS, row, strict=True) if value}
        unseen = [pair for pair in pairs if self.noted.get(pair, 0.0) < now - REFRESH]
        for kind, value in unseen:
            mine = (values.c.kind == kind) & (values.c.value == value)
            if not connection.execute(update(values).where(mine).values(seen_at=now)).rowcount:
                connection.execute(insert(values).values(kind=kind, value=value, seen_at=now))
        # Names that grow without end must not fill the memory; what is forgotten is only looked up again. Noted is
        # what was written, though the transaction may yet fail: then it is noted at the next refresh or restart.
        if len(self.noted) > 10 * CAP:
            self.noted.clear()
            self.rows.clear()
        self.noted.update((pair, now) for pair in unseen)
        self.rows.update((row, now) for row in fresh)


_OF_KIND: Final = text("SELECT value FROM vase_known_values WHERE kind = :kind ORDER BY value LIMIT :cap")
_OF_NAME: Final = text("SELECT 1 FROM vase_known_values WHERE kind = :kind AND value = :value")


def facet_values(connection: Connection, kind: str) -> list[str]:
    """Return the values of a kind in order, at most ``CAP``."""
    return list(connection.execute(_OF_KIND, {"kind": kind, "cap": CAP}).scalars().all())


def values_with(connection: Connection, kind: str, texts: Collection[str], limit: int | None = None) -> list[str]:
    """Return the values of a kind that contain one of the texts, in order, however many there are.

    Small and capital letters are the same; beyond ASCII the database may not know which, and more values are returned.
    """
    query = select(values.c.value).where(values.c.kind == kind).order_by(values.c.value).limit(limit)
    if all(text.isascii() for text in texts):
        query = query.where(or_(False, *(values.c.value.icontains(text, autoescape=True) for text in texts)))
    return list(connection.execute(query).scalars().all())


def is_known(connection: Connection, kind: str, value: str) -> bool:
    """Say whether a run has had this value, also when there are more than are offered."""
    return connection.execute(_OF_NAME, {"kind": kind, "value": value}).first() is not None


def facets(connection: Connection) -> dict[str, list[str]]:
    """Return the values of every kind, as ``facet_values`` does of one."""
    return {kind: facet_values(connection, kind) for kind in KINDS}


def forget(connection: Connection, before: float) -> int:
    """Forget values that no run has had since ``before`` (seconds UTC); return how many."""
    return connection.execute(delete(values).where(values.c.seen_at < before)).rowcount
