"""Ids in order of time, words for the search, the stream's site, known values, dead letters and gaps."""

from alembic import op
import sqlalchemy as sa

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COPIED = (
    "task_id name state state_at clock changed created_at sent_at received_at started_at runtime steps args kwargs "
    "arguments_rank outcome_exact outcome_at result exception traceback worker worker_at queue origin retries "
    "parent_id eta expires progress_at progress_current progress_total publish_attempts publish_due_at publish_error"
).split()
# The order of ids becomes that of time: microseconds, and a number for those made in the same one.
NEW_ID = (
    "CAST(created_at * 1000000 AS BIGINT) * 1024 + "
    "row_number() OVER (PARTITION BY CAST(created_at * 1000000 AS BIGINT) ORDER BY id) - 1"
)
PHASE = "CASE WHEN state = 'SUCCESS' THEN 1 WHEN state = 'FAILURE' THEN 2 WHEN rank >= 20 THEN 3 ELSE 0 END"
RAN = "COALESCE(runtime, CASE WHEN rank >= 20 AND state_at > started_at THEN state_at - started_at END)"
RUN_ORDER = f"CASE WHEN started_at IS NOT NULL AND rank < 20 THEN 1e12 - started_at ELSE {RAN} END"
WAIT_ORDER = (
    "CASE WHEN started_at IS NULL AND rank < 20 THEN 1e12 - COALESCE(sent_at, created_at) "
    "WHEN started_at < COALESCE(sent_at, created_at) THEN 0 ELSE started_at - COALESCE(sent_at, created_at) END"
)
HELD = "CASE WHEN publish_state = 'new' THEN 'held' ELSE publish_state END"
DUE = sa.text("publish_state IN ('new', 'sending', 'held')")


def upgrade():
    rebuild_runs()
    op.add_column("vase_changes", sa.Column("site", sa.String(32), nullable=False, server_default=""))
    random_name = "lower(hex(randomblob(8)))" if on_sqlite() else "substr(md5(random()::text), 1, 16)"
    op.execute(f"UPDATE vase_changes SET site = {random_name}")
    op.add_column("vase_workers", sa.Column("durable", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "vase_known_values",
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value"),
    )
    op.create_table(
        "vase_dead_letters",
        sa.Column("id", BIG, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "vase_gaps",
        sa.Column("id", BIG, nullable=False),
        sa.Column("began_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    for kind, column in (("state", "state"), ("task", "name"), ("worker", "worker"), ("queue", "queue")):
        op.execute(
            f"INSERT INTO vase_known_values (kind, value, seen_at) SELECT '{kind}', {column}, max(state_at) "
            f"FROM vase_task_runs WHERE {column} != '' GROUP BY {column}"
        )
    create_words()
    op.get_context().config.attributes["search_index_lacks"] = True


def on_sqlite():
    return op.get_bind().dialect.name == "sqlite"


def create_words():
    if on_sqlite():
        # No text is kept a second time, and neither places nor lengths: a word is there or it is not.
        op.execute(
            "CREATE VIRTUAL TABLE vase_run_words USING fts5"
            "(words, content='', detail=none, columnsize=0, tokenize=\"ascii tokenchars '.+-'\")"
        )
    else:
        op.execute("CREATE TABLE vase_run_words (id BIGINT PRIMARY KEY, words TSVECTOR NOT NULL)")
        op.execute("CREATE INDEX ix_run_words ON vase_run_words USING gin (words)")


def rebuild_runs():
    for name in ("created", "name_created", "publish", "rank_created", "state_created"):
        op.drop_index(f"ix_task_runs_{name}", "vase_task_runs")
    op.create_table("vase_task_runs_new", *columns(), sa.PrimaryKeyConstraint("id"))
    copied = ", ".join(COPIED)
    op.execute(
        f"INSERT INTO vase_task_runs_new ({copied}, id, phase, run_order, wait_order, root_id, publish_state) "
        f"SELECT {copied}, {NEW_ID}, {PHASE}, {RUN_ORDER}, {WAIT_ORDER}, NULLIF(root_id, task_id), {HELD} "
        "FROM vase_task_runs"
    )
    op.drop_table("vase_task_runs")
    op.rename_table("vase_task_runs_new", "vase_task_runs")
    with op.batch_alter_table("vase_task_runs") as runs:
        runs.create_unique_constraint("uq_task_runs_task_id", ["task_id"])
    op.create_index("ix_task_runs_phase", "vase_task_runs", ["phase", "id"])
    op.create_index("ix_task_runs_run_order", "vase_task_runs", ["run_order", "id", "phase"])
    op.create_index("ix_task_runs_wait_order", "vase_task_runs", ["wait_order", "id", "phase"])
    op.create_index("ix_task_runs_publish", "vase_task_runs", ["publish_due_at"], sqlite_where=DUE, postgresql_where=DUE)


def columns():
    def text(name, length=None, nullable=True):
        return sa.Column(name, sa.String(length) if length else sa.Text(), nullable=nullable)

    def number(name, kind=sa.Float, nullable=True):
        return sa.Column(name, kind(), nullable=nullable)

    yield sa.Column("id", BIG, nullable=False, autoincrement=False)
    yield text("task_id", 255, nullable=False)
    yield text("name", 255, nullable=False)
    yield text("state", 50, nullable=False)
    yield number("phase", sa.SmallInteger, nullable=False)
    yield number("state_at", nullable=False)
    yield number("clock", sa.BigInteger, nullable=False)
    yield number("changed", sa.BigInteger, nullable=False)
    yield number("created_at", nullable=False)
    yield from (number(name) for name in "sent_at received_at started_at runtime run_order wait_order".split())
    yield from (text(name) for name in "steps args kwargs".split())
    yield from (number(name, sa.SmallInteger, nullable=False) for name in ("arguments_rank", "outcome_exact"))
    yield number("outcome_at")
    yield from (text(name) for name in "result exception traceback doubt".split())
    yield number("doubt_at")
    yield text("worker", 255)
    yield number("worker_at")
    yield from (text(name, 255) for name in ("queue", "origin"))
    yield number("retries", sa.Integer)
    yield from (text(name, 255) for name in ("root_id", "parent_id"))
    yield from (text(name, 64) for name in ("eta", "expires"))
    yield from (number(name) for name in "progress_at progress_current progress_total".split())
    yield text("publish_state", 10)
    yield text("publish_owner", 255)
    yield number("publish_attempts", sa.SmallInteger, nullable=False)
    yield number("publish_due_at")
    yield text("publish_error")


def downgrade():
    for name in ("vase_run_words", "vase_gaps", "vase_dead_letters", "vase_known_values"):
        op.execute(f"DROP TABLE {name}")
    with op.batch_alter_table("vase_workers") as workers:
        workers.drop_column("durable")
    with op.batch_alter_table("vase_changes") as changes:
        changes.drop_column("site")
    for name in ("phase", "run_order", "wait_order", "publish"):
        op.drop_index(f"ix_task_runs_{name}", "vase_task_runs")
    op.add_column("vase_task_runs", sa.Column("rank", sa.SmallInteger(), nullable=False, server_default="10"))
    op.add_column("vase_task_runs", sa.Column("outcome_rank", sa.SmallInteger()))
    op.execute(
        "UPDATE vase_task_runs SET rank = CASE WHEN state = 'SUCCESS' THEN 30 WHEN state = 'PENDING' THEN 0 WHEN phase > 0 "
        "AND doubt_at IS NULL THEN 20 ELSE 10 END, "
        "publish_state = CASE WHEN publish_state IN ('held', 'dead') THEN 'new' ELSE publish_state END"
    )
    op.execute("UPDATE vase_task_runs SET outcome_rank = rank WHERE outcome_at IS NOT NULL")
    with op.batch_alter_table("vase_task_runs") as runs:
        runs.drop_constraint("uq_task_runs_task_id", type_="unique")
        for name in ("phase", "run_order", "wait_order", "doubt", "doubt_at", "publish_owner"):
            runs.drop_column(name)
        runs.create_unique_constraint("task_runs_task_id_key", ["task_id"])
    due = sa.text("publish_state IN ('new', 'sending')")
    op.create_index("ix_task_runs_publish", "vase_task_runs", ["publish_due_at"], sqlite_where=due, postgresql_where=due)
    op.create_index("ix_task_runs_created", "vase_task_runs", ["created_at", "id"])
    for name in ("name", "rank", "state"):
        op.create_index(f"ix_task_runs_{name}_created", "vase_task_runs", [name, "created_at", "id"])
