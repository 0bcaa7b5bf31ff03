"""What a list costs with a million runs, and with ten: every filter and sort, the first page and a deep one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import parse_qsl

import redis
from flask import Flask
from flask.testing import FlaskClient

from bench import history
from bench.common import Figure, site
from bench.record import Flower, flower
from bench.tape import record, replay
from tests.support import Stack, wait_until
from webapp import create_app
from webapp.extensions import db
from webapp.search.pages import fetch_page
from webapp.search.query import Cursor, Filter
from webapp.services import services_of

ROUNDS = 7
PASSES = 5
MILLION = 1_000_000
TEN_MILLIONS = 10 * MILLION
DEEP = " (deep)"
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
        services_of(app).rendered.rows.clear()
        start = time.perf_counter()
        answer = client.get(address)
        times.append((time.perf_counter() - start) * 1000)
        if answer.status_code != 200:
            raise AssertionError(f"{address} answered {answer.status_code}")
    return median(times)


def deep(query: str) -> str:
    """Return the query of a page far down: at nine tenths of the time, or twenty pages on where it is sorted."""
    wanted = Filter.parse(dict(parse_qsl(query)))
    with db.engine.connect() as connection:
        if not wanted.sort:
            first, last = connection.exec_driver_sql("SELECT min(id), max(id) FROM vase_task_runs").one()
            return f"{query}&before={Cursor(int(last - (last - first) * 0.9))}"
        for _ in range(20):
            found = fetch_page(connection, wanted)
            if found.older is None:
                break
            wanted = Filter.parse(wanted.to_params(before=found.older))
    return f"{query}&before={wanted.cursor}" if wanted.cursor else query


def times_of(path: Path, queries: tuple[str, ...]) -> dict[str, float]:
    """Return milliseconds by query, first and deep pages."""
    with site_on(path) as client:
        app = client.application
        addresses = {query: f"/?{query}" for query in queries}
        addresses |= {query + DEEP: f"/?{deep(query)}" for query in queries}
        # A shared machine stands still for a tenth of a second now and then, so each is asked for at several times.
        passes = [{name: milliseconds(app, client, addresses[name]) for name in addresses} for _ in range(PASSES)]
    return {name: median(times[name] for times in passes) for name in addresses}


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


def worst(found: dict[str, float], queries: tuple[str, ...], far: bool) -> float:
    """Return the milliseconds of the slowest first, or deep, page of these queries."""
    return max(
        value for name, value in found.items() if name.removesuffix(DEEP) in queries and name.endswith(DEEP) == far
    )


def measure() -> Iterator[Figure]:
    """Yield the slowest pages with a million runs against Flower's table, and with ten millions against one."""
    path = file_with(MILLION)
    yield Figure("bytes a run, search included", path.stat().st_size / MILLION, 900, "B", 1)
    ours = times_of(path, FILTERS + SEARCHES)
    with full_flower() as theirs:
        first, far = theirs.milliseconds_of_table(0), theirs.milliseconds_of_table(90_000)
    yield Figure("list, slowest first page, 1M", worst(ours, FILTERS, far=False), first, "ms", 1 / 30)
    yield Figure("list, slowest deep page, 1M", worst(ours, FILTERS, far=True), far, "ms", 1 / 30)
    yield Figure("list, slowest page, 1M", max(worst(ours, FILTERS, far=deep) for deep in (False, True)), 10, "ms")
    yield Figure("search, slowest page, 1M", max(worst(ours, SEARCHES, far=deep) for deep in (False, True)), 50, "ms")
    more = times_of(file_with(TEN_MILLIONS), FILTERS + SEARCHES)
    most = max(more, key=lambda name: more[name] / ours[name])
    yield Figure("any page, most at 10M against 1M", more[most], ours[most], "ms", 2)


@contextmanager
def full_flower(*options: str) -> Iterator[Flower]:
    """Run Flower with 100,000 tasks in its memory, its default cap."""
    with site(Stack, "redis") as stack, flower(stack, "--max_tasks=100000", *options) as running:
        broker = redis.Redis.from_url(stack.broker_url)
        for _ in range(5):
            tape = record(20_000)
            before = running.taken()
            replay(broker, tape, 4500.0, append=False)
            told = before + sum(message.events for message in tape)
            wait_until(lambda told=told: running.taken() >= told, f"Flower has taken all: {running.taken()}", 60)
        yield running


if __name__ == "__main__":
    import sys

    for name, value in times_of(Path(sys.argv[1]), FILTERS + SEARCHES).items():
        print(f"{value:7.2f} ms  {name}")
