"""Probes for machines: is this process alive, and is everything it needs there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, current_app, jsonify
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response

from webapp import broker, queries
from webapp.celery_app import publisher_of
from webapp.errors import VaseError
from webapp.extensions import db

blueprint = Blueprint("probes", __name__)


@blueprint.get("/health")
def health() -> Response:
    """Answer 200: this process is alive and answers."""
    return jsonify(ok=True)


@blueprint.get("/ready")
def ready() -> tuple[Response, int]:
    """Answer 200 when database, broker, recorder and at least one worker answer, else 503 and what does not."""
    checks: dict[str, dict[str, Any]] = {}
    for name, check in CHECKS.items():
        try:
            checks[name] = {"ok": True, "detail": check()}
        except VaseError as fault:
            checks[name] = {"ok": False, "detail": str(fault)}
        except SQLAlchemyError as fault:
            checks[name] = {"ok": False, "detail": f"the database does not answer: {type(fault).__name__}"}
    ok = all(check["ok"] for check in checks.values())
    return jsonify(ok=ok, checks=checks), 200 if ok else 503


def _database() -> str:
    with db.engine.connect() as connection:
        queries.environment(connection)
    return "answers"


def _broker() -> str:
    broker.ping(publisher_of(current_app))
    return "PONG"


def _recorder() -> str:
    with db.engine.connect() as connection:
        around = queries.environment(connection)
    if not around.recorder_ok:
        raise VaseError("no recorder is running; start one with: flask --app app record")
    return "heartbeat heard"


def _workers() -> str:
    broker.ping(publisher_of(current_app))
    hostname = broker.answering_worker(publisher_of(current_app))
    if hostname is None:
        ours = current_app.config["DEMO_WORKER"]
        start = "one with: celery -A celery_worker worker -E" if ours else "the worker of your app"
        raise VaseError(f"no worker answers; start {start}")
    return f"{hostname} answers"


CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "broker": _broker,
    "recorder": _recorder,
    "workers": _workers,
}
