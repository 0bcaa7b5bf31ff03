"""The Flask extensions, without an app: ``init_app`` binds them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, event, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import DeclarativeBase

if TYPE_CHECKING:
    from flask import Flask


class Base(DeclarativeBase):
    """Base of the models."""


db = SQLAlchemy(model_class=Base)
MIGRATIONS = str(Path(__file__).resolve().parent.parent / "migrations")

SQLITE_PRAGMAS = (
    # Readers and the writer do not wait for each other, and a commit costs no fsync: a killed process loses
    # nothing, a power cut may lose the last commits and never breaks the file.
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA busy_timeout=5000",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-8000",
)

POSTGRESQL_OPTIONS = (
    # Then a page says that the database does not answer. Who stands in line waits once for the one before, once alone.
    "lock_timeout=3s",
    # A process that was halted in the middle of a change holds up all others no longer than this.
    "idle_in_transaction_session_timeout=20s",
    # What a search costs depends on what is searched for, and compiling a plan costs more than a page takes.
    "plan_cache_mode=force_custom_plan",
    "jit=off",
)
"""Settings of each connection; a parameter ``options`` in the URL stands in place of them."""


def init_app(app: Flask) -> None:
    """Bind database and migrations to the app."""
    is_sqlite = app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite")
    app.config.setdefault(
        "SQLALCHEMY_ENGINE_OPTIONS",
        # A statement that fails is logged, and the arguments of a task are nobody's business there.
        {"hide_parameters": True}
        | {"pool_size": app.config["WEB_THREADS"] + 2, "max_overflow": 8, "pool_timeout": 5, "pool_use_lifo": True}
        | ({} if is_sqlite else _postgresql(app.config["SQLALCHEMY_DATABASE_URI"])),
    )
    db.init_app(app)
    app.extensions["migrate"] = _Migrations(app)
    app.cli.add_command(_Commands("db", help="Bring the database's tables up to date."))
    if is_sqlite:
        with app.app_context():
            OneFile(db.engine)
    else:
        with app.app_context():
            event.listen(db.engine, "do_connect", _connect_impatiently)


class _Migrations:
    """Stands for Flask-Migrate until a command asks for it: Alembic is a quarter of all that is imported, and nothing
    else needs it."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def __getattr__(self, name: str) -> Any:
        from flask_migrate import Migrate

        # It takes this one's place.
        Migrate(self._app, db, directory=MIGRATIONS)
        return getattr(self._app.extensions["migrate"], name)


class _Commands(click.Command):
    """``flask db``, which is Flask-Migrate's."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Return the context of the group of commands whose place this one holds."""
        from flask_migrate.cli import db as commands

        context: click.Context = commands.make_context(*args, **options)
        return context


def _postgresql(url: str) -> dict[str, Any]:
    """Return the options of the engine: connections that died are noticed, and none waits for ever to be made."""
    arguments = {
        "connect_timeout": 5,
        # A firewall that has forgotten a connection says nothing; the system finds out within 25 seconds.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
        "application_name": "vase",
        "options": " ".join(f"-c {option}" for option in POSTGRESQL_OPTIONS),
    }
    given = make_url(url).query
    return {
        # A server, or something on the way to it, that takes what is sent and says nothing is given up, too.
        "pool_pre_ping": True,
        # Writers stand in line at one row, and whoever comes next has to see what was written before.
        "isolation_level": "READ COMMITTED",
        "connect_args": {name: value for name, value in arguments.items() if name not in given},
    }


def _connect_impatiently(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
    # Only where PostgreSQL is used is its driver imported.
    from webapp.postgresql import ImpatientConnection

    return ImpatientConnection.connect(*arguments, **options)


class FileGone(sqlite3.OperationalError):
    """There is no file of the database; one that was deleted while it was open takes rows that are lost."""


class OneFile:
    """Lets an engine write to the SQLite file that stands under its name, and to no other.

    A file that was deleted stays open, and takes rows that nobody will ever see. One that was put in its place, a
    backup, say, is opened instead.
    """

    def __init__(self, engine: Engine) -> None:
        self.path = Path(engine.url.database or ":memory:")
        event.listen(engine, "connect", self._opened)
        self.named = not str(self.path).startswith((":memory:", "file:"))
        if self.named:
            # SQLite would make an empty one; only a migration does.
            event.listen(engine, "do_connect", lambda *_: self._file() and None)
            event.listen(engine, "checkout", self._look)

    def _opened(self, connection: Any, record: Any) -> None:
        _set_pragmas(connection)
        if self.named:
            record.info["file"] = self._file()

    def _look(self, _connection: Any, record: Any, _proxy: Any) -> None:
        if self._file() != record.info["file"]:
            raise DisconnectionError("another file has taken the place of the database's")

    def _file(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            why = f"there is no file {self.path}; put it back, or make it with: flask --app app db upgrade"
            raise FileGone(why) from None
        return found.st_dev, found.st_ino


def _set_pragmas(connection: Any) -> None:
    cursor = connection.cursor()
    if not cursor.execute("PRAGMA page_count").fetchone()[0]:
        # Pages that are free can then be given back a few at a time. It counts for a new file alone, and waits for
        # whoever writes.
        cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
    for pragma in SQLITE_PRAGMAS:
        cursor.execute(pragma)
    cursor.close()
