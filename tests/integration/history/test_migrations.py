"""The commands that make and change tables, as processes: what is killed is begun again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

from flask import Flask
from flask_migrate import downgrade, upgrade

from tests.support import BIN, ROOT
from tests.unit.history.test_migrations import REVISIONS, VERSIONS, fill
from webapp.extensions import db
from webapp.search.pages import fetch_page
from webapp.search.query import Filter


def command(app: Flask, *words: str) -> list[str]:
    return [str(BIN / "flask"), "--app", "app", "db", *words]


def environ(app: Flask) -> dict[str, str]:
    url = db.engine.url.render_as_string(hide_password=False)
    return os.environ | {"INSTANCE_PATH": app.instance_path, "DATABASE_URL": url}


def test_on_a_fresh_database_nothing_is_left_to_migrate(app: Flask) -> None:
    said = subprocess.run(
        command(app, "check"), cwd=ROOT, env=environ(app), capture_output=True, text=True, check=False
    )
    assert (said.returncode, "No new upgrade operations detected" in said.stdout + said.stderr) == (0, True), said


def test_a_new_migration_is_numbered_as_the_others_are(app: Flask, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(ROOT / "migrations", folder)
    words = command(app, "revision", "-m", "more of it", "--directory", str(folder))
    subprocess.run(words, cwd=ROOT, env=environ(app), capture_output=True, check=True)
    new = {path.name for path in (folder / "versions").glob("*.py")} - {path.name for path in VERSIONS.glob("*.py")}
    assert new == {f"{int(max(REVISIONS)) + 1:04}_more_of_it.py"}


def test_an_upgrade_that_is_killed_again_and_again_ends_well(app: Flask) -> None:
    downgrade(revision="base")
    upgrade(revision="0001")
    with db.engine.begin() as connection:
        fill(connection, 3000)
    db.engine.dispose()
    chance, start = random.Random(3), time.monotonic()
    process = subprocess.Popen(command(app, "upgrade"), cwd=ROOT, env=environ(app), stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    for _ in range(5):
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = subprocess.Popen(command(app, "upgrade"), cwd=ROOT, env=environ(app), stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.8, 2.5))
    assert process.wait(timeout=120) == 0, time.monotonic() - start
    with db.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM vase_task_runs").scalar_one() == 3000
        assert len(fetch_page(connection, Filter.parse({"q": "error:keyerror"}), size=4000).keys) == 3000
