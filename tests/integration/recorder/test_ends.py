"""How runs of a foreign app end, and what they are called meanwhile, with Celery's own worker."""

from __future__ import annotations

import html
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests.support import BIN, ROOT, Stack, wait_until

# Which database remembers the runs plays no part.
pytestmark = pytest.mark.sqlite_only

STUDIO = """
import os
from celery import Celery, Task
from celery.exceptions import Ignore

app = Celery("studio", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.task_default_queue = "studio"
failure = {"exc_type": "ValueError", "exc_message": ["not this time"], "exc_module": "builtins"}

class Late(Task):
    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        self.update_state(task_id=task_id, state="FAILURE", meta=failure)

@app.task(name="studio.skip", bind=True)
def skip(self):
    self.update_state(state="SKIPPED", meta={"why": "duplicate"})
    raise Ignore()

@app.task(name="studio.ignore")
def ignore():
    raise Ignore()

@app.task(name="studio.late", base=Late, ignore_result=True)
def late():
    return 1

@app.task(name="studio.flaky", bind=True, max_retries=2)
def flaky(self):
    raise self.retry(countdown=60, exc=OSError("the line dropped"))

@app.task(name="studio.paint")
def paint(*colours):
    return 1

@app.task(name="studio.ask")
def ask(n):
    paint.delay(n)
    return n
"""

OURS = """
from celery.exceptions import Ignore
from celery_worker import celery

@celery.task(name="ours.skip", bind=True)
def skip(self):
    self.update_state(state="SKIPPED", meta={"why": "duplicate"})
    raise Ignore()

@celery.task(name="ours.ignore")
def ignore():
    raise Ignore()
"""


@pytest.fixture(scope="module")
def vase(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Vase without workers of its own, that names its doubts soon, beside a worker of the studio."""
    folder = tmp_path_factory.mktemp("studio")
    (folder / "studio.py").write_text(STUDIO)
    stack = Stack(folder, DOUBT_SECONDS="6")
    stack.migrate()
    worker = None
    try:
        stack.start("redis")
        worker = _worker(folder, stack.broker_url)
        stack.start("recorder", "web")
        answered = "SELECT 1 FROM vase_workers WHERE online AND queues IS NOT NULL"
        wait_until(lambda: stack.query(answered), "the worker is known", 60)
        yield stack
    finally:
        if worker is not None:
            _end(worker)
        stack.stop_all()


def _worker(folder: Path, broker: str) -> subprocess.Popen[bytes]:
    environ = {name: text for name, text in os.environ.items() if not name.startswith("CELERY_")} | {"BROKER": broker}
    return _start("celery -A studio worker -E -c 2 -n studio@there", folder, environ, folder / "studio.log")


def _start(command: str, folder: Path, environ: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    program, *arguments = command.split()
    with log.open("wb") as said:
        return subprocess.Popen(
            [BIN / program, *arguments], cwd=folder, env=environ, stdout=said, stderr=said, start_new_session=True
        )


def _end(worker: subprocess.Popen[bytes]) -> None:
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


@pytest.fixture(scope="module")
def studio(vase: Stack) -> Iterator[Celery]:
    """A client of the studio."""
    with Celery("client", broker=vase.broker_url, set_as_current=False) as client:
        client.conf.task_default_queue = "studio"
        yield client


@pytest.fixture(scope="module")
def _ours(vase: Stack) -> Iterator[None]:
    """A worker of our own kind, with tasks that end in their own way."""
    (vase.folder / "ours.py").write_text(OURS)
    environ = vase.environ | {"PYTHONPATH": str(vase.folder)}
    worker = _start("celery -A ours worker -E -c 1 -Q ours -n ours@here", ROOT, environ, vase.folder / "ours.log")
    yield
    _end(worker)


def page_of(vase: Stack, task_id: str) -> str:
    status, page = vase.get(f"/runs/{task_id}")
    assert status == 200
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def send(studio: Celery, name: str, *args: Any, **options: Any) -> str:
    return str(studio.send_task(f"studio.{name}", args, **options).id)


def test_an_end_of_the_apps_own_is_the_end_with_its_meta(vase: Stack, studio: Celery) -> None:
    task_id = send(studio, "skip")
    row = vase.row_once(task_id, state="SKIPPED", phase=3, timeout=60)
    assert row["result"] == '{"why": "duplicate"}'
    page = page_of(vase, task_id)
    assert "Skipped" in page
    assert "duplicate" in page
    for query in ("state:skipped", "result:duplicate"):
        assert task_id in vase.get(f"/?q={query}")[1]


def test_a_run_that_was_ignored_is_ignored(vase: Stack, studio: Celery) -> None:
    task_id = send(studio, "ignore")
    assert vase.row_once(task_id, state="IGNORED", timeout=60)["doubt"] is None
    assert "Ignored" in page_of(vase, task_id)


@pytest.mark.usefixtures("_ours")
@pytest.mark.parametrize(
    ("name", "state", "result"), [("skip", "SKIPPED", '{"why": "duplicate"}'), ("ignore", "IGNORED", None)]
)
def test_a_worker_of_ours_tells_at_once_of_a_task_that_was_ignored(
    vase: Stack, studio: Celery, name: str, state: str, result: str | None
) -> None:
    task_id = str(studio.send_task(f"ours.{name}", queue="ours").id)
    row = vase.row_once(task_id, state=state, phase=3)
    assert row["result"] == result
    # What is judged by the worker's silence is dated by when that was.
    assert row["state_at"] - row["started_at"] < 3


def test_what_the_result_backend_has_is_the_end_whatever_the_event_says(vase: Stack, studio: Celery) -> None:
    row = vase.row_once(send(studio, "late"), state="FAILURE")
    assert row["exception"] == "ValueError('not this time')"


def test_the_first_retry_is_retry_1_and_says_when(vase: Stack, studio: Celery) -> None:
    task_id = send(studio, "flaky")
    vase.row_once(task_id, state="RETRY", retries=1)
    page = page_of(vase, task_id)
    assert "Retry 1" in page
    assert re.search(r"Not before\s+\w{3} \d\d \d\d:\d\d:\d\d\s*, in\s+\d", page)
    assert "Called by" not in page


def test_a_run_with_an_eta_is_scheduled_by_the_readers_clock(vase: Stack, studio: Celery) -> None:
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    task_id = send(studio, "paint", eta=at)
    vase.row_once(task_id, state="RECEIVED")
    for path in (f"/runs/{task_id}", "/"):
        page = vase.get(path)[1]
        assert ">Scheduled</span>" in page
        assert f'<time datetime="{at:%Y-%m-%dT%H:%M:%S}.000Z"' in page
        assert re.search(r'in <span data-until="[^"]+">(2 h 0|1 h 59) min<', page)


def test_a_task_that_is_not_registered_has_its_name(vase: Stack, studio: Celery) -> None:
    row = vase.row_once(send(studio, "nowhere"), state="FAILURE")
    assert row["name"] == "studio.nowhere"


def workflow_of(vase: Stack, task_id: str) -> str:
    page = vase.get(f"/runs/{task_id}")[1]
    return page.partition('<section class="workflow">')[2].partition("</section>")[0]


def depths(tree: str) -> list[tuple[int, str]]:
    """Return the short names in a drawn tree, each with how deep it stands."""
    depth, found = 0, []
    for match in re.finditer(r"<ul>|</ul>|<(?:b|a) [^>]*>(\w+)</", tree):
        depth += {"<ul>": 1, "</ul>": -1}.get(match[0], 0)
        if match[1]:
            found.append((depth, match[1]))
    return found


def ended(vase: Stack, *task_ids: str) -> None:
    for task_id in task_ids:
        vase.row_once(task_id, state="SUCCESS", outcome_exact=1)


def from_python(vase: Stack, workflow: str) -> list[str]:
    """Send a workflow as an app does; return the ids of its last run and of the members of its group."""
    code = (
        "from studio import *; from celery import chain, chord, group; sent = "
        f"{workflow}.apply_async(); print(sent.id, *(one.id for one in getattr(sent.parent or sent, 'results', [])))"
    )
    said = subprocess.run(
        [BIN / "python", "-c", code],
        cwd=vase.folder,
        env=os.environ | {"BROKER": vase.broker_url},
        text=True,
        capture_output=True,
        check=True,
        timeout=60,
    )
    return said.stdout.split()


def test_a_group_is_a_workflow(vase: Stack) -> None:
    _, first, second = from_python(vase, "group(ask.s(1), ask.s(2))")
    ended(vase, first, second)
    wait_until(
        lambda: depths(workflow_of(vase, first)) == [(1, "ask"), (2, "paint"), (1, "ask"), (2, "paint")],
        "both members stand beside each other, each with what it called",
    )


def test_the_callback_of_a_chord_hangs_under_none_of_its_members(vase: Stack) -> None:
    callback, *members = from_python(vase, "chord([ask.s(1), ask.s(2)], paint.s())")
    ended(vase, callback, *members)
    tree = sorted(depths(workflow_of(vase, callback)))
    assert tree == [(1, "ask"), (1, "ask"), (1, "paint"), (2, "paint"), (2, "paint")]


def test_a_chain_with_a_chord_is_one_workflow(vase: Stack) -> None:
    callback, *_ = from_python(vase, "chain(ask.s(0), group(paint.s(1), paint.s(2)), ask.s())")
    ended(vase, callback)
    tree = sorted(depths(workflow_of(vase, callback)))
    # Under the first: what it called, both members and the callback with what that called.
    assert [name for depth, name in tree if depth == 1] == ["ask"]
    assert [name for depth, name in tree if depth == 2].count("ask") == 1


def test_an_id_that_is_used_again_is_a_new_execution_with_an_outcome_of_its_own(vase: Stack, studio: Celery) -> None:
    task_id = "sync-customer-7"
    send(studio, "paint", 1, task_id=task_id)
    vase.row_once(task_id, state="SUCCESS", outcome_exact=1)
    between = send(studio, "paint", 2)
    vase.row_once(between, state="SUCCESS")
    # Celery's backend keeps the SUCCESS of the first.
    studio.send_task("studio.paint", kwargs={"thesecond": 1}, task_id=task_id)
    row = vase.row_once(task_id, state="FAILURE")
    assert "thesecond" in row["exception"]
    first = vase.row(f"{task_id} (execution 1)")
    assert (first["state"], first["args"]) == ("SUCCESS", "(1,)")
    page = vase.get("/")[1]
    assert page.index(f'id="run-{row["id"]}"') < page.index(between)
    assert f'id="run-{row["id"]}"' in vase.get("/?q=error:thesecond")[1]
