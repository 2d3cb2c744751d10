"""The window is pushed task by task: which of it Label Studio has; and who gave an annotation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Take the step."""
    # Until now a window was recorded as a whole, once it was pushed.
    op.add_column("window_tasks", sa.Column("is_pushed", sa.Boolean, nullable=False, server_default=sa.true()))
    op.add_column("projects", sa.Column("is_window_pushed", sa.Boolean, nullable=False, server_default=sa.true()))
    op.add_column("annotations", sa.Column("completed_by", sa.BigInteger))
