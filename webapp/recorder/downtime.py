"""What no recorder heard: other apps' workers send events once, to whoever listens, and count what they have begun."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Engine, func, insert, select

from webapp.history.queries import bump, gaps, runs, workers
from webapp.recorder.worker_registry import ANSWERED, Key, WorkerRegistry
from webapp.runs.ids import first_id

NAMED: Final = 5
"""Most workers that are named."""
WHY: Final = (
    "No recorder ran while workers did that send their events only once ({names}). Runs that they began meanwhile are "
    "missing where no stored result tells of them."
)


@dataclass(slots=True)
class Downtime:
    """The time before this recorder began; how many tasks each worker had begun when it was last heard, and when."""

    began_at: float
    ended_at: float
    before: dict[Key, tuple[int | None, float]] = field(default_factory=dict)

    @classmethod
    def before_now(cls, engine: Engine) -> Downtime:
        """Return what an earlier recorder left; with no worker where there was none."""
        seen = workers.c.online & ~workers.c.durable & (workers.c.pid != ANSWERED)
        with engine.connect() as connection:
            rows = connection.execute(select(workers).where(seen)).all()
        began_at = max((row.seen_at for row in rows), default=time.time())
        return cls(began_at, time.time(), {(row.hostname, row.pid): (row.processed, row.seen_at) for row in rows})

    def note(self, engine: Engine, heard: WorkerRegistry) -> int | None:
        """Note the gap where something is missing; return how many runs are, 0 where nobody knows, None for none.

        Call it once, when every worker that lives has been heard and stored results have been read.
        """
        if not self.before:
            return None
        missing, unknown, names = 0, False, set()
        for key, sign in list(heard.signs.items()):
            if sign.durable or sign.first is None or not sign.online:
                continue
            # One that the earlier recorder did not know came up meanwhile, and has counted from nothing.
            before, since = self.before.get(key, (0, self.began_at))
            count, until = sign.first
            skew = sign.skew or 0.0
            recorded = self._recorded(engine, key[0], since + skew, until + skew)
            lacks = max(count - before - recorded, 0) if before is not None else 0
            missing += lacks
            unknown |= before is None
            names |= {key[0]} if lacks or before is None else set()
        counted = {key for key, sign in list(heard.signs.items()) if sign.first is not None}
        gone = self.before.keys() - counted
        names |= {hostname for hostname, _ in gone}
        if not unknown and not gone:
            missing = max(missing - self._only_ended(engine), 0)
            names = names if missing else set()
        if not names:
            return None
        said = ", ".join(sorted(names)[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        messages = 0 if unknown or gone else missing
        row = {
            "began_at": self.began_at,
            "ended_at": self.ended_at,
            "messages": messages,
            "why": WHY.format(names=said),
        }
        with engine.begin() as connection:
            bump(connection)
            connection.execute(insert(gaps), row)
        return messages

    def _recorded(self, engine: Engine, hostname: str, since: float, until: float) -> int:
        """Return how many runs of a worker are recorded that began in a span of time, by its clock (seconds UTC)."""
        # Ids follow the time at which a run was first heard of.
        recent = runs.c.id >= first_id(since - 3600)
        query = select(func.count()).where(recent, runs.c.started_at.between(since, until), runs.c.worker == hostname)
        with engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def _only_ended(self, engine: Engine) -> int:
        """Return how many runs are known by their stored results alone, and ended in this time."""
        ended = runs.c.outcome_at.between(self.began_at, self.ended_at) & runs.c.started_at.is_(None)
        query = select(func.count()).where(runs.c.id >= first_id(self.began_at - 3600), ended)
        with engine.connect() as connection:
            return int(connection.execute(query).scalar_one())
