"""What people decide: reviews and verdicts, the cascades they are about, and tags of the runs that they ask for."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.add_column("run_requests", sa.Column("tags", sa.JSON(), nullable=True))
    op.create_table(
        "cascades",
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("performers", sa.JSON(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("has_people", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("asset"),
    )
    op.create_table(
        "reviews",
        sa.Column("review_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("partition", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("content_digest", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("proposal", sa.JSON(), nullable=False),
        sa.Column("probability", sa.Float(), nullable=True),
        sa.Column("why", sa.String(), nullable=True),
        sa.Column("needs_lead", sa.Boolean(), nullable=False),
        sa.Column("assigned_to", sa.String(), nullable=True),
        sa.Column("claimed_by", sa.String(), nullable=True),
        sa.Column("claimed_until", moment, nullable=True),
        sa.Column("passed_by", sa.JSON(), nullable=False),
        sa.Column("opened_at", moment, nullable=False),
        sa.Column("respond_by", moment, nullable=False),
        sa.Column("closed_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("review_id"),
    )
    op.create_index("ix_reviews_message_id", "reviews", ["message_id"])
    op.create_index("ix_reviews_state", "reviews", ["state", "asset", "respond_by"])
    op.create_index("ix_reviews_partition", "reviews", ["partition", "asset"])
    op.create_table(
        "verdicts",
        sa.Column("verdict_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("review_id", sa.Integer(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("partition", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("content_digest", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("decided_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("verdict_id"),
    )
    op.create_index("ix_verdicts_review_id", "verdicts", ["review_id"])
    op.create_index("ix_verdicts_message_id", "verdicts", ["message_id"])
    op.create_index("ix_verdicts_partition", "verdicts", ["partition", "asset", "is_current"])
