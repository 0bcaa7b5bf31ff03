"""Where a database stands, and a token that tells it from its copies."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("vase_changes", sa.Column("place", sa.String(64)))
    op.add_column("vase_changes", sa.Column("token", sa.String(32)))
    op.add_column("vase_changes", sa.Column("token_before", sa.String(32)))


def downgrade():
    for name in ("place", "token", "token_before"):
        op.drop_column("vase_changes", name)
