"""Alembic's entry: runs on the connection that `ledger.migrate` hands over."""

from __future__ import annotations

from alembic import context

from gateway.ledger.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)
context.run_migrations()
