"""Names of versions tell which installation has published them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Take the step."""
    # What was published until now keeps its name.
    op.add_column("versions", sa.Column("installation", sa.String(16), nullable=False, server_default=""))
