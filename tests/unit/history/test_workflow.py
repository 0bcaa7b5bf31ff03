"""The page of a run that is part of a workflow: however long, deep or wide that is, it stays small and cheap."""

from __future__ import annotations

import html
import re
import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, insert, update

from tests.unit.history.plans import scans
from webapp.extensions import db
from webapp.history import workflow
from webapp.history.queries import run_by_id, runs
from webapp.runs.states import phase

pytestmark = pytest.mark.database

BEGAN = time.time() - 3600


def put(*many: dict[str, Any]) -> None:
    """Add runs; each was made a second after the one before it."""
    plain = {"name": "shop.pay", "clock": 0, "changed": 1, "arguments_rank": 0, "outcome_exact": 0}
    plain |= {"publish_attempts": 0, "root_id": None, "parent_id": None, "state": "SUCCESS"}
    rows = []
    for number, values in enumerate(many):
        at = BEGAN + number
        times = {"id": int(at * 1e6) << 10, "created_at": at, "sent_at": at, "state_at": at + 0.5}
        rows.append(plain | times | values | {"phase": phase(values.get("state", "SUCCESS"))})
    with db.engine.begin() as connection:
        connection.execute(insert(runs), rows)


def chain(length: int, **last: Any) -> list[dict[str, Any]]:
    """Return runs of which each calls the next; the first is ``run0`` and the root of all."""
    found: list[dict[str, Any]] = [{"task_id": "run0"}]
    found += [
        {"task_id": f"run{number}", "root_id": "run0", "parent_id": f"run{number - 1}"} for number in range(1, length)
    ]
    found[-1] |= last
    return found


def tree_of(client: FlaskClient, task_id: str) -> str:
    answer = client.get(f"/runs/{task_id}")
    assert answer.status_code == 200
    return answer.text.partition('<div class="tree">')[2].partition("<h2>")[0]


def nesting(tree: str) -> int:
    """Return how many lists stand within each other at most."""
    deepest = depth = 0
    for tag in re.findall(r"</?ul>", tree):
        depth += 1 if tag == "<ul>" else -1
        deepest = max(deepest, depth)
    return deepest


@pytest.mark.parametrize("task_id", ["run0", "run30", "run399"])
def test_a_chain_that_is_longer_than_can_be_nested_is_shown(app: Flask, client: FlaskClient, task_id: str) -> None:
    put(*chain(400))
    tree = tree_of(client, task_id)
    assert nesting(tree) == workflow.DEPTH_MAX + 1
    assert 'aria-current="true"' in tree
    assert "350 parts" in tree


def test_a_task_that_calls_itself_for_ever_shows_the_run_and_its_parent(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow, "MEMBERS_MAX", 20)
    put(*chain(100))
    tree = tree_of(client, "run99")
    assert re.findall(r'href="/runs/(run9\d)"|(aria-current)', tree) == [("run98", ""), ("", "aria-current")]
    assert "Workflow of 23+ runs" in client.get("/runs/run99").text


def test_a_poll_reads_no_more_of_a_workflow_than_is_shown(app: Flask) -> None:
    """Its cost is bounded by the same number as the page, so a change beyond it is no news."""
    put(*chain(workflow.MEMBERS_MAX + 50, changed=99, state="STARTED"))
    with db.engine.connect() as connection:
        first, last = (run_by_id(connection, f"run{n}") for n in (0, workflow.MEMBERS_MAX + 49))
        assert first is not None
        assert last is not None
        assert workflow.version(connection, first) == (1, False)
        assert workflow.version(connection, last) == (99, True)


@pytest.mark.parametrize("task_id", ["run0", "run1", "run2"])
def test_a_poll_hears_of_every_run_that_is_shown(app: Flask, client: FlaskClient, task_id: str) -> None:
    put(*chain(3))
    found = re.search(r'hx-get="([^"]*/fragments/run\?[^"]*)"', client.get(f"/runs/{task_id}").text)
    assert found is not None
    poll = html.unescape(found[1])
    assert client.get(poll).status_code == 204
    for other, changed in (("run0", 7), ("run2", 8)):
        with db.engine.begin() as connection:
            connection.execute(update(runs).where(runs.c.task_id == other).values(changed=changed))
        answer = client.get(poll)
        assert answer.status_code == 200
        found = re.search(r'hx-get="([^"]*/fragments/run\?[^"]*)"', answer.text)
        assert found is not None
        poll = html.unescape(found[1])


@pytest.mark.sqlite_only
def test_a_workflow_is_found_by_indexes(app: Flask, client: FlaskClient) -> None:
    put(*chain(3))
    with scans(db.engine) as found:
        client.get("/runs/run2")
        client.get("/fragments/run?task_id=run2&v=0")
    assert found == []


def test_a_group_of_chains_is_folded_in_each_generation(app: Flask, client: FlaskClient) -> None:
    parts: list[dict[str, Any]] = [{"task_id": "group"}]
    for before, kind in (("", "a"), ("a", "b"), ("b", "c")):
        parts += [
            {"task_id": f"{kind}{n}", "root_id": "group", "parent_id": f"{before}{n}" if before else "group"}
            for n in range(130)
        ]
    parts[-1] |= {"state": "FAILURE"}
    put(*parts)
    tree = tree_of(client, "b129")
    assert re.findall(r"<summary>([\d,]+ parts)", tree) == ["130 parts"] * 3
    assert len(re.findall("<li>", tree)) == 1 + 3 * workflow.FOLDED_MAX
    # Whoever looks at it, and what failed, stand first among those that are listed.
    assert 'aria-current="true"' in tree
    assert 'href="/runs/c129"' in tree
    names = re.findall(r'<details id="([^"]*)"', tree)
    assert len(set(names)) == 3


def test_a_poll_of_a_run_asks_the_database_little(app: Flask, client: FlaskClient) -> None:
    put(*chain(50))
    asked: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
    page = client.get("/runs/run3").text
    poll = html.unescape(re.search(r'hx-get="([^"]*/fragments/run\?[^"]*)"', page)[1])  # type: ignore[index]
    asked.clear()
    assert client.get(poll).status_code == 204
    assert len([said for said in asked if "vase_task_runs" in said]) == 2
