"""Runs, recorders and workers."""

from alembic import op
import sqlalchemy as sa

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade():
    op.create_table('vase_changes',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('vase_recorders',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('beat_at', sa.Float(), nullable=False),
    sa.Column('broker_ok', sa.Boolean(), nullable=False),
    sa.Column('broker_error', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('name')
    )
    op.create_table('vase_task_runs',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('task_id', sa.String(length=255), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('state', sa.String(length=50), nullable=False),
    sa.Column('rank', sa.SmallInteger(), nullable=False),
    sa.Column('state_at', sa.Float(), nullable=False),
    sa.Column('clock', sa.BigInteger(), nullable=False),
    sa.Column('changed', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.Float(), nullable=False),
    sa.Column('sent_at', sa.Float(), nullable=True),
    sa.Column('received_at', sa.Float(), nullable=True),
    sa.Column('started_at', sa.Float(), nullable=True),
    sa.Column('runtime', sa.Float(), nullable=True),
    sa.Column('steps', sa.Text(), nullable=True),
    sa.Column('args', sa.Text(), nullable=True),
    sa.Column('kwargs', sa.Text(), nullable=True),
    sa.Column('arguments_rank', sa.SmallInteger(), nullable=False),
    sa.Column('outcome_rank', sa.SmallInteger(), nullable=True),
    sa.Column('outcome_exact', sa.SmallInteger(), nullable=False),
    sa.Column('outcome_at', sa.Float(), nullable=True),
    sa.Column('result', sa.Text(), nullable=True),
    sa.Column('exception', sa.Text(), nullable=True),
    sa.Column('traceback', sa.Text(), nullable=True),
    sa.Column('worker', sa.String(length=255), nullable=True),
    sa.Column('worker_at', sa.Float(), nullable=True),
    sa.Column('queue', sa.String(length=255), nullable=True),
    sa.Column('origin', sa.String(length=255), nullable=True),
    sa.Column('retries', sa.Integer(), nullable=True),
    sa.Column('root_id', sa.String(length=255), nullable=True),
    sa.Column('parent_id', sa.String(length=255), nullable=True),
    sa.Column('eta', sa.String(length=64), nullable=True),
    sa.Column('expires', sa.String(length=64), nullable=True),
    sa.Column('progress_at', sa.Float(), nullable=True),
    sa.Column('progress_current', sa.Float(), nullable=True),
    sa.Column('progress_total', sa.Float(), nullable=True),
    sa.Column('publish_state', sa.String(length=10), nullable=True),
    sa.Column('publish_attempts', sa.SmallInteger(), nullable=False),
    sa.Column('publish_due_at', sa.Float(), nullable=True),
    sa.Column('publish_error', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('task_id')
    )
    with op.batch_alter_table('vase_task_runs', schema=None) as batch_op:
        batch_op.create_index('ix_task_runs_created', ['created_at', 'id'], unique=False)
        batch_op.create_index('ix_task_runs_name_created', ['name', 'created_at', 'id'], unique=False)
        batch_op.create_index('ix_task_runs_publish', ['publish_due_at'], unique=False, sqlite_where=sa.text("publish_state IN ('new', 'sending')"), postgresql_where=sa.text("publish_state IN ('new', 'sending')"))
        batch_op.create_index('ix_task_runs_rank_created', ['rank', 'created_at', 'id'], unique=False)
        batch_op.create_index('ix_task_runs_state_created', ['state', 'created_at', 'id'], unique=False)

    op.create_table('vase_workers',
    sa.Column('hostname', sa.String(length=255), nullable=False),
    sa.Column('seen_at', sa.Float(), nullable=False),
    sa.Column('online', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('hostname')
    )
    # The one row that every writer bumps.
    op.execute("INSERT INTO vase_changes (id, version) VALUES (1, 0)")


def downgrade():
    op.drop_table('vase_workers')
    with op.batch_alter_table('vase_task_runs', schema=None) as batch_op:
        batch_op.drop_index('ix_task_runs_state_created')
        batch_op.drop_index('ix_task_runs_rank_created')
        batch_op.drop_index('ix_task_runs_publish', sqlite_where=sa.text("publish_state IN ('new', 'sending')"), postgresql_where=sa.text("publish_state IN ('new', 'sending')"))
        batch_op.drop_index('ix_task_runs_name_created')
        batch_op.drop_index('ix_task_runs_created')

    op.drop_table('vase_task_runs')
    op.drop_table('vase_recorders')
    op.drop_table('vase_changes')
