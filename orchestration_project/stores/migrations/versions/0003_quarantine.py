"""What becomes of a refused row: why it was refused, where it came from, its correction, and where it went."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("quarantine") as quarantine:
        quarantine.add_column(sa.Column("contract", sa.String(), nullable=False, server_default=""))
        quarantine.add_column(sa.Column("file", sa.String(), nullable=True))
        quarantine.add_column(sa.Column("file_sha256", sa.String(), nullable=True))
        quarantine.add_column(sa.Column("line", sa.Integer(), nullable=True))
        quarantine.add_column(sa.Column("correction", sa.JSON(), nullable=True))
        quarantine.add_column(sa.Column("successor", sa.String(), nullable=True))
    with op.batch_alter_table("quarantine") as quarantine:
        quarantine.alter_column("contract", server_default=None)
