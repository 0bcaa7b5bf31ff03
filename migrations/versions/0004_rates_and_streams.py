"""The rate of a bulk action is kept whoever carries it out; a site knows whether it has ever read the stream; all words
of long texts are found."""

import sqlalchemy as sa

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade():
    op.add_column("vase_bulk_actions", sa.Column("worked_at", sa.Float()))
    op.add_column("vase_changes", sa.Column("streamed", sa.Boolean(), nullable=False, server_default=sa.false()))
    # Words of long texts were left out of the search index before, beyond some number.
    long = " OR ".join(f"length({name}) > 100" for name in ("args", "kwargs", "result", "exception"))
    lengthy = sa.text(f"SELECT 1 FROM vase_task_runs WHERE phase > 0 AND ({long}) LIMIT 1")
    if op.get_bind().execute(lengthy).first():
        op.get_context().config.attributes["search_index_lacks"] = True


def downgrade():
    with op.batch_alter_table("vase_changes") as changes:
        changes.drop_column("streamed")
    with op.batch_alter_table("vase_bulk_actions") as bulk_actions:
        bulk_actions.drop_column("worked_at")
