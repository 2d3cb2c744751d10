"""What a project shows that is not read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Take the step."""
    op.add_column("projects", sa.Column("unread", sa.Text, nullable=False, server_default="[]"))
