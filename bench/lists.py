"""What a list costs with a million runs, and with ten: every filter and sort, the first page and a deep one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import parse_qsl

from flask import Flask
from flask.testing import FlaskClient

from bench import history
from webapp import create_app
from webapp.extensions import db
from webapp.filters import Cursor, Filter
from webapp.listing import page

ROUNDS = 7
FILTERS = (
    "",
    "state=live",
    "state=success",
    "state=failure",
    "state=other",
    "state=REVOKED",
    "task=webapp.tasks.divide",
    "task=shop.reports.build",
    "worker=celery%40worker-b",
    "queue=mail",
    "origin=here",
    "origin=elsewhere",
    "retried=yes",
    "retried=no",
    "since=1h",
    "since=7d",
    "state=failure&task=shop.mail.send&worker=celery%40worker-c",
    "sort=running",
    "sort=waiting",
    "sort=running&state=failure",
    "sort=waiting&task=shop.mail.send",
)
SEARCHES = (
    "q=args:42",
    "q=42",
    "q=division",
    "q=nothinglikethis",
    "q=%22division+by+zero%22",
    "q=%22divided+by+zero%22",
    "q=-args:42",
    "q=state:failure+task:divide+worker:celery%40worker-a+args:42+since:7d+-name:noise",
    "q=42&sort=running",
)


@contextmanager
def site_on(path: Path) -> Iterator[FlaskClient]:
    """Open a site on a database file."""
    app = create_app({"INSTANCE_PATH": str(path.parent), "DATABASE_URL": f"sqlite:///{path}", "QUERY_SECONDS": 30.0})
    with app.app_context():
        yield app.test_client()
        db.engine.dispose()


def milliseconds(app: Flask, client: FlaskClient, address: str) -> float:
    """Return the median server time of a page that nobody has asked for before."""
    times = []
    for _ in range(ROUNDS):
        app.extensions["ledger"].clear()
        start = time.thread_time()
        answer = client.get(address)
        times.append((time.thread_time() - start) * 1000)
        if answer.status_code != 200:
            raise AssertionError(f"{address} answered {answer.status_code}")
    return min(times)


def deep(query: str) -> str:
    """Return the query of a page far down: at nine tenths of the time, or twenty pages on where it is sorted."""
    wanted = Filter.parse(dict(parse_qsl(query)))
    with db.engine.connect() as connection:
        if not wanted.sort:
            first, last = connection.exec_driver_sql("SELECT min(id), max(id) FROM task_runs").one()
            return f"{query}&before={Cursor(int(last - (last - first) * 0.9))}"
        for _ in range(20):
            found = page(connection, wanted)
            if found.older is None:
                break
            wanted = Filter.parse(wanted.to_params(before=found.older))
    return f"{query}&before={wanted.cursor}" if wanted.cursor else query


def times_of(path: Path, queries: tuple[str, ...]) -> dict[str, float]:
    """Return milliseconds by query, first and deep pages."""
    with site_on(path) as client:
        app = client.application
        client.get("/")
        found = {}
        for query in queries:
            found[query] = milliseconds(app, client, f"/?{query}")
            found[f"{query} (deep)"] = milliseconds(app, client, f"/?{deep(query)}")
    return found


def file_with(count: int) -> Path:
    """Return a database file with so many runs, made once and kept in BENCH_FOLDER."""
    folder = Path(os.environ.get("BENCH_FOLDER", "instance/bench")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"runs-{count}.sqlite3"
    if not path.exists():
        draft = path.with_suffix(".draft")
        for left in folder.glob(f"{draft.name}*"):
            left.unlink()
        history.make(draft, count)
        draft.rename(path)
    return path


if __name__ == "__main__":
    import sys

    for name, value in times_of(Path(sys.argv[1]), FILTERS + SEARCHES).items():
        print(f"{value:7.2f} ms  {name}")
