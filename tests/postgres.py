"""PostgreSQL for tests: a private cluster that lives as long as the process, or the server of TEST_POSTGRES_URL."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

CHOSEN = os.environ.get("VASE_TEST_DATABASE", "sqlite") == "postgresql"
"""Whether this run of the tests keeps its runs in PostgreSQL."""
FASTER = "fsync=off synchronous_commit=off full_page_writes=off max_connections=200 shared_buffers=64MB".split()
"""What a server need not do whose data nobody wants back."""


def fresh_database() -> str:
    """Return the URL of a new database with all tables and no rows."""
    return _create(_template())


def empty_database() -> str:
    """Return the URL of a new database without tables."""
    return _create("template1")


def copy_of(url: str) -> str:
    """Return the URL of a copy of a database to which nobody is connected."""
    return _create(str(make_url(url).database))


@functools.cache
def server() -> str:
    """Return the URL of a server in which databases can be made; a private one is started on first use."""
    return os.environ.get("TEST_POSTGRES_URL") or Cluster().url


@functools.cache
def _template() -> str:
    """Make a database with all tables once; to copy it takes a tenth of the time of making one."""
    from flask_migrate import upgrade

    from webapp import create_app
    from webapp.extensions import db

    url = empty_database()
    with tempfile.TemporaryDirectory() as folder:
        app = create_app({"INSTANCE_PATH": folder, "DATABASE_URL": url, "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"})
        with app.app_context():
            upgrade()
            db.engine.dispose()
    return str(make_url(url).database)


def _create(template: str) -> str:
    name = f"vase_{uuid.uuid4().hex[:12]}"
    url = make_url(server())
    with psycopg.connect(_plain(str(url.render_as_string(hide_password=False))), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    made = url.set(drivername="postgresql+psycopg", database=name).render_as_string(hide_password=False)
    if "TEST_POSTGRES_URL" in os.environ:
        atexit.register(_drop, name)
    return made


def _drop(name: str) -> None:
    with psycopg.connect(_plain(server()), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


class Cluster:
    """A PostgreSQL server of one's own on a free port; it trusts whoever reaches it on this machine."""

    def __init__(self) -> None:
        from tests.support import free_port

        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="vase-postgres-"))
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            shutil.chown(self.folder, *self._owner())
        self._run(["initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"])
        self.start()
        atexit.register(self.remove)

    def start(self) -> None:
        """Start the server and wait until it answers; it ends with this process, however that ends."""
        where = ["-D", self.data, "-p", str(self.port), "-k", self.folder, "-c", "listen_addresses=127.0.0.1"]
        options = [word for setting in FASTER for word in ("-c", setting)]
        with self.log.open("ab") as log:
            words = self._command(["postgres", *where, *options], lasting=True)
            self.server = subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 60
        while not self._answers():
            if self.server.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"PostgreSQL does not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(_plain(self.url)):
            return True
        return False

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: ``fast`` in order, ``immediate`` as a crash would."""
        self.server.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
        self.server.wait(timeout=60)

    def remove(self) -> None:
        """Stop the server and remove its files."""
        if self.server.poll() is None:
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, words: list[str | Path]) -> None:
        done = subprocess.run(
            self._command(words),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            said = self.log.read_text() if self.log.exists() else ""
            raise AssertionError(f"{words[0]} failed: {done.stderr}{said[-2000:]}")

    def _command(self, words: list[str | Path], lasting: bool = False) -> list[str]:
        program, *arguments = [str(word) for word in words]
        found = shutil.which(program) or next((str(path) for path in _programs(program)), None)
        if found is None:
            raise AssertionError(f"There is no {program}. Install PostgreSQL, or set TEST_POSTGRES_URL to a server.")
        rights = []
        if os.geteuid() == 0:
            user, group = self._owner()
            rights = [f"--reuid={user}", f"--regid={group}", "--clear-groups"]
        if lasting and sys.platform == "linux":
            rights.append("--pdeathsig=QUIT")
        return ["setpriv", *rights, found, *arguments] if rights else [found, *arguments]

    @staticmethod
    def _owner() -> tuple[str, int]:
        names = {user.pw_name for user in pwd.getpwall()}
        user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        return user.pw_name, user.pw_gid


def _programs(name: str) -> list[Path]:
    """Return where Debian keeps a program of PostgreSQL, the newest version first."""
    return sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: -float(path.parts[4]))
