"""``/ready`` always answers JSON, and reads what pages read."""

from __future__ import annotations

import time

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert, text

from webapp.extensions import db
from webapp.history.queries import recorders
from webapp.views import health


def checks(client: FlaskClient) -> dict[str, dict[str, object]]:
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert answer.json
    found: dict[str, dict[str, object]] = answer.json["checks"]
    return found


def test_a_damaged_table_of_runs_is_no_database_that_answers(app: Flask, client: FlaskClient) -> None:
    assert checks(client)["database"]["ok"] is True
    with db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE vase_task_runs RENAME TO gone"))
    assert checks(client)["database"]["ok"] is False


def test_what_nobody_foresaw_is_answered_as_json(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> str:
        raise ZeroDivisionError

    monkeypatch.setitem(health.CHECKS, "broker", fails)
    assert checks(client)["broker"]["ok"] is False


def test_where_no_recorder_runs_nobody_knows_of_workers(client: FlaskClient) -> None:
    found = checks(client)
    assert found["recorder"]["ok"] is False
    assert "no recorder is running" in str(found["workers"]["detail"])


def test_a_recorder_whose_broker_hangs_is_running(app: Flask, client: FlaskClient) -> None:
    with db.engine.begin() as connection:
        row = {"name": "1@here", "beat_at": time.time(), "broker_ok": False, "broker_error": "timed out"}
        connection.execute(insert(recorders).values(**row))
    found = checks(client)
    assert found["recorder"]["ok"] is True
    assert "cannot reach the broker" in str(found["workers"]["detail"])
