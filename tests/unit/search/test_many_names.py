"""Runs of more names than menus offer: each is found by its own, and what leaves out nothing is said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.unit.actions.test_bulk import ask
from tests.unit.views.test_list import calls
from webapp.errors import ActionNotAllowedError
from webapp.extensions import db
from webapp.history.facets import CAP
from webapp.history.writer import write
from webapp.recorder.event_facts import facts_of
from webapp.search.pages import fetch_page
from webapp.search.query import Filter

pytestmark = pytest.mark.database

MANY = CAP + 101


def heard(kind: str, number: int, name: str) -> dict[str, Any]:
    """Return what one event says of a run whose worker, task and queue all have this name."""
    event = {
        "type": f"task-{kind}",
        "timestamp": time.time() - number,
        "hostname": f"celery@{name}",
        "name": f"a.{name}",
    }
    facts = facts_of({**event, "queue": f"q.{name}", "result": "1"}, time.time(), 4096)
    assert facts is not None
    return {f"{kind}-{name}": facts}


@pytest.fixture(scope="module")
def made(new_app: Callable[[Path], Flask], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """An app whose runs, half of them live, have more names than are offered, ``zeta`` the last."""
    app = new_app(tmp_path_factory.mktemp("many"))
    names = [f"pod{number:04}" for number in range(MANY - 1)]
    batch = heard("succeeded", 0, "zeta")
    for number, name in enumerate(names):
        batch |= heard("started" if number % 2 else "succeeded", number, name)
    with app.app_context():
        write(db.engine, batch)
        yield app
        db.engine.dispose()


@pytest.fixture
def busy(made: Flask) -> Iterator[Flask]:
    """The same app, which tests only read."""
    with made.app_context():
        yield made


def found(q: str) -> int:
    """Return how many runs fit what is typed."""
    with db.engine.connect() as connection:
        return len(fetch_page(connection, Filter.parse({"q": q}), 2 * MANY).keys)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("worker:zeta", 1),
        ("worker:celery@zeta", 1),
        ("task:zeta", 1),
        ("task:ZET", 1),
        ('task:"a.zeta"', 1),
        ("worker:pod", MANY - 1),
        ("worker:pod,zeta", MANY),
        ("-worker:zeta", MANY - 1),
        ("-worker:celery@zeta", MANY - 1),
        ("-task:pod", 1),
        ("task:p_d", 0),
    ],
)
def test_a_name_is_found_among_any_number(busy: Flask, typed: str, expected: int) -> None:
    assert found(typed) == expected


def test_the_box_completes_a_name_among_any_number(busy: Flask) -> None:
    client = busy.test_client()
    assert "celery@zeta" in client.get("/fragments/complete", query_string={"q": "worker:zet"}).text


def test_one_kind_of_names_pushes_no_other_out_of_the_menus(busy: Flask) -> None:
    assert busy.test_client().get("/").text.count('<option value="a.pod') == CAP


UNKNOWN = ["-worker:nobody", '-worker:"nobody"', "-task:nobody", "-queue:nobody", "-state:nobody", "-task:pay,nobody"]


@pytest.mark.parametrize("typed", UNKNOWN)
def test_what_leaves_out_nothing_is_said_beside_the_box(client: FlaskClient, typed: str) -> None:
    write(db.engine, heard("succeeded", 1, "pay"))
    kind = typed[1:].partition(":")[0]
    page = client.get("/", query_string={"q": typed}).text
    assert f"No run has had a {kind} &#39;nobody&#39;" in page
    assert 'aria-invalid="true"' in page


def test_what_leaves_something_out_is_no_problem(client: FlaskClient) -> None:
    write(db.engine, heard("succeeded", 1, "pay"))
    page = client.get("/", query_string={"q": "-worker:pay -state:failure -state:retry"}).text
    assert ("No run has had" in page, calls(page)) == (False, 0)


@pytest.mark.parametrize("typed", UNKNOWN)
def test_no_action_is_begun_on_all_but_what_nobody_knows(app: Flask, typed: str) -> None:
    write(db.engine, heard("succeeded", 1, "pay"))
    with pytest.raises(ActionNotAllowedError, match="leaves nothing out"):
        ask("retry", q=typed)


@pytest.mark.parametrize("path", ["/bulk/new?kind=retry&all=1&q=-worker:nobody", "/runs.csv?q=-worker:nobody"])
def test_the_page_of_an_action_and_a_file_refuse_it_too(client: FlaskClient, path: str) -> None:
    write(db.engine, heard("succeeded", 1, "pay"))
    answer = client.get(path)
    assert (answer.status_code, "leaves nothing out" in answer.text) == (422, True)
