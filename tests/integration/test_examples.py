"""The examples as their readers use them: a Django project that knows nothing of Vase, a Flask site with it inside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import BIN, ROOT, Stack, free_port, wait_until

# Which database remembers the runs plays no part.
pytestmark = pytest.mark.sqlite_only

DJANGO = ROOT / "examples" / "django_celery_example"
FLASK = ROOT / "examples" / "flask_celery_example"
DIVIDE = "division.tasks.divide"


def post(url: str, **fields: str) -> tuple[str, str]:
    """Send a form; return the address and the text of the page that follows."""
    with urllib.request.urlopen(url, urllib.parse.urlencode(fields).encode(), timeout=20) as answer:
        return answer.url, answer.read().decode()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read().decode())


@pytest.fixture(scope="module")
def django(stack: Stack) -> Iterator[dict[str, str]]:
    """The Django project's worker on the site's Redis; its environment."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("CELERY_", "DJANGO_"))}
    environ = kept | {"CELERY_BROKER_URL": stack.broker_url, "DIVIDE_SECONDS": "0.1"}
    command = [BIN / "celery", "-A", "site_of_others", "worker", "-E", "-n", "django@example", "--concurrency", "1"]
    log = (stack.folder / "django.log").open("wb")
    worker = subprocess.Popen(command, cwd=DJANGO, env=environ, stdout=log, stderr=log)
    yield environ
    worker.terminate()
    worker.wait(timeout=30)
    log.close()


def test_the_worker_of_a_django_project_is_watched(stack: Stack, django: dict[str, str]) -> None:
    wait_until(lambda: "django@example" in stack.get("/recording")[1], "the worker is shown")


def test_what_djangos_own_code_starts_is_recorded(stack: Stack, django: dict[str, str]) -> None:
    code = "from division.tasks import divide; print(divide.delay(1, 2).id)"
    command = [BIN / "python", "manage.py", "shell", "-v", "0", "-c", code]
    task_id = subprocess.run(command, cwd=DJANGO, env=django, check=True, capture_output=True, text=True).stdout.strip()
    assert stack.row_once(task_id, state="SUCCESS", outcome_exact=1)["result"] == "0.5"


def test_a_task_of_a_django_project_is_run_from_the_page(stack: Stack, django: dict[str, str]) -> None:
    wait_until(lambda: DIVIDE in stack.get("/tasks")[1], "the worker was asked for its tasks", 60)
    call = json.dumps({"args": [1, 4], "kwargs": {}})
    url, _ = post(f"{stack.url}/task", name=DIVIDE, mode="raw", raw=call)
    # The result may be read before the worker's events are, which alone tell of the worker.
    row = stack.row_once(url.rpartition("/")[2], state="SUCCESS", outcome_exact=1, worker="django@example")
    assert (row["result"], row["queue"]) == ("0.25", "django")


def test_a_run_of_a_django_project_is_cancelled_from_the_page(stack: Stack, django: dict[str, str]) -> None:
    wait_until(lambda: DIVIDE in stack.get("/tasks")[1], "the worker was asked for its tasks", 60)
    call = json.dumps({"args": [1, 4], "kwargs": {}})
    url, _ = post(f"{stack.url}/task", name=DIVIDE, mode="raw", raw=call, **{"o.countdown": "1 h"})
    task_id = url.rpartition("/")[2]
    stack.row_once(task_id, state="RECEIVED")
    post(f"{stack.url}/cancel", task_id=task_id)
    stack.row_once(task_id, state="REVOKED")


SITES_OWN = {
    "DATABASE_URL": "mysql://site:secret@db/site",
    "PORT": "tcp://10.0.0.1:80",
    "REDIS_PORT": "tcp://10.0.0.2:6379",
    "QUERY_SECONDS": "never",
    "CELERY_TASK_DEFAULT_QUEUE": "sites",
}

MOUNTED_IN_DJANGO = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "site_of_others.settings"
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
from site_of_others.celery import app as celery_app

from werkzeug.middleware.dispatcher import DispatcherMiddleware
from webapp import create_app
application = DispatcherMiddleware(application, {"/celery": create_app(celery=celery_app)})

from flask_migrate import upgrade
with application.mounts["/celery"].app_context():
    upgrade(directory=os.environ["MIGRATIONS"])

from werkzeug.test import Client
client = Client(application)
page = client.get("/celery/task?name=division.tasks.divide").text
sent = client.post("/celery/task", data={"name": "division.tasks.divide", "p.x": "1", "p.y": "4", "mode": "fields"})
print('name="p.x"' in page, sent.status_code, sent.location)
"""


def test_the_dashboard_is_mounted_in_a_django_site(stack: Stack, django: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mounted.py").write_text(MOUNTED_IN_DJANGO)
    environ = django | {"PYTHONPATH": f"{ROOT}:{DJANGO}", "MIGRATIONS": str(ROOT / "migrations")}
    # What the site's own environment says is none of Vase's.
    environ |= SITES_OWN | {"VASE_INSTANCE_PATH": str(tmp_path), "VASE_DATABASE_URL": ""}
    command = [BIN / "python", tmp_path / "mounted.py"]
    said = subprocess.run(command, cwd=tmp_path, env=environ, check=True, capture_output=True, text=True, timeout=60)
    typed, status, location = said.stdout.split()[-3:]
    assert (typed, status) == ("True", "303")
    # The site of the other tests hears of it too.
    assert stack.row_once(location.rpartition("/")[2], state="SUCCESS", outcome_exact=1)["result"] == "0.25"


@pytest.fixture
def mounted(own_stack: Stack) -> Iterator[tuple[Stack, str]]:
    """The Flask site with the dashboard inside, its worker and its recorder; the stack and the dashboard's address."""
    own_stack.start("redis")
    port = free_port()
    own = {f"VASE_{name}": text for name, text in own_stack.settings.items()}
    environ = own_stack.environ | SITES_OWN | own | {"PYTHONPATH": str(ROOT)}
    commands = (
        ["flask", "--app", "dashboard", "record"],
        ["celery", "-A", "app.celery", "worker", "-E", "--concurrency", "1"],
        ["gunicorn", "--bind", f"127.0.0.1:{port}", "app:app"],
    )
    log = (own_stack.folder / "flask.log").open("wb")
    parts = [
        subprocess.Popen([str(BIN / name), *rest], cwd=FLASK, env=environ, stdout=log, stderr=log)
        for name, *rest in commands
    ]
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return "site itself" in get(f"{url}/")
        except OSError:
            return False

    try:
        wait_until(answers, "the site answers", 30)
        yield own_stack, f"{url}/celery"
    finally:
        for part in parts:
            part.terminate()
        for part in parts:
            part.wait(timeout=30)
        log.close()


def test_a_site_that_mounts_the_dashboard_runs_its_own_tasks_typed(mounted: tuple[Stack, str]) -> None:
    stack, url = mounted
    form = get(f"{url}/task?name=app.price")
    assert 'name="p.amount"' in form
    assert "How many." in form
    address, _ = post(f"{url}/task", **{"name": "app.price", "mode": "fields", "p.amount": "3"})
    assert address.startswith(f"{url}/runs/")
    assert stack.row_once(address.rpartition("/")[2], state="SUCCESS", outcome_exact=1)["result"] == '"29.70"'


def test_an_idle_tab_holds_no_worker_of_the_sites_own_server(mounted: tuple[Stack, str]) -> None:
    """That is gunicorn's sync worker, which answers one request after the other."""
    _, url = mounted
    page = get(url)
    assert ("every 5s" in page, "data-news" in page) == (True, False)
    assert get(f"{url}/changes?since=never") == ""


def test_every_address_of_a_mounted_page_stays_below_its_prefix(mounted: tuple[Stack, str]) -> None:
    _, url = mounted
    for path in ("/", "/tasks", "/recording", "/bulk", "/task?name=app.price"):
        found = re.findall(r'(?:href|src|action|hx-get|hx-post|data-news)="(/[^"]*)"', get(url + path))
        assert found
        assert [address for address in found if not address.startswith("/celery/")] == []


def test_the_tasks_that_vase_ships_are_none_of_a_mounted_site(mounted: tuple[Stack, str]) -> None:
    _, url = mounted
    page = get(f"{url}/tasks")
    assert ("app.price" in page, "webapp.tasks" in page) == (True, False)


def test_the_folders_of_the_examples_have_a_readme() -> None:
    assert all(Path(folder, "README.md").exists() for folder in (DJANGO, FLASK))
