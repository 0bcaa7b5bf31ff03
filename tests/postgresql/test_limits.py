"""The time that a search may take on PostgreSQL, which takes the time of each statement alone."""

from __future__ import annotations

import time

import pytest
from flask import Flask
from sqlalchemy import Connection, text

from webapp.errors import SearchTimeoutError
from webapp.extensions import db
from webapp.search.timeout import time_limit


def sleep_often(connection: Connection, seconds: float) -> None:
    for _ in range(20):
        connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})


@pytest.mark.parametrize("seconds", [10.0, 0.2], ids=["one long statement", "many short ones"])
def test_what_takes_too_long_is_stopped(app: Flask, seconds: float) -> None:
    with db.engine.connect() as connection:
        began = time.monotonic()
        with pytest.raises(SearchTimeoutError), time_limit(connection, 0.5):
            sleep_often(connection, seconds)
        assert time.monotonic() - began < 3.0


def test_the_limit_ends_with_the_search(app: Flask) -> None:
    with db.engine.connect() as connection:
        with pytest.raises(SearchTimeoutError), time_limit(connection, 0.1):
            connection.execute(text("SELECT pg_sleep(10)"))
        connection.execute(text("SELECT pg_sleep(0.3)"))


def test_a_search_waits_for_no_compiler_and_goes_by_what_is_searched_for(app: Flask) -> None:
    with db.engine.connect() as connection:
        settings = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in ("jit", "plan_cache_mode")]
    assert settings == ["off", "force_custom_plan"]
