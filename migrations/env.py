"""Runs the migrations on the database that the Flask app is configured for.

All tables are called ``vase_…``, the one with the version too, so that Vase can share the database of a site that has
tables and migrations of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import context
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from sqlalchemy import Connection, inspect, text

VERSION_TABLE = "vase_version"
OLD_VERSION_TABLE = "alembic_version"
OLD_TABLES = (
    "task_runs changes recorders workers cancels worker_tasks task_schemas presets bulk_actions known_values "
    "dead_letters gaps run_words"
).split()
OLD_VERSIONS = ("0001", "0002", "0003", "0004")


def adopt_old_names(connection: Connection) -> None:
    """Rename the tables of a Vase that used names a site may need itself; nothing is copied, nothing is lost."""
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE in tables or OLD_VERSION_TABLE not in tables or not is_ours(connection, tables):
        return
    found = connection.execute(text(f"SELECT version_num FROM {OLD_VERSION_TABLE}")).scalars()  # noqa: S608
    version = next((number for number in found if number in OLD_VERSIONS), None)
    if version is None:
        return
    for name in OLD_TABLES:
        if name in tables:
            connection.execute(text(f"ALTER TABLE {name} RENAME TO vase_{name}"))
    connection.execute(text(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text(f"INSERT INTO {VERSION_TABLE} VALUES (:version)"), {"version": version})  # noqa: S608
    connection.execute(text(f"DELETE FROM {OLD_VERSION_TABLE} WHERE version_num = :version"), {"version": version})  # noqa: S608
    if connection.execute(text(f"SELECT count(*) FROM {OLD_VERSION_TABLE}")).scalar() == 0:  # noqa: S608
        connection.execute(text(f"DROP TABLE {OLD_VERSION_TABLE}"))


def is_ours(connection: Connection, tables: set[str]) -> bool:
    """Tell the runs of an older Vase from a table of a site that happens to have the same name."""
    runs = next((name for name in ("task_runs", "vase_task_runs") if name in tables), None)
    return runs is not None and {"publish_state", "arguments_rank", "changed"} <= {
        column["name"] for column in inspect(connection).get_columns(runs)
    }


@contextmanager
def in_one_piece(connection: Connection) -> Iterator[None]:
    """Let everything be one transaction, so that what is killed in the middle can be begun again.

    SQLite's driver would commit each statement that changes a table; PostgreSQL's, as it is used here, gives up where
    an index takes long.
    """
    driver, on_sqlite = connection.connection.driver_connection, connection.dialect.name == "sqlite"
    name = "isolation_level" if on_sqlite else "patience"
    before = getattr(driver, name)
    setattr(driver, name, None)
    try:
        if on_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    finally:
        setattr(driver, name, before)


def is_described(name: str | None, kind: str, parents: object) -> bool:
    """Leave out what no model describes: a site's own tables, and the search index, which each database has its way."""
    return kind != "table" or bool(name and name.startswith("vase_") and not name.startswith("vase_run_words"))


def number_next(migration: MigrationContext, heads: object, directives: list[MigrationScript]) -> None:
    """Number a new migration, as the others are; one in which nothing is to be done is not made."""
    if getattr(context.config.cmd_opts, "autogenerate", False) and directives[0].upgrade_ops.is_empty():
        directives.clear()
    taken = [int(script.revision) for script in ScriptDirectory.from_config(context.config).walk_revisions()]
    for directive in directives:
        directive.rev_id = f"{max(taken, default=0) + 1:04}"


def index_anew(connection: Connection) -> None:
    """Index all runs with the words of today. Migrations only say that some are lacking: how runs are indexed changes.

    Part of the same transaction, so that no version is noted whose runs cannot be found.
    """
    from webapp.history.index import index_everything

    if ScriptDirectory.from_config(context.config).get_current_head() in context.get_context().get_current_heads():
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("INSERT INTO vase_run_words(vase_run_words) VALUES ('delete-all')")
        else:
            connection.exec_driver_sql("TRUNCATE vase_run_words")
        index_everything(connection)


database = current_app.extensions["migrate"].db
file = database.engine.url.database if database.engine.dialect.name == "sqlite" else None
if file and not file.startswith((":memory:", "file:")):
    # Nobody else makes it: a file that is missed was deleted.
    Path(file).touch(mode=0o600)

with database.engine.connect() as connection, in_one_piece(connection):
    adopt_old_names(connection)
    context.configure(
        connection=connection,
        target_metadata=database.metadata,
        render_as_batch=True,
        transactional_ddl=True,
        version_table=VERSION_TABLE,
        include_name=is_described,
        process_revision_directives=number_next,
    )
    context.run_migrations()
    if context.config.attributes.pop("search_index_lacks", False):
        index_anew(connection)
