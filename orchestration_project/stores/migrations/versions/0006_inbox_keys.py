"""Keys by which senders of posted messages repeat a request without sending it twice."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "inbox_keys",
        sa.Column("key_digest", sa.String(), nullable=False),
        sa.Column("messages_digest", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("kept_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key_digest"),
    )
    op.create_index(op.f("ix_inbox_keys_kept_until"), "inbox_keys", ["kept_until"], unique=False)
