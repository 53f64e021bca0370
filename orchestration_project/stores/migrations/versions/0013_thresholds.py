"""The acceptance threshold of a version belongs to its being in use: it may be raised meanwhile."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("champions", sa.Column("threshold", sa.Float(), nullable=True))
    op.execute(
        "UPDATE champions SET threshold = (SELECT recorded.threshold FROM model_versions AS recorded "
        "WHERE recorded.family = champions.family AND recorded.version = champions.version "
        "AND recorded.sha256 = champions.sha256)"
    )
    op.create_index("ix_reviews_cause", "reviews", ["cause", "opened_at"])
