"""How far a comparison in parts has come, and counts. There is no way back: an older release refuses a newer schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Take the step."""
    for column in (
        sa.Column("changed_through", sa.String(40)),
        sa.Column("compared_at", sa.Float),
        sa.Column("comparing_since", sa.BigInteger),
        sa.Column("compared_through", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("purged_revision", sa.BigInteger, nullable=False, server_default="-1"),
        sa.Column("n_tasks", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("n_annotations", sa.BigInteger, nullable=False, server_default="0"),
    ):
        op.add_column("projects", column)
    # Changes are read by revision and task.
    op.drop_index("tasks_by_revision", "tasks")
    op.create_index("tasks_by_revision", "tasks", ["project_key", "revision", "id"])
