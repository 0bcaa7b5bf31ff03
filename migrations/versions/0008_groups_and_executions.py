"""The groups that runs are part of, and earlier executions of a task id that is used again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLE = "vase_task_runs"
INDEXED = ("group_id", "earlier_of")


def upgrade():
    for name in INDEXED:
        op.add_column(TABLE, sa.Column(name, sa.String(255)))
    op.add_column(TABLE, sa.Column("renewed_after", sa.Float()))
    for name in INDEXED:
        where = sa.text(f"{name} IS NOT NULL")
        op.create_index(f"ix_task_runs_{name}", TABLE, [name, "id"], sqlite_where=where, postgresql_where=where)


def downgrade():
    for name in INDEXED:
        op.drop_index(f"ix_task_runs_{name}", table_name=TABLE)
    for name in (*INDEXED, "renewed_after"):
        op.drop_column(TABLE, name)
