"""The migrations build the tables that the models describe, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    MetaData,
    Table,
    insert,
    inspect,
    select,
)

from tests.support import ROOT
from webapp.extensions import db
from webapp.history import index
from webapp.history.queries import bump, runs
from webapp.history.writer import write
from webapp.recorder.event_facts import facts_of
from webapp.search.pages import fetch_page
from webapp.search.query import Filter

pytestmark = pytest.mark.database

VERSIONS = ROOT / "migrations" / "versions"
SCRIPTS = ScriptDirectory(str(VERSIONS.parent))
REVISIONS = [script.revision for script in SCRIPTS.walk_revisions()][::-1]
INDEXED_ANEW = "0004"
"""The last migration that says that words are lacking, of texts longer than a hundred characters."""


def test_the_migrations_build_what_the_models_describe(app: Flask) -> None:
    with db.engine.connect() as connection:
        options = {"compare_type": True, "version_table": "vase_version"}
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, db.metadata)
    # The words are kept in a table of each database's own kind, which no model describes.
    assert [one for one in differences if "run_words" not in one[1].name] == []


def test_the_migrations_can_be_taken_back_and_made_again(app: Flask) -> None:
    downgrade(revision="base")
    assert inspect(db.engine).get_table_names() == ["vase_version"]
    upgrade()
    with db.engine.begin() as connection:
        assert bump(connection) == 1


FIRST_COLUMNS = (
    "task_id name state rank state_at clock changed created_at arguments_rank outcome_exact publish_attempts result "
    "publish_state root_id started_at runtime"
).split()
FIRST_ROWS = [
    ("late", "a.b", "SUCCESS", 30, 2005.5, 1, 1, 2000.25, 0, 0, 0, "'forty-two'", None, "late", 2001.0, 4.5),
    ("early", "a.c", "FAILURE", 20, 1005.5, 1, 2, 1000.25, 0, 0, 0, None, None, "late", 1001.0, None),
    ("now", "a.b", "STARTED", 10, 3005.5, 1, 3, 3000.25, 0, 0, 0, None, "sent", None, 3001.0, None),
    ("held", "a.b", "PENDING", 0, 3000.25, 1, 3, 3000.25, 0, 0, 0, None, "new", None, None, None),
]


def test_runs_of_the_first_version_are_kept_in_order_and_found(app: Flask) -> None:
    downgrade(revision="0001")
    with db.engine.begin() as connection:
        table = Table("vase_task_runs", MetaData(), *(Column(name) for name in ("id", *FIRST_COLUMNS)))
        first = [dict(zip(FIRST_COLUMNS, row, strict=True)) for row in FIRST_ROWS]
        connection.execute(insert(table), [{"id": number, **row} for number, row in enumerate(first)])
    upgrade()
    with db.engine.connect() as connection:
        rows = connection.execute(select(runs).order_by(runs.c.id)).all()
        found = fetch_page(connection, Filter.parse({"q": "result:forty"})).keys
    assert [(row.task_id, row.phase, row.root_id, row.publish_state) for row in rows] == [
        ("early", 2, "late", None),
        ("late", 1, None, None),
        ("now", 0, None, "sent"),
        ("held", 0, None, "held"),
    ]
    assert [row.id >> 10 for row in rows] == [int(row.created_at * 1e6) for row in rows]
    assert [row.run_order for row in rows] == [4.5, 4.5, 1e12 - 3001.0, None]
    assert [key.id for key in found] == [rows[1].id]


def test_migrating_twice_changes_nothing(app: Flask) -> None:
    with db.engine.begin() as connection:
        bump(connection)
    upgrade()
    with db.engine.begin() as connection:
        assert bump(connection) == 2


def test_runs_of_before_are_kept_in_order_and_can_be_searched(app: Flask) -> None:
    """Going back takes the ids' new columns and the words away, so that coming again has to make them."""
    for number, kind in enumerate(("succeeded", "failed", "revoked", "started")):
        event = {"type": f"task-{kind}", "timestamp": 1000.0 + number, "name": "old.task", "hostname": "w@h"}
        facts = facts_of({**event, "exception": "Oops()"}, 2000.0, 4096)
        assert facts is not None
        write(db.engine, {kind: facts})
    downgrade(revision="0001")
    upgrade()
    with db.engine.connect() as connection:
        rows = connection.execute(select(runs.c.task_id, runs.c.phase).order_by(runs.c.id)).all()
        found = fetch_page(connection, Filter.parse({"q": "error:oops task:old.task"})).keys
    assert [tuple(row) for row in rows] == [("succeeded", 1), ("failed", 2), ("revoked", 3), ("started", 0)]
    assert [key.phase for key in found] == [2]


def test_parts_of_workflows_of_before_are_found_by_their_root(app: Flask) -> None:
    event = {"type": "task-failed", "timestamp": 1000.0, "name": "old.task", "hostname": "w@h", "exception": "Oops()"}
    facts = facts_of(event, 2000.0, 4096)
    assert facts is not None
    write(db.engine, {"part": {**facts, "root_id": "first"}, "alone": facts})
    downgrade(revision="0002")
    with db.engine.begin() as connection:
        # As the version of before had it, without a word for the root.
        rows = connection.execute(select(*index.COLUMNS)).all()
        had = [(row.id, index.tokens_of({**row._mapping, "root_id": None})) for row in rows]
        index.update_index(connection, [(row.id, index.tokens_of(row._mapping)) for row in rows], had)
    upgrade()
    with db.engine.connect() as connection:
        ids = {row.task_id: row.id for row in connection.execute(select(runs.c.task_id, runs.c.id))}
        of_root = fetch_page(connection, Filter.parse({"q": "root:first"})).keys
        of_error = fetch_page(connection, Filter.parse({"q": "error:oops"})).keys
    assert [key.id for key in of_root] == [ids["part"]]
    assert {key.id for key in of_error} == set(ids.values())


def test_a_database_of_before_the_names_were_vases_own_is_taken_over_without_loss(app: Flask) -> None:
    event = {"type": "task-failed", "timestamp": 1000.0, "name": "old.task", "hostname": "w@h", "exception": "Oops()"}
    facts = facts_of(event, 2000.0, 4096)
    assert facts is not None
    write(db.engine, {"kept": facts})
    downgrade(revision="0004")
    tables = {name for name in inspect(db.engine).get_table_names() if not name.startswith("vase_run_words_")}
    with db.engine.begin() as connection:
        for name in tables - {"vase_version"}:
            connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {name.removeprefix('vase_')}")
        connection.exec_driver_sql("ALTER TABLE vase_version RENAME TO alembic_version")
    upgrade()
    with db.engine.connect() as connection:
        found = fetch_page(connection, Filter.parse({"q": "error:oops task:old.task"})).keys
        assert connection.execute(select(runs.c.task_id)).scalars().all() == ["kept"]
    assert len(found) == 1
    assert tables <= set(inspect(db.engine).get_table_names())
    assert "alembic_version" not in inspect(db.engine).get_table_names()


def test_tables_and_versions_of_a_site_in_the_same_database_are_left_alone(app: Flask) -> None:
    downgrade(revision="base")
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE vase_version")
        for name in ("workers", "changes", "task_runs"):
            connection.exec_driver_sql(f"CREATE TABLE {name} (name VARCHAR(10))")
            connection.exec_driver_sql(f"INSERT INTO {name} VALUES ('site')")  # names from above
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('0004')")
    upgrade()
    with db.engine.begin() as connection:
        for name in ("workers", "changes", "task_runs"):
            assert connection.exec_driver_sql(f"SELECT name FROM {name}").scalars().all() == ["site"]
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() == ["0004"]
        assert bump(connection) == 1


def fill(connection: Connection, rows: int) -> dict[str, int]:
    """Put rows into every table that there is, with something in every column; return how many, by table."""
    tables = MetaData()
    tables.reflect(connection, only=lambda name, _: name.startswith("vase_") and "run_words" not in name)
    counted = {}
    for table in tables.tables.values():
        # What is known of workers is learned anew.
        if table.name in ("vase_version", "vase_changes", "vase_workers", "vase_worker_tasks"):
            continue
        connection.execute(insert(table), [row_of(table, number) for number in range(rows)])
        counted[table.name] = rows
    return counted


def row_of(table: Table, number: int) -> dict[str, Any]:
    """Return values for every column of a table, none of which is that of another row where it must not be."""
    row: dict[str, Any] = {}
    for column in table.columns:
        kind = column.type
        if isinstance(kind, Boolean):
            row[column.name] = False
        elif isinstance(kind, Integer | Float):
            row[column.name] = number + 1 if column.primary_key else 1
        else:
            row[column.name] = f"t{number}"
    if table.name == "vase_task_runs":
        row |= {"state": "FAILURE", "exception": f"KeyError({'x' * 100!r})", "name": "old.task", "publish_state": None}
        of_some = {"phase": 2, "rank": 20, "created_at": 1e9 + number}
        row |= {name: value for name, value in of_some.items() if name in row}
    return row


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_every_older_version_with_rows_in_it_becomes_the_newest(app: Flask, revision: str) -> None:
    downgrade(revision="base")
    upgrade(revision=revision)
    with db.engine.begin() as connection:
        before = fill(connection, 3)
    upgrade()
    with db.engine.connect() as connection:
        after = {name: connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one() for name in before}
        found = fetch_page(connection, Filter.parse({"q": "error:keyerror"})).keys
    assert (after, len(found)) == (before, 3 if REVISIONS.index(revision) < REVISIONS.index(INDEXED_ANEW) else 0)


def test_no_migration_imports_what_may_change() -> None:
    """A column that is added to the index or a table must not change what an old migration does."""
    assert [path.name for path in VERSIONS.glob("*.py") if "webapp" in path.read_text()] == []
