"""Turns that were killed, and projects whose turns fail again and again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Take the step."""
    op.add_column("projects", sa.Column("n_unfinished", sa.Integer, nullable=False, server_default="0"))
    op.add_column("projects", sa.Column("parked_revision", sa.BigInteger))
