"""Alembic's entry: runs on the connection, and inside the transaction, that migrate() hands over."""

from __future__ import annotations

from alembic import context

from ussd_engine.platform.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
