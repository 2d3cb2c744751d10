"""Annotations say how long they took, whether they are ground truth, and what stands around their answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Take the step."""
    op.add_column("annotations", sa.Column("lead_time", sa.Float))
    op.add_column("annotations", sa.Column("ground_truth", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("annotations", sa.Column("item_details", sa.Text))
    # Of what is there, Label Studio knows these: everything is compared once, as if the last time were long ago. Turns
    # go on meanwhile, unlike before a first comparison.
    projects = sa.table("projects", sa.column("compared_at"), sa.column("sync_wanted"))
    known = sa.update(projects).where(projects.c.compared_at.is_not(None))
    op.execute(known.values(compared_at=0.0, sync_wanted=sa.true()))
