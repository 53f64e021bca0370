"""When a batch was done first, and from when on a run that failed is tried again."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.add_column("batches", sa.Column("completed_at", moment, nullable=True))
    op.execute("UPDATE batches SET completed_at = opened_at WHERE state = 'done'")
    op.add_column("run_requests", sa.Column("due_at", moment, nullable=True))
