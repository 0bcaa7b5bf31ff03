"""The rate of a bulk action is kept whoever carries it out; a site knows whether it has ever read the stream."""

import sqlalchemy as sa

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade():
    op.add_column("bulk_actions", sa.Column("worked_at", sa.Float()))
    op.add_column("changes", sa.Column("streamed", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade():
    with op.batch_alter_table("changes") as changes:
        changes.drop_column("streamed")
    with op.batch_alter_table("bulk_actions") as bulk_actions:
        bulk_actions.drop_column("worked_at")
