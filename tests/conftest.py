"""Fixtures that every kind of test shares; see ``tests/README.md`` for what may be faked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from jinja2.bccache import Bucket, BytecodeCache

from tests import postgres
from tests.support import ROOT, Stack

# How long an example takes says nothing on a machine that does other things as well.
settings.register_profile("vase", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vase")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what has real parts: it keeps its runs in whichever database was chosen."""
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        if folder in ("integration", "postgresql") and not item.get_closest_marker("sqlite_only"):
            item.add_marker(pytest.mark.database)


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> Iterator[None]:
    """Keep the settings of whoever runs the tests out of them."""
    import os

    from webapp.config import SETTINGS

    patch = pytest.MonkeyPatch()
    for name in list(os.environ):
        if name.startswith(("CELERY_", "FLASK_")) or name in {setting.name for setting in SETTINGS}:
            patch.delenv(name)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A whole running Vase, shared by the tests that only use it."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.migrate()
        stack.start("redis")
        stack.start("worker", "recorder", "web")
        yield stack
    finally:
        stack.stop_all()


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A Vase of one's own, database ready and nothing started, for tests that stop or kill parts."""
    stack = Stack(tmp_path)
    stack.migrate()
    yield stack
    stack.stop_all()


@pytest.fixture(scope="session")
def _empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all tables and no rows; to copy it takes a tenth of the time of making one."""
    from flask_migrate import upgrade

    from webapp.extensions import db

    folder = tmp_path_factory.mktemp("empty")
    with _app(folder).app_context():
        upgrade()
        db.engine.dispose()
    return folder / "vase.sqlite3"


@pytest.fixture(scope="session")
def new_app(_empty_database: Path) -> Callable[[Path], Flask]:
    """A function that makes an app with an empty database, its files in a folder, and a broker that is not there."""

    def make(folder: Path) -> Flask:
        if postgres.CHOSEN:
            return _app(folder, DATABASE_URL=postgres.fresh_database())
        shutil.copy(_empty_database, folder)
        return _app(folder)

    return make


@pytest.fixture
def app(tmp_path: Path, new_app: Callable[[Path], Flask]) -> Iterator[Flask]:
    """An app with an empty database and a broker that is not there."""
    from webapp.extensions import db

    app = new_app(tmp_path)
    with app.app_context():
        yield app
        db.engine.dispose()


class Compiled(BytecodeCache):
    """Keeps templates as they were compiled: each app has its own, and half of the time of tests went there."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Use what was kept, if its source is still the same."""
        if code := self.kept.get(bucket.key):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was compiled."""
        self.kept[bucket.key] = bucket.bytecode_to_string()


COMPILED = Compiled()


def _app(folder: Path, **settings: str) -> Flask:
    from webapp import create_app

    given = {"INSTANCE_PATH": str(folder), "CELERY_BROKER_URL": "redis://127.0.0.1:1/0", "DEMO_WORKER": "true"}
    # What a search may take on a machine that does other things as well says nothing.
    app = create_app({**given, "QUERY_SECONDS": 60.0, **settings})
    app.jinja_env.bytecode_cache = COMPILED
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of that app."""
    return app.test_client()
