"""The migrations build the tables that the models describe, and nothing else."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect

from webapp.extensions import db
from webapp.queries import bump


def test_the_migrations_build_what_the_models_describe(app: Flask) -> None:
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, db.metadata)
    # The words are kept in a table of each database's own kind, which no model describes.
    assert [one for one in differences if "run_words" not in one[1].name] == []


def test_the_migrations_can_be_taken_back_and_made_again(app: Flask) -> None:
    downgrade(revision="base")
    assert inspect(db.engine).get_table_names() == ["alembic_version"]
    upgrade()
    with db.engine.begin() as connection:
        assert bump(connection) == 1


def test_migrating_twice_changes_nothing(app: Flask) -> None:
    with db.engine.begin() as connection:
        bump(connection)
    upgrade()
    with db.engine.begin() as connection:
        assert bump(connection) == 2
