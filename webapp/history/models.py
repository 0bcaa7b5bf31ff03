"""The tables: runs, who watches them, who runs them. All times are seconds since the epoch, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Float, Index, Integer, SmallInteger, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import db
from webapp.runs.states import STATE_MAX
from webapp.text import NAME_MAX


class TaskRun(db.Model):  # type: ignore[name-defined, misc]  # Flask-SQLAlchemy builds Model at run time
    """One execution of a task. What is observed of it follows ``webapp.runs.merge``, whose keys are kept here."""

    __tablename__ = "vase_task_runs"

    # SQLite takes a column of type INTEGER for the number of the row itself, which costs no index.
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False)
    """When the run was made, see ``webapp.runs.ids``: the order of ids is the order of time."""
    task_id: Mapped[str] = mapped_column(String(NAME_MAX))
    name: Mapped[str] = mapped_column(String(NAME_MAX), default="")
    state: Mapped[str] = mapped_column(String(STATE_MAX), default="PENDING")
    phase: Mapped[int] = mapped_column(SmallInteger, default=0)
    """0 live, 1 success, 2 failure, 3 settled in another way; follows from the state."""
    state_at: Mapped[float] = mapped_column(Float, default=0.0)
    clock: Mapped[int] = mapped_column(BigInteger, default=0)
    changed: Mapped[int] = mapped_column(BigInteger, default=0)
    """The version of the whole table (see ``Change``) at which this row last changed."""

    created_at: Mapped[float] = mapped_column(Float)
    sent_at: Mapped[float | None] = mapped_column(Float)
    received_at: Mapped[float | None] = mapped_column(Float)
    started_at: Mapped[float | None] = mapped_column(Float)
    runtime: Mapped[float | None] = mapped_column(Float)
    run_order: Mapped[float | None] = mapped_column(Float)
    """Descending, the longest running first: what runs now by its start, then what has ended by its run time."""
    wait_order: Mapped[float | None] = mapped_column(Float)
    """Descending, the longest waiting first: what waits now by its age, then what has begun by its wait."""
    steps: Mapped[str | None] = mapped_column(Text)
    """JSON of the attempts of a run that was retried; a plain run has its ``started_at`` alone."""

    args: Mapped[str | None] = mapped_column(Text)
    kwargs: Mapped[str | None] = mapped_column(Text)
    arguments_rank: Mapped[int] = mapped_column(SmallInteger, default=0)
    """0: shortened repr of an event, 1: JSON kept by the worker, 2: JSON as submitted here."""

    outcome_exact: Mapped[int] = mapped_column(SmallInteger, default=0)
    """1: from the result backend, 0: the shortened repr of an event."""
    outcome_at: Mapped[float | None] = mapped_column(Float)
    result: Mapped[str | None] = mapped_column(Text)
    exception: Mapped[str | None] = mapped_column(Text)
    traceback: Mapped[str | None] = mapped_column(Text)
    doubt: Mapped[str | None] = mapped_column(Text)
    """Why a run was taken for LOST or UNCERTAIN, as a sentence."""
    doubt_at: Mapped[float | None] = mapped_column(Float)

    worker: Mapped[str | None] = mapped_column(String(NAME_MAX))
    worker_at: Mapped[float | None] = mapped_column(Float)
    queue: Mapped[str | None] = mapped_column(String(NAME_MAX))
    origin: Mapped[str | None] = mapped_column(String(NAME_MAX))
    retries: Mapped[int | None] = mapped_column(Integer)
    root_id: Mapped[str | None] = mapped_column(String(NAME_MAX))
    """The run that began the workflow; None for a run that is no part of another."""
    parent_id: Mapped[str | None] = mapped_column(String(NAME_MAX))
    group_id: Mapped[str | None] = mapped_column(String(NAME_MAX))
    """The group whose part it is, or whose callback."""
    earlier_of: Mapped[str | None] = mapped_column(String(NAME_MAX))
    """The task id of an execution after which somebody used that id anew; then ``task_id`` is a name made here."""
    renewed_after: Mapped[float | None] = mapped_column(Float)
    """When the execution ended that had this task id before."""
    eta: Mapped[str | None] = mapped_column(String(64))
    expires: Mapped[str | None] = mapped_column(String(64))

    progress_at: Mapped[float | None] = mapped_column(Float)
    progress_current: Mapped[float | None] = mapped_column(Float)
    progress_total: Mapped[float | None] = mapped_column(Float)

    publish_state: Mapped[str | None] = mapped_column(String(10))
    """None for runs that others sent; else new (nobody has tried), sending (``publish_owner`` has it), sent, held
    (tried in vain, or the broker is known to be away: tried again by itself) or dead (a person has to try again)."""
    publish_owner: Mapped[str | None] = mapped_column(String(NAME_MAX))
    publish_attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    publish_due_at: Mapped[float | None] = mapped_column(Float)
    publish_error: Mapped[str | None] = mapped_column(Text)

    options: Mapped[str | None] = mapped_column(Text)
    """JSON of what was asked of the message when the run was submitted here: queue, eta, expires, priority."""
    note: Mapped[str | None] = mapped_column(Text)
    """What the person who submitted it wrote about it."""
    retry_of: Mapped[str | None] = mapped_column(String(NAME_MAX))
    """The run that was run again."""

    __table_args__ = (
        UniqueConstraint("task_id", name="uq_task_runs_task_id"),
        Index(
            "ix_task_runs_retry_of",
            "retry_of",
            sqlite_where=db.text("retry_of IS NOT NULL"),
            postgresql_where=db.text("retry_of IS NOT NULL"),
        ),
        Index(
            "ix_task_runs_root",
            "root_id",
            "id",
            sqlite_where=db.text("root_id IS NOT NULL"),
            postgresql_where=db.text("root_id IS NOT NULL"),
        ),
        *(
            Index(
                f"ix_task_runs_{name}",
                name,
                "id",
                sqlite_where=db.text(f"{name} IS NOT NULL"),
                postgresql_where=db.text(f"{name} IS NOT NULL"),
            )
            for name in ("group_id", "earlier_of")
        ),
        Index("ix_task_runs_phase", "phase", "id"),
        Index("ix_task_runs_run_order", "run_order", "id", "phase"),
        Index("ix_task_runs_wait_order", "wait_order", "id", "phase"),
        Index(
            "ix_task_runs_publish",
            "publish_due_at",
            sqlite_where=db.text("publish_state IN ('new', 'sending', 'held')"),
            postgresql_where=db.text("publish_state IN ('new', 'sending', 'held')"),
        ),
    )


class Change(db.Model):  # type: ignore[name-defined, misc]
    """The one row whose version grows with every transaction that changes what a page shows.

    Every writer bumps it first, so writers form a line and a version is visible only after all before it.
    """

    __tablename__ = "vase_changes"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, default=0)
    site: Mapped[str] = mapped_column(String(32), default="")
    """A random name for this database: recorders of the same site share the stream of events."""
    streamed: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether the stream was ever read: when the broker knows nothing of that any more, it was emptied."""
    place: Mapped[str | None] = mapped_column(String(64))
    """Where this database stands, by which a copy elsewhere is known."""
    token: Mapped[str | None] = mapped_column(String(32))
    """What Redis is to have as well, and what it may still have, unless a copy of this database took our name."""
    token_before: Mapped[str | None] = mapped_column(String(32))


class Recorder(db.Model):  # type: ignore[name-defined, misc]
    """A recorder process and its last sign of life."""

    __tablename__ = "vase_recorders"

    name: Mapped[str] = mapped_column(String(NAME_MAX), primary_key=True)
    beat_at: Mapped[float] = mapped_column(Float)
    broker_ok: Mapped[bool] = mapped_column(Boolean, default=False)
    broker_error: Mapped[str | None] = mapped_column(Text)


class Worker(db.Model):  # type: ignore[name-defined, misc]
    """A worker process that has been heard of; ``seen_at`` is when, by the recorder's clock.

    Two apps on one machine may both be called ``celery@host``, so a process is known by its process id as well: 0 where
    it does not say, -1 where it is known by its answers alone.
    """

    __tablename__ = "vase_workers"

    hostname: Mapped[str] = mapped_column(String(NAME_MAX), primary_key=True)
    pid: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, default=0)
    seen_at: Mapped[float] = mapped_column(Float)
    online: Mapped[bool] = mapped_column(Boolean, default=True)
    durable: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether its events also go to the stream, where they wait for a recorder that is away."""
    pool: Mapped[str | None] = mapped_column(String(NAME_MAX))
    """Which kind of pool it has, such as ``celery.concurrency.prefork:TaskPool``; None until it was asked."""
    queues: Mapped[str | None] = mapped_column(Text)
    """JSON of the names of the queues from which it takes messages."""
    token: Mapped[str | None] = mapped_column(String(NAME_MAX))
    """Of the lease that it holds while it lives, and the place where that can be looked for; our own workers' alone."""
    place: Mapped[str | None] = mapped_column(String(NAME_MAX))
    parted: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether it took its leave: it takes no more work, but may still be at work."""
    ended_at: Mapped[float | None] = mapped_column(Float)
    """When it was proved that no process of it lives."""
    notice: Mapped[str | None] = mapped_column(Text)
    """What of it is not heard, and what to do about it."""
    processed: Mapped[int | None] = mapped_column(BigInteger)
    """How many tasks it last said that it has had since it came up."""


class Cancel(db.Model):  # type: ignore[name-defined, misc]
    """That somebody wants a run not to happen, and how far that got: requested, acknowledged, ended."""

    __tablename__ = "vase_cancels"

    task_id: Mapped[str] = mapped_column(String(NAME_MAX), primary_key=True)
    requested_at: Mapped[float] = mapped_column(Float)
    terminate: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether the process that runs it is to be ended as well."""
    reason: Mapped[str | None] = mapped_column(Text)
    bulk_id: Mapped[int | None] = mapped_column(BigInteger)
    due_at: Mapped[float] = mapped_column(Float, default=0.0)
    """When the run is looked at again, and workers are told once more should it not have ended; 0 for at once."""
    acknowledged_at: Mapped[float | None] = mapped_column(Float)
    acknowledged_by: Mapped[str | None] = mapped_column(Text)
    """The workers that answered, separated by spaces."""
    ended_at: Mapped[float | None] = mapped_column(Float)
    """When nothing more was to be done: the run has ended, in this way or another."""

    __table_args__ = (
        Index(
            "ix_cancels_open",
            "due_at",
            sqlite_where=db.text("ended_at IS NULL"),
            postgresql_where=db.text("ended_at IS NULL"),
        ),
    )


class WorkerTask(db.Model):  # type: ignore[name-defined, misc]
    """That a worker process knows a task, and by which schema, where it told one."""

    __tablename__ = "vase_worker_tasks"

    hostname: Mapped[str] = mapped_column(String(NAME_MAX), primary_key=True)
    pid: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, default=0)
    name: Mapped[str] = mapped_column(String(NAME_MAX), primary_key=True)
    schema_hash: Mapped[str | None] = mapped_column(String(32))


class TaskSchema(db.Model):  # type: ignore[name-defined, misc]
    """How a task is called, as a worker described it."""

    __tablename__ = "vase_task_schemas"

    hash: Mapped[str] = mapped_column(String(32), primary_key=True)
    schema: Mapped[str] = mapped_column(Text)


class Preset(db.Model):  # type: ignore[name-defined, misc]
    """A call of a task under a name; ``call`` is JSON with args and kwargs."""

    __tablename__ = "vase_presets"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    task: Mapped[str] = mapped_column(String(NAME_MAX))
    label: Mapped[str] = mapped_column(String(100))
    call: Mapped[str] = mapped_column(Text)

    __table_args__ = (UniqueConstraint("task", "label", name="uq_presets_task_label"),)


class BulkAction(db.Model):  # type: ignore[name-defined, misc]
    """One action on many runs, carried out by the recorder: which ones, how far it is, and how it went."""

    __tablename__ = "vase_bulk_actions"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    """retry or cancel."""
    state: Mapped[str] = mapped_column(String(10), default="running")
    """running, done or aborted."""
    query: Mapped[str] = mapped_column(Text)
    """The filter, frozen: as the address of a list spells it, its times made absolute."""
    picked: Mapped[str | None] = mapped_column(Text)
    """JSON of the ids of single runs that were selected, where it was not all that fit."""
    reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(Float)
    ended_at: Mapped[float | None] = mapped_column(Float)
    low: Mapped[int] = mapped_column(BigInteger, default=-1)
    cursor: Mapped[int] = mapped_column(BigInteger)
    """Runs with this id and greater ones have been dealt with."""
    total: Mapped[int] = mapped_column(Integer)
    """How many runs fitted when it was asked for, as far as they were counted."""
    more: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether there were more than were counted."""
    rate: Mapped[float] = mapped_column(Float)
    """Most runs a second."""
    worked_at: Mapped[float | None] = mapped_column(Float)
    """Until when the rate has been used up, whichever recorder did it."""
    done: Mapped[int] = mapped_column(Integer, default=0)
    failed: Mapped[int] = mapped_column(Integer, default=0)
    """Runs on which it was not possible, of those done."""
    last_error: Mapped[str | None] = mapped_column(Text)


class Known(db.Model):  # type: ignore[name-defined, misc]
    """A value that runs have had: the name of a task, worker, queue or state, offered where one filters."""

    __tablename__ = "vase_known_values"

    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    value: Mapped[str] = mapped_column(String(NAME_MAX), primary_key=True)
    seen_at: Mapped[float] = mapped_column(Float)


class DeadLetter(db.Model):  # type: ignore[name-defined, misc]
    """What was heard of a run and refused by the database, kept so that nothing is dropped in silence."""

    __tablename__ = "vase_dead_letters"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[float] = mapped_column(Float)
    task_id: Mapped[str] = mapped_column(Text)
    why: Mapped[str] = mapped_column(Text)
    facts: Mapped[str] = mapped_column(Text)


class Gap(db.Model):  # type: ignore[name-defined, misc]
    """A time for which events are known to be missing."""

    __tablename__ = "vase_gaps"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    began_at: Mapped[float] = mapped_column(Float)
    ended_at: Mapped[float] = mapped_column(Float)
    messages: Mapped[int] = mapped_column(BigInteger, default=0)
    """How many messages, of one or more events each, were dropped; 0 when nobody knows."""
    why: Mapped[str] = mapped_column(Text)
