"""Alembic's entry point: it migrates over the connection that the ledger hands in."""

from alembic import context

from orchestration_project.stores.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
