"""The database is locked, full or started again; events wait in Redis and are recorded afterwards."""

from __future__ import annotations

import contextlib
import resource
import sqlite3
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.faults.checker import Checker
from tests.faults.conftest import Experiment
from tests.postgres import Cluster
from tests.support import wait_until


def file_of(checker: Checker) -> Path:
    """Return SQLite's file."""
    return checker.stack.folder / "instance" / "vase.sqlite3"


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_a_locked_database(experiment: Experiment) -> None:
    """Nobody can write for three times as long as a writer waits; pages are read all the same."""
    checker = experiment("SQLite locked for 15 s", "redis", "worker", "recorder", "web")
    checker.submit_many("late", 40, 0.5)
    with contextlib.closing(sqlite3.connect(file_of(checker), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        end = time.monotonic() + 15
        status, page = checker.stack.submit("1", "2", key=checker.attempt())
        assert (status, "The database does not answer" in page) == (503, True)
        while time.monotonic() < end:
            began = time.monotonic()
            for address in ("/", "/recording"):
                assert checker.stack.get(address)[0] == 200
            assert time.monotonic() - began < 2.0
            time.sleep(0.5)
        other.execute("ROLLBACK")
    assert checker.settle() == {"SUCCESS": 40}


@pytest.mark.sqlite_only
@pytest.mark.slow
def test_a_full_database(experiment: Experiment) -> None:
    """The recorder's files may not grow any further, as on a full disk."""
    checker = experiment("SQLite full for 8 s", "redis", "worker", "recorder")
    checker.submit_many("late", 10)
    wait_until(lambda: checker.states()["SUCCESS"] == 10, "the first ones have ended")
    recorder = checker.stack.parts["recorder"].pid
    size = max(path.stat().st_size for path in file_of(checker).parent.glob("vase.sqlite3*"))
    resource.prlimit(recorder, resource.RLIMIT_FSIZE, (size // 2, resource.RLIM_INFINITY))
    checker.submit_many("late", 40)
    wait_until(lambda: "The database is away" in checker.stack.log("recorder"), "the recorder cannot write")
    time.sleep(8)
    resource.prlimit(recorder, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert checker.settle() == {"SUCCESS": 50}


@pytest.mark.slow
def test_postgresql_crashes_and_comes_back(experiment: Experiment) -> None:
    cluster = Cluster()
    try:
        name = "faults"
        with psycopg.connect(cluster.url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        address = make_url(cluster.url).set(database=name).render_as_string(hide_password=False)
        tried = "PostgreSQL crashes and is away for 5 s"
        checker = experiment(tried, "redis", "worker", "recorder", "web", DATABASE_URL=address)
        checker.submit_many("late", 40, 0.5)
        cluster.stop("immediate")
        status, page = checker.stack.get("/")
        assert (status, "The database does not answer" in page) == (503, True)
        time.sleep(5)
        cluster.start()
        wait_until(lambda: checker.stack.get("/")[0] == 200, "pages are back")
        checker.submit_many("late", 10)
        assert checker.settle() == {"SUCCESS": 50}
        checker.close()
        checker.stack.stop_all()
    finally:
        cluster.remove()
