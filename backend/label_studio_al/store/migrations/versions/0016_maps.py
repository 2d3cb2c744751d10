"""A map of each project's pool."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "maps",
        sa.Column("project_key", sa.String(64), sa.ForeignKey("projects.key", ondelete="CASCADE"), primary_key=True),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("landmarks", sa.Text, nullable=False),
        sa.Column("picture", sa.Text, nullable=False),
        sa.Column("n_points", sa.Integer, nullable=False),
    )
