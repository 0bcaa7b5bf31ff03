"""What people ask of runs: options, notes and retries; cancels, bulk actions, presets; the tasks that workers know."""

from alembic import op
import sqlalchemy as sa

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
RETRIES = sa.text("retry_of IS NOT NULL")
PARTS = sa.text("root_id IS NOT NULL")
OPEN = sa.text("ended_at IS NULL")


def upgrade():
    op.add_column("vase_task_runs", sa.Column("options", sa.Text()))
    op.add_column("vase_task_runs", sa.Column("note", sa.Text()))
    op.add_column("vase_task_runs", sa.Column("retry_of", sa.String(255)))
    op.create_index(
        "ix_task_runs_retry_of", "vase_task_runs", ["retry_of"], sqlite_where=RETRIES, postgresql_where=RETRIES
    )
    op.create_index("ix_task_runs_root", "vase_task_runs", ["root_id", "id"], sqlite_where=PARTS, postgresql_where=PARTS)
    op.add_column("vase_workers", sa.Column("pool", sa.String(255)))
    op.add_column("vase_workers", sa.Column("queues", sa.Text()))
    op.create_table(
        "vase_cancels",
        sa.Column("task_id", sa.String(255), nullable=False),
        sa.Column("requested_at", sa.Float(), nullable=False),
        sa.Column("terminate", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("bulk_id", sa.BigInteger()),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("acknowledged_at", sa.Float()),
        sa.Column("acknowledged_by", sa.Text()),
        sa.Column("ended_at", sa.Float()),
        sa.PrimaryKeyConstraint("task_id"),
    )
    op.create_index("ix_cancels_open", "vase_cancels", ["due_at"], sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_table(
        "vase_worker_tasks",
        sa.Column("hostname", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("schema_hash", sa.String(32)),
        sa.PrimaryKeyConstraint("hostname", "name"),
    )
    op.create_table(
        "vase_task_schemas",
        sa.Column("hash", sa.String(32), nullable=False),
        sa.Column("schema", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_table(
        "vase_presets",
        sa.Column("id", BIG, nullable=False),
        sa.Column("task", sa.String(255), nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("call", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("task", "label", name="uq_presets_task_label"),
    )
    op.create_table(
        "vase_bulk_actions",
        sa.Column("id", BIG, nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("picked", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float()),
        sa.Column("low", sa.BigInteger(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("more", sa.Boolean(), nullable=False),
        sa.Column("rate", sa.Float(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
    )
    # The root of a run is in the search index since this version.
    rooted = sa.text("SELECT 1 FROM vase_task_runs WHERE root_id IS NOT NULL LIMIT 1")
    if op.get_bind().execute(rooted).first():
        op.get_context().config.attributes["search_index_lacks"] = True


def downgrade():
    for name in ("vase_bulk_actions", "vase_presets", "vase_task_schemas", "vase_worker_tasks", "vase_cancels"):
        op.drop_table(name)
    with op.batch_alter_table("vase_workers") as workers:
        workers.drop_column("queues")
        workers.drop_column("pool")
    op.drop_index("ix_task_runs_root", "vase_task_runs")
    op.drop_index("ix_task_runs_retry_of", "vase_task_runs")
    with op.batch_alter_table("vase_task_runs") as runs:
        for name in ("options", "note", "retry_of"):
            runs.drop_column(name)
