"""PostgreSQL is started again, ends connections or lets nobody write: pages stay calm and recording goes on."""

from __future__ import annotations

import html
import re
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.firewall import Firewall
from tests.postgres import Cluster, fresh_database
from tests.support import Stack, wait_until

ANSWERED = 9.0
"""Seconds in which a submission is answered that cannot be written: it waits for who waits before it, then alone."""
FOUND_OUT = 45.0
"""Seconds in which a dead connection is found out; thirty are promised, the rest is for a busy machine."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server that these tests may stop; it runs when each begins and ends."""
    cluster = Cluster()
    yield cluster
    cluster.remove()


@pytest.fixture(scope="module")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A whole running Vase on that server."""
    with psycopg.connect(cluster.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE DATABASE vase")
    url = make_url(cluster.url).set(database="vase").render_as_string(hide_password=False)
    stack = Stack(tmp_path_factory.mktemp("stack"), DATABASE_URL=url, DIVIDE_SECONDS="0")
    try:
        stack.migrate()
        stack.start("redis")
        stack.start("worker", "recorder", "web")
        yield stack
    finally:
        stack.stop_all()


def ends_well(stack: Stack) -> bool:
    """Say whether every run there is has ended well."""
    return stack.query("SELECT DISTINCT state FROM vase_task_runs") == [("SUCCESS",)]


def test_the_first_page_after_a_restart_is_answered(stack: Stack, cluster: Cluster) -> None:
    """Connections that were open before are of no use any more, and nobody is shown that."""
    for _ in range(3):
        assert stack.get("/")[0] == 200
    cluster.stop()
    cluster.start()
    assert [stack.get("/")[0] for _ in range(8)] == [200] * 8


def test_recording_goes_on_after_a_restart(stack: Stack, cluster: Cluster) -> None:
    cluster.stop()
    cluster.start()
    stack.submit("1", "2")
    wait_until(lambda: ends_well(stack), "the run has ended")


def test_while_it_is_away_pages_and_probe_say_so(stack: Stack, cluster: Cluster) -> None:
    cluster.stop("immediate")
    try:
        answers = [stack.get("/"), stack.submit("1", "2"), stack.get("/run?task_id=x"), stack.get("/fragments/runs")]
        ready = stack.get_json("/ready")
    finally:
        cluster.start()
    assert [(status, "The database does not answer" in page) for status, page in answers] == [(503, True)] * 4
    assert (ready[0], ready[1]["checks"]["database"]["ok"]) == (503, False)


def test_the_recorder_says_in_one_line_that_it_is_away(stack: Stack, cluster: Cluster) -> None:
    cluster.stop()
    try:
        wait_until(lambda: "The database is away: " in stack.log("recorder"), "the recorder says so")
    finally:
        cluster.start()
    said = [line for line in stack.log("recorder").splitlines() if not line.startswith(("INFO", "WARNING", "ERROR"))]
    assert said == []


def waits_for_news(stack: Stack) -> HTTPResponse | None:
    """Open the answer that waits for news as a page does; None where there was some at once."""
    address = wait_until(lambda: re.findall(r'data-news="([^"]*)"', stack.get("/")[1]), "nothing is live")[0]
    opened: HTTPResponse = urllib.request.urlopen(stack.url + html.unescape(address), timeout=20)
    if opened.readline().startswith(b": still here"):
        return opened
    opened.close()
    return None


def test_a_page_that_waits_for_news_is_let_go(stack: Stack, cluster: Cluster) -> None:
    """Its browser connects anew by itself. To read to the end would raise where the answer broke off in the middle."""
    waiting = wait_until(lambda: waits_for_news(stack), "a page waits for news")
    assert waiting
    with waiting:
        cluster.stop()
        try:
            waiting.read()
        finally:
            cluster.start()
        assert waiting.isclosed()


def test_connections_that_the_server_ends_are_made_anew(stack: Stack) -> None:
    mine = "datname = 'vase' AND pid <> pg_backend_pid()"
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}"
    wait_until(lambda: stack.query(end), "a connection was there to be ended")
    assert stack.get("/")[0] == 200
    stack.submit("1", "2")
    wait_until(lambda: ends_well(stack), "the run has ended")


def test_a_writer_that_halts_in_the_middle_keeps_nobody_waiting_for_ever(stack: Stack) -> None:
    with stack.database() as other:
        other.execute("UPDATE vase_changes SET version = version + 1")
        assert stack.get("/")[0] == 200
        began = time.monotonic()
        status, page = stack.submit("1", "2")
        took = time.monotonic() - began
        other.rollback()
    assert (status, "The database does not answer" in page) == (503, True)
    assert took < ANSWERED
    stack.submit("1", "3")
    wait_until(lambda: ends_well(stack), "the run has ended")


def test_a_recorder_whose_connections_a_firewall_has_forgotten_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    wall = Firewall(cluster.port)
    with psycopg.connect(cluster.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE DATABASE behind")
    url = make_url(cluster.url).set(database="behind")
    stack = Stack(tmp_path, DATABASE_URL=url.set(port=wall.port).render_as_string(hide_password=False))
    stack.database_url = url.render_as_string(hide_password=False)
    beat = "SELECT max(beat_at) FROM vase_recorders"
    try:
        stack.migrate()
        stack.start("redis")
        stack.start("recorder", "web")
        wait_until(lambda: stack.query(beat)[0][0], "the heart beats")
        assert wall.forget() > 0
        forgotten_at = time.time()
        wait_until(lambda: stack.query(beat)[0][0] > forgotten_at, "the heart beats again", FOUND_OUT)
        wait_until(lambda: stack.get("/")[0] == 200, "pages are back", FOUND_OUT)
        assert "Traceback" not in stack.log("recorder")
    finally:
        stack.stop_all()
        wall.close()


def test_nothing_of_this_was_unforeseen(stack: Stack) -> None:
    """No part has printed where in its code it was; this stands last and looks at all that was said."""
    said = stack.log("recorder") + stack.log("web")
    assert "Traceback" not in said


def test_every_database_is_a_new_one(tmp_path: Path) -> None:
    """Tests cannot see what others have left."""
    first, second = fresh_database(), fresh_database()
    assert first != second
