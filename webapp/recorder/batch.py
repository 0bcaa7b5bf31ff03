"""Folds events by run and writes them: results read whole, in one transaction, refused ones set aside."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any, Final

from flask import Flask
from sqlalchemy import Engine, insert, select

from webapp.celery_app import celery_of
from webapp.history.queries import bump, dead_letters
from webapp.history.writer import record_each
from webapp.recorder.errors import BROKER_AWAY, DATABASE_AWAY, why
from webapp.recorder.event_facts import facts_of, task_id_of
from webapp.recorder.result_facts import read_results
from webapp.runs.executions import is_new
from webapp.runs.merge import Facts, merge_into
from webapp.runs.states import IGNORED_RANK, READY_RANK
from webapp.text import NAME_MAX, tidy

log = logging.getLogger(__name__)

BATCH_SECONDS: Final = 0.2
BATCH_RUNS: Final = 500
BACKLOG_RUNS: Final = 50_000
"""Runs held while the database is away; then events stay in Redis."""
LETTER_MAX: Final = 4096
UNFIT_MAX: Final = 1000
"""Most runs of which it is kept that they were passed over."""
UNFIT: Final = f"Its task id has {{:,}} characters. At most {NAME_MAX} can be recorded."


class Batch:
    """Runs that were heard of and are not written yet; belongs to one thread.

    ``over`` are executions after which the same task id was used again, ``stored`` what the result backend says.
    """

    def __init__(self, app: Flask, engine: Engine) -> None:
        self.celery = celery_of(app)
        self.engine = engine
        self.value_max: int = app.config["VALUE_MAX_BYTES"]
        self.runs: dict[str, Facts] = {}
        self.over: list[tuple[str, Facts]] = []
        self.stored: dict[str, Facts] = {}
        self.unread: deque[str] = deque(maxlen=BACKLOG_RUNS)
        self.unfit: dict[str, int] = {}
        self.written_at = time.monotonic()

    def take(self, event: dict[str, Any], now: float, harmless: bool = False) -> None:
        """Take a task event; one that says nothing about a run is passed over.

        ``harmless`` says that none of its texts holds a character that must be cleaned away.
        """
        task_id = task_id_of(event, harmless)
        facts = facts_of(event, now, self.value_max, harmless) if task_id else None
        if not task_id or not facts:
            self._note_unfit(event.get("uuid"))
            return
        self._fold(task_id, facts)
        if facts["key"][0] >= IGNORED_RANK:
            self.unread.append(task_id)

    def _note_unfit(self, task_id: Any) -> None:
        """Keep in mind that a run is passed over because of its task id, for as many as pages show."""
        if isinstance(task_id, str) and len(task_id) > NAME_MAX and len(self.unfit) < UNFIT_MAX:
            self.unfit[task_id[:NAME_MAX]] = len(task_id)

    def _fold(self, task_id: str, facts: Facts) -> None:
        known = self.runs.get(task_id)
        if known and is_new(known, facts):
            self.over.append((task_id, known))
            known = None
        if known:
            merge_into(known, facts)
        else:
            self.runs[task_id] = facts

    @property
    def due_in(self) -> float:
        """Return the seconds until the batch is to be written, by its age or its size."""
        if len(self.runs) >= BATCH_RUNS:
            return 0.0
        return max(self.written_at + BATCH_SECONDS - time.monotonic(), 0.0)

    def write(self) -> bool:
        """Write the batch; return False, and keep it, when the database is away."""
        self.written_at = time.monotonic()
        if not self.runs and not self.unread and not self.unfit:
            return True
        self._read_results()
        try:
            while self.over:
                self._record(dict(self.over[:1]))
                self.over.pop(0)
            self._record(self.runs, self.stored)
            self._set_unfit_aside()
        except DATABASE_AWAY as fault:
            log.error("The database is away (%s); %d runs are kept for later.", why(fault), len(self.runs))
            return False
        self.runs, self.stored = {}, {}
        return True

    def _record(self, heard: dict[str, Facts], stored: dict[str, Facts] | None = None) -> None:
        refused = record_each(self.engine, heard, DATABASE_AWAY, stored)
        if refused:
            self._set_aside(refused, heard)

    def _set_aside(self, refused: list[tuple[str, Exception]], heard: dict[str, Facts]) -> None:
        """Keep what the database refused, as text that it takes, where pages count it."""
        letters = []
        for task_id, fault in refused:
            why = tidy(str(getattr(fault, "orig", None) or fault), LETTER_MAX)
            log.error("The database refused what was heard of run %r; it is set aside: %.200s", task_id, why)
            texts = {"task_id": tidy(task_id), "why": why}
            letters.append({"at": time.time(), "facts": tidy(repr(heard.get(task_id)), LETTER_MAX), **texts})
        with self.engine.begin() as connection:
            bump(connection)
            connection.execute(insert(dead_letters), letters)

    def _set_unfit_aside(self) -> None:
        """Keep which runs were passed over, each once."""
        if not self.unfit:
            return
        with self.engine.begin() as connection:
            known = set(connection.execute(select(dead_letters.c.task_id)).scalars())
            letters = [
                {"at": time.time(), "task_id": tidy(task_id), "why": UNFIT.format(length), "facts": ""}
                for task_id, length in self.unfit.items()
                if tidy(task_id) not in known
            ]
            if letters and len(known) < UNFIT_MAX:
                bump(connection)
                connection.execute(insert(dead_letters), letters)
        self.unfit = {}

    def _read_results(self) -> None:
        """Add the whole results of runs that ended; without the backend the event's short text stands for now."""
        wanted = list(dict.fromkeys(self.unread))
        # Of a run that Celery tells no end of, a state of the app's own may be one.
        left = {i for i in wanted if i in self.runs and self.runs[i]["key"][3] == "IGNORED"}
        try:
            for task_id, facts in read_results(self.celery, wanted, time.time(), self.value_max, left):
                # A stored live state is older than the end that was heard, and has no date of its own.
                if facts["key"][0] >= READY_RANK:
                    self.stored[task_id] = facts
            self.unread.clear()
        except BROKER_AWAY as fault:
            log.warning("Results could not be read (%s); they are read later.", fault)
