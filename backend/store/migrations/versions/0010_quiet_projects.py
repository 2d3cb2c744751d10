"""For how long there was nothing new in a project, as its syncs counted it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Take the step."""
    op.add_column("projects", sa.Column("quiet_seconds", sa.Float, nullable=False, server_default="0"))
    op.add_column("projects", sa.Column("quiet_revision", sa.BigInteger, nullable=False, server_default="-1"))
