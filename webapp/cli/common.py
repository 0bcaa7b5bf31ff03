"""What the commands share: names of tasks, and failures in a sentence instead of a stack trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click
from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from webapp import formatting
from webapp.catalog.tasks import known_tasks
from webapp.celery_app import celery_of
from webapp.errors import VaseError
from webapp.extensions import db

DATABASE_HELP: Final = "The database does not answer. Are its tables up to date? flask --app app db upgrade"


@contextmanager
def telling_faults() -> Iterator[None]:
    """Turn what went wrong inside into a message and exit code 1."""
    try:
        yield
    except VaseError as fault:
        raise click.ClickException(str(fault)) from None
    except SQLAlchemyError as fault:
        raise click.ClickException(f"{DATABASE_HELP} ({type(fault).__name__})") from None


def full_name(name: str) -> str:
    """Return the full name of a task that is given by it, or by its last part where only one task ends so."""
    with db.engine.connect() as connection:
        known = list(known_tasks(connection, celery_of(current_app)))
    if name in known:
        return name
    fits = [task for task in known if formatting.short_name(task) == name]
    if len(fits) == 1:
        return fits[0]
    if not fits:
        raise VaseError(f"There is no task {name!r}. Known tasks: {', '.join(known)}.")
    raise VaseError(f"{name!r} could be any of {', '.join(sorted(fits))}; give the full name.")
