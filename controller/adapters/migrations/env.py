"""What alembic runs: all steps on the connection of `controller.adapters.database`, inside its transaction."""

from __future__ import annotations

from alembic import context

from controller.adapters.database_tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
