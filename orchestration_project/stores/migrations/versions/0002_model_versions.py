"""Model versions in a table of their own, and the imports of a team's labels."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "label_imports",
        sa.Column("import_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("replaces", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("import_id"),
    )
    op.create_index(op.f("ix_label_imports_family"), "label_imports", ["family"], unique=False)
    op.create_table(
        "model_versions",
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=True),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("label_digest", sa.String(), nullable=False),
        sa.Column("code_version", sa.String(), nullable=False),
        sa.Column("libraries", sa.JSON(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("family", "version", "sha256"),
    )
    op.execute(
        "INSERT INTO model_versions (family, version, sha256, path, threshold, labels, metrics, rules, number, "
        "label_digest, code_version, libraries, run_id, recorded_at) "
        "SELECT family, version, sha256, path, threshold, labels, metrics, rules, NULL, '', '', '{}', '', promoted_at "
        "FROM champions AS latest WHERE revision = (SELECT max(revision) FROM champions AS same "
        "WHERE same.family = latest.family AND same.version = latest.version AND same.sha256 = latest.sha256)"
    )
    op.add_column("champions", sa.Column("reason", sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("champions") as champions:
        champions.alter_column("reason", server_default=None)
        for name in ("path", "threshold", "labels", "metrics", "rules"):
            champions.drop_column(name)
