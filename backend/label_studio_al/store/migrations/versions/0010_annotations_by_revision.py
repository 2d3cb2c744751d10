"""A turn reads only the annotations that changed since the one before."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Take the step."""
    op.create_index("annotations_by_revision", "annotations", ["project_key", "revision"])
