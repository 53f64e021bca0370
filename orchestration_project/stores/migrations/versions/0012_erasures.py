"""Messages that somebody had erased."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("message_id", sa.String, primary_key=True),
        sa.Column("why", sa.String, nullable=False),
        sa.Column("person", sa.String, nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("found", sa.JSON, nullable=False),
    )
