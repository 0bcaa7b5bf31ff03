"""bin/up on PostgreSQL: the same parts, and no other file than those of Redis."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.integration.test_up import Launch
from tests.postgres import empty_database


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """A Vase on a PostgreSQL without tables, not started yet."""
    launch = Launch(tmp_path, DATABASE_URL=empty_database())
    yield launch
    launch.end()


def test_it_makes_the_tables_and_all_parts_run(launch: Launch) -> None:
    launch.start()
    launch.says("Vase is ready")
    assert launch.page() == 200
    with psycopg.connect(launch.environ["DATABASE_URL"].replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT count(*) FROM vase_recorders").fetchone() == (1,)
    assert not list(launch.instance.glob("*.sqlite3*"))
    launch.signal(signal.SIGINT)
    assert launch.process
    assert launch.process.wait(timeout=30) == 0
