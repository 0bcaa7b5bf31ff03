"""Probes for machines: is this process alive, and is everything it needs there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flask import Blueprint, current_app, jsonify
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response

from webapp.broker import control
from webapp.celery_app import publisher_of
from webapp.errors import VaseError
from webapp.extensions import FileGone, db
from webapp.history import queries

blueprint = Blueprint("probes", __name__)

log = logging.getLogger(__name__)


@blueprint.get("/health")
def health() -> Response:
    """Answer 200: this process is alive and answers."""
    return jsonify(ok=True)


@blueprint.get("/ready")
def ready() -> tuple[Response, int]:
    """Answer 200 when database, broker, recorder and at least one worker are there, else 503 and what is not.

    No worker is asked, since the recorder knows; whatever goes wrong, the answer is JSON.
    """
    checks: dict[str, dict[str, Any]] = {}
    for name, check in CHECKS.items():
        try:
            checks[name] = {"ok": True, "detail": check()}
        except VaseError as fault:
            checks[name] = {"ok": False, "detail": str(fault)}
        except SQLAlchemyError as fault:
            checks[name] = {"ok": False, "detail": f"the database does not answer: {_said(fault)}"}
        except Exception as fault:
            log.exception("Unforeseen")
            checks[name] = {"ok": False, "detail": f"{type(fault).__name__}; the web server's log says more"}
    ok = all(check["ok"] for check in checks.values())
    return jsonify(ok=ok, checks=checks), 200 if ok else 503


def _said(fault: SQLAlchemyError) -> str:
    """Return a fault's kind, and where it is a file that is gone, which."""
    said = getattr(fault, "orig", None)
    return str(said) if isinstance(said, FileGone) else type(fault).__name__


def _database() -> str:
    with db.engine.connect() as connection:
        queries.system_status(connection)
        connection.execute(select(queries.runs).order_by(queries.runs.c.id.desc()).limit(1)).first()
    return f"{db.engine.dialect.name} answers"


def _broker() -> str:
    return f"{control.ping(publisher_of(current_app))} answers"


def _recorder() -> str:
    if not _around().recorder_ok:
        raise VaseError("no recorder is running; start one with: flask --app app record")
    return "heartbeat heard"


def _workers() -> str:
    around = _around()
    if around.workers is None:
        raise VaseError("nobody knows: no recorder is running")
    if around.broker_ok is False:
        raise VaseError("nobody knows: the recorder cannot reach the broker")
    if not around.workers:
        ours = current_app.config["DEMO_WORKER"]
        start = "one with: celery -A celery_worker worker -E" if ours else "the worker of your app"
        raise VaseError(f"no worker is heard by the recorder; start {start}")
    return f"{around.workers} heard by the recorder"


def _around() -> queries.SystemStatus:
    with db.engine.connect() as connection:
        return queries.system_status(connection)


CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "broker": _broker,
    "recorder": _recorder,
    "workers": _workers,
}
