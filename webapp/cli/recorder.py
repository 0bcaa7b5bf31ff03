"""The commands of the recorder: ``record`` and ``prune``."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.exc import SQLAlchemyError

from webapp.cli.common import DATABASE_HELP
from webapp.extensions import db


@click.command("prune")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@with_appcontext
def prune_command(dry_run: bool) -> None:
    """Remove ended runs that are older than RETENTION_DAYS or beyond RETENTION_MAX_RUNS, as the recorder does."""
    from webapp.history import retention

    days, runs_max = current_app.config["RETENTION_DAYS"], current_app.config["RETENTION_MAX_RUNS"]
    try:
        if not dry_run:
            click.echo(f"{retention.prune(db.engine, days, runs_max, math.inf):,} runs removed")
            return
        with db.engine.connect() as connection:
            found = list(retention.rules(connection, days, runs_max, time.time()))
            for rule in found:
                click.echo(f"{retention.count(connection, rule):,} runs would go: {rule.name}")
        if not found:
            click.echo("Nothing would go: RETENTION_DAYS and RETENTION_MAX_RUNS set no bound that is reached.")
    except SQLAlchemyError as fault:
        raise click.ClickException(f"{DATABASE_HELP} ({type(fault).__name__})") from None


@click.command("record")
@with_appcontext
def record_command() -> None:
    """Record what Celery's workers do into the database, until stopped."""
    from webapp.recorder.service import record

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    # The recorder's second thread needs the app itself, not this thread's stand-in for it.
    try:
        record(current_app._get_current_object(), stopping)  # type: ignore[attr-defined]
    except SQLAlchemyError as fault:
        raise click.ClickException(f"{DATABASE_HELP} ({type(fault).__name__})") from None
