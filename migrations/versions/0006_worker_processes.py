"""A worker is a host name and a process id."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade():
    remake(
        [
            sa.Column("pid", sa.Integer(), nullable=False, server_default="0", autoincrement=False),
            sa.Column("token", sa.String(255)),
            sa.Column("place", sa.String(255)),
            sa.Column("parted", sa.Boolean(), nullable=False, server_default=sa.false()),
            sa.Column("ended_at", sa.Float()),
            sa.Column("notice", sa.Text()),
            sa.Column("processed", sa.BigInteger()),
        ],
        [sa.Column("pid", sa.Integer(), nullable=False, server_default="0", autoincrement=False)],
        ("hostname", "pid"),
    )


def downgrade():
    remake([], [], ("hostname",))


def remake(of_workers, of_tasks, key):
    """Make both tables anew, since a primary key cannot be changed everywhere; what was known is told again at once."""
    op.drop_table("vase_workers")
    op.drop_table("vase_worker_tasks")
    op.create_table(
        "vase_workers",
        sa.Column("hostname", sa.String(255), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("durable", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("pool", sa.String(255)),
        sa.Column("queues", sa.Text()),
        *of_workers,
        sa.PrimaryKeyConstraint(*key),
    )
    op.create_table(
        "vase_worker_tasks",
        sa.Column("hostname", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("schema_hash", sa.String(32)),
        *of_tasks,
        sa.PrimaryKeyConstraint(*key, "name"),
    )
