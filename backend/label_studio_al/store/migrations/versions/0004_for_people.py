"""What people are told and may ask for: why a task is asked, a pause, other settings; and counts of what happened."""

from __future__ import annotations

import json
from collections import Counter

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Take the step."""
    op.add_column("projects", sa.Column("title", sa.Text))
    op.add_column("projects", sa.Column("label_counts", sa.Text, nullable=False, server_default="{}"))
    op.add_column("projects", sa.Column("n_fresh", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("projects", sa.Column("n_due", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("projects", sa.Column("progress", sa.Text))
    op.add_column("projects", sa.Column("unreachable_since", sa.Float))
    op.add_column("projects", sa.Column("is_paused", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("projects", sa.Column("wanted_params", sa.Text))
    op.add_column("window_tasks", sa.Column("guesses", sa.Text))
    op.add_column("versions", sa.Column("label_counts", sa.Text, nullable=False, server_default="{}"))
    _count_labels()
    op.create_table(
        "counts",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("labels", sa.String(255), primary_key=True),
        sa.Column("value", sa.Float, nullable=False),
    )


def _count_labels() -> None:
    versions = sa.table("versions", sa.column("id"), sa.column("learnt"), sa.column("label_counts"))
    connection = op.get_bind()
    for row in connection.execute(sa.select(versions.c.id, versions.c.learnt)).all():
        counted = json.dumps(Counter(json.loads(row.learnt).values()))
        connection.execute(sa.update(versions).where(versions.c.id == row.id).values(label_counts=counted))
