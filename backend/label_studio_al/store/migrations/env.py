"""What Alembic runs to take the steps, on the connection that `migrate` gives it."""

from __future__ import annotations

from alembic import context

from label_studio_al.store import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    # SQLite changes a column only by copying its table.
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
