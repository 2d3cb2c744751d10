"""What people are told and may ask for: why a task is asked, a pause, other settings; and counts of what happened."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Take the step."""
    op.add_column("projects", sa.Column("is_paused", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("projects", sa.Column("wanted_params", sa.Text))
    op.add_column("window_tasks", sa.Column("guesses", sa.Text))
    op.create_table(
        "counts",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("labels", sa.String(255), primary_key=True),
        sa.Column("value", sa.Float, nullable=False),
    )
