"""The tables: runs, who watches them, who runs them. All times are seconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Float, Index, Integer, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import db
from webapp.states import STATE_MAX
from webapp.text import NAME_MAX


class TaskRun(db.Model):  # type: ignore[name-defined, misc]  # Flask-SQLAlchemy builds Model at run time
    """One execution of a task. What is observed of it follows ``webapp.merge``, whose keys are kept here."""

    __tablename__ = "task_runs"

    # SQLite numbers rows by itself only in a column of type INTEGER.
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    task_id: Mapped[str] = mapped_column(String(NAME_MAX), unique=True)
    name: Mapped[str] = mapped_column(String(NAME_MAX), default="")
    state: Mapped[str] = mapped_column(String(STATE_MAX), default="PENDING")
    rank: Mapped[int] = mapped_column(SmallInteger, default=0)
    state_at: Mapped[float] = mapped_column(Float, default=0.0)
    clock: Mapped[int] = mapped_column(BigInteger, default=0)
    changed: Mapped[int] = mapped_column(BigInteger, default=0)
    """The version of the whole table (see ``Change``) at which this row last changed."""

    created_at: Mapped[float] = mapped_column(Float)
    sent_at: Mapped[float | None] = mapped_column(Float)
    received_at: Mapped[float | None] = mapped_column(Float)
    started_at: Mapped[float | None] = mapped_column(Float)
    runtime: Mapped[float | None] = mapped_column(Float)
    steps: Mapped[str | None] = mapped_column(Text)
    """JSON of the attempts of a run that was retried; a plain run has its ``started_at`` alone."""

    args: Mapped[str | None] = mapped_column(Text)
    kwargs: Mapped[str | None] = mapped_column(Text)
    arguments_rank: Mapped[int] = mapped_column(SmallInteger, default=0)
    """0: shortened repr of an event, 1: JSON kept by the worker, 2: JSON as submitted here."""

    outcome_rank: Mapped[int | None] = mapped_column(SmallInteger)
    outcome_exact: Mapped[int] = mapped_column(SmallInteger, default=0)
    """1: from the result backend, 0: the shortened repr of an event."""
    outcome_at: Mapped[float | None] = mapped_column(Float)
    result: Mapped[str | None] = mapped_column(Text)
    exception: Mapped[str | None] = mapped_column(Text)
    traceback: Mapped[str | None] = mapped_column(Text)

    worker: Mapped[str | None] = mapped_column(String(NAME_MAX))
    worker_at: Mapped[float | None] = mapped_column(Float)
    queue: Mapped[str | None] = mapped_column(String(NAME_MAX))
    origin: Mapped[str | None] = mapped_column(String(NAME_MAX))
    retries: Mapped[int | None] = mapped_column(Integer)
    root_id: Mapped[str | None] = mapped_column(String(NAME_MAX))
    parent_id: Mapped[str | None] = mapped_column(String(NAME_MAX))
    eta: Mapped[str | None] = mapped_column(String(64))
    expires: Mapped[str | None] = mapped_column(String(64))

    progress_at: Mapped[float | None] = mapped_column(Float)
    progress_current: Mapped[float | None] = mapped_column(Float)
    progress_total: Mapped[float | None] = mapped_column(Float)

    publish_state: Mapped[str | None] = mapped_column(String(10))
    """None for runs that others sent; else new (to be sent), sending (somebody has it) or sent."""
    publish_attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    publish_due_at: Mapped[float | None] = mapped_column(Float)
    publish_error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("ix_task_runs_created", "created_at", "id"),
        Index("ix_task_runs_rank_created", "rank", "created_at", "id"),
        Index("ix_task_runs_state_created", "state", "created_at", "id"),
        Index("ix_task_runs_name_created", "name", "created_at", "id"),
        Index(
            "ix_task_runs_publish",
            "publish_due_at",
            sqlite_where=db.text("publish_state IN ('new', 'sending')"),
            postgresql_where=db.text("publish_state IN ('new', 'sending')"),
        ),
    )


class Change(db.Model):  # type: ignore[name-defined, misc]
    """The one row whose version grows with every transaction that changes what a page shows.

    Every writer bumps it first, so writers form a line and a version is visible only after all before it.
    """

    __tablename__ = "changes"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, default=0)


class Recorder(db.Model):  # type: ignore[name-defined, misc]
    """A recorder process and its last sign of life."""

    __tablename__ = "recorders"

    name: Mapped[str] = mapped_column(String(NAME_MAX), primary_key=True)
    beat_at: Mapped[float] = mapped_column(Float)
    broker_ok: Mapped[bool] = mapped_column(Boolean, default=False)
    broker_error: Mapped[str | None] = mapped_column(Text)


class Worker(db.Model):  # type: ignore[name-defined, misc]
    """A worker that has been heard of; ``seen_at`` is when, by the recorder's clock."""

    __tablename__ = "workers"

    hostname: Mapped[str] = mapped_column(String(NAME_MAX), primary_key=True)
    seen_at: Mapped[float] = mapped_column(Float)
    online: Mapped[bool] = mapped_column(Boolean, default=True)
