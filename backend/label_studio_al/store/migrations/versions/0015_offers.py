"""Tasks may say what a label config offers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Take the step."""
    op.add_column("projects", sa.Column("offers", sa.Text, nullable=False, server_default="{}"))
