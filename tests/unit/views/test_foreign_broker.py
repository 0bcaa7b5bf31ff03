"""On a broker that Vase did not start, no page offers or advises what belongs to Vase's own worker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert

from webapp import create_app
from webapp.extensions import db
from webapp.history.models import WorkerTask
from webapp.history.queries import recorders, workers
from webapp.tasks import divide

PAGES = ("/", "/tasks", "/recording", "/?q=state:live", "/ready")


@pytest.fixture
def foreign(tmp_path: Path, new_app: Callable[[Path], Flask]) -> Iterator[Flask]:
    """A Vase on somebody's broker, with a recorder and no worker."""
    database = new_app(tmp_path).config["DATABASE_URL"]
    config = {"INSTANCE_PATH": str(tmp_path), "DATABASE_URL": database, "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    app = create_app(config)
    with app.app_context():
        with db.engine.begin() as connection:
            connection.execute(insert(recorders).values(name="r", beat_at=4e9, broker_ok=True))
        yield app
        db.engine.dispose()


def a_worker_comes(knowing: str) -> None:
    about = {"hostname": "celery@shop", "pid": 7}
    with db.engine.begin() as connection:
        row = {**about, "seen_at": 4e9, "online": True, "durable": False, "queues": json.dumps(["vase"])}
        connection.execute(insert(workers).values(**row))
        connection.execute(insert(WorkerTask.__table__).values(**about, name=knowing))


@pytest.mark.parametrize("path", PAGES)
def test_no_page_advises_a_worker_of_ours(foreign: Flask, path: str) -> None:
    assert "celery_worker" not in foreign.test_client().get(path).text


def test_the_form_of_divide_is_not_there_without_a_worker_that_knows_it(foreign: Flask) -> None:
    client = foreign.test_client()
    assert ('id="launch"' in client.get("/").text, "divide" in client.get("/tasks").text) == (False, False)
    assert client.post("/runs", data={"x": "1", "y": "2"}).status_code == 404


def test_a_worker_of_somebody_elses_brings_no_form(foreign: Flask) -> None:
    a_worker_comes("shop.pay")
    assert 'id="launch"' not in foreign.test_client().get("/").text


def test_the_form_is_there_while_a_live_worker_knows_divide(foreign: Flask) -> None:
    a_worker_comes(divide.name)
    client = foreign.test_client()
    assert 'id="launch"' in client.get("/").text
    assert client.post("/runs", data={"x": "1", "y": "2"}).status_code == 303


def test_with_our_own_broker_the_form_is_always_there(client: FlaskClient) -> None:
    assert 'id="launch"' in client.get("/").text
