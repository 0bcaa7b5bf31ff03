"""The page about the recording itself: how fresh and how complete what is shown is."""

from __future__ import annotations

import time
from typing import Any, Final

from flask import Blueprint, current_app, render_template
from sqlalchemy import Row, func, select

from webapp.extensions import db
from webapp.history import queries
from webapp.history.queries import RECORDER_STALE, dead_letters, gaps, recorders, workers
from webapp.views.runs.presenters import Moment

blueprint = Blueprint("status", __name__)

SHOWN: Final = 50
"""Most gaps and dead letters that are listed, the latest first."""
WORKERS_SHOWN: Final = 500
"""Most worker processes that are listed, those that are online first."""


@blueprint.get("/recording")
def recording() -> str:
    """Show recorders, workers, gaps and what the database refused."""
    now = time.time()
    with db.engine.connect() as connection:
        around = queries.system_status(connection)
        by_name = select(workers).order_by(workers.c.online.desc(), workers.c.hostname, workers.c.pid)
        heard = connection.execute(by_name.limit(WORKERS_SHOWN)).all()
        of_name = select(workers.c.hostname).where(workers.c.online).group_by(workers.c.hostname)
        twins = of_name.having(func.count() > 1).order_by(workers.c.hostname).limit(SHOWN)
        shared = list(connection.execute(twins).scalars())
        beats = connection.execute(select(recorders).order_by(recorders.c.beat_at.desc())).all()
        missing = connection.execute(select(gaps).order_by(gaps.c.id.desc()).limit(SHOWN)).all()
        letters = connection.execute(select(dead_letters).order_by(dead_letters.c.id.desc()).limit(SHOWN)).all()
    context: dict[str, Any] = {
        "around": around,
        "shared_names": shared,
        "workers": [{"row": row, "seen": Moment.at(row.seen_at), "state": _state_of(row)} for row in heard],
        "recorders": [
            {"row": row, "beat": Moment.at(row.beat_at), "ok": now - row.beat_at < RECORDER_STALE} for row in beats
        ],
        "gaps": [{"row": row, "began": Moment.at(row.began_at), "ended": Moment.at(row.ended_at)} for row in missing],
        "letters": [{"row": row, "at": Moment.at(row.at)} for row in letters],
        "retention": _retention(current_app.config["RETENTION_DAYS"], current_app.config["RETENTION_MAX_RUNS"]),
        "database": db.engine.dialect.name,
    }
    return render_template("recording/index.html", **context)


def _state_of(worker: Row[Any]) -> tuple[str, str]:
    """Return tone and words for how a worker is, saying no more than is known."""
    if worker.online:
        return "ok", "online"
    if worker.ended_at is not None:
        return "off", "gone"
    return "off", "stopping or gone" if worker.parted else "probably gone"


def _retention(days: dict[str, float], runs_max: int) -> str:
    """Return what is kept for how long, as a sentence."""
    parts = [f"{outcome} {f'{number:g} days' if number else 'for ever'}" for outcome, number in days.items()]
    bound = f", and at most {runs_max:,} runs" if runs_max else ""
    return f"Ended runs are kept by outcome: {', '.join(parts)}{bound}."
