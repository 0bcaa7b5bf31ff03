"""The Flask extensions, without an app: ``init_app`` binds them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase

if TYPE_CHECKING:
    from flask import Flask


class Base(DeclarativeBase):
    """Base of the models."""


db = SQLAlchemy(model_class=Base)
migrate = Migrate(directory=str(Path(__file__).resolve().parent.parent / "migrations"))

SQLITE_PRAGMAS = (
    # Readers and the writer do not wait for each other, and a commit costs no fsync: a killed process loses
    # nothing, a power cut may lose the last commits and never breaks the file.
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA busy_timeout=5000",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-32000",
    "PRAGMA mmap_size=268435456",
)


def init_app(app: Flask) -> None:
    """Bind database and migrations to the app."""
    is_sqlite = app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite")
    app.config.setdefault(
        "SQLALCHEMY_ENGINE_OPTIONS",
        {"pool_size": app.config["WEB_THREADS"] + 2, "max_overflow": 8, "pool_timeout": 5}
        | ({} if is_sqlite else {"pool_pre_ping": True}),
    )
    db.init_app(app)
    migrate.init_app(app, db)
    if is_sqlite:
        with app.app_context():
            event.listen(db.engine, "connect", _set_pragmas)


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    if not cursor.execute("PRAGMA page_count").fetchone()[0]:
        # Counts for a new file alone, and waits for whoever writes: pages that are free can be given back a few at a time.
        cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
    for pragma in SQLITE_PRAGMAS:
        cursor.execute(pragma)
    cursor.close()
