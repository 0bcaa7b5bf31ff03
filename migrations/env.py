"""Runs the migrations on the database that the Flask app is configured for.

All tables are called ``vase_…``, the one with the version too, so that Vase can share the database of a site that has
tables and migrations of its own.
"""

from __future__ import annotations

from pathlib import Path

from alembic import context
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
    """Rename the tables of a Vase that used names a site may need itself; nothing is copied, nothing is lost.

    The version moves last, so what is interrupted goes on with the next start.
    """
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


database = current_app.extensions["migrate"].db
file = database.engine.url.database if database.engine.dialect.name == "sqlite" else None
if file and not file.startswith((":memory:", "file:")):
    # Nobody else makes it: a file that is missed was deleted.
    Path(file).touch(mode=0o600)

with database.engine.begin() as connection:
    adopt_old_names(connection)
with database.engine.connect() as connection:
    # An index of a large table takes as long as it takes.
    if connection.dialect.name == "postgresql":
        connection.connection.driver_connection.patience = None
    context.configure(
        connection=connection,
        target_metadata=database.metadata,
        render_as_batch=True,
        version_table=VERSION_TABLE,
        include_name=lambda name, kind, parents: kind != "table" or name.startswith("vase_"),
    )
    with context.begin_transaction():
        context.run_migrations()
