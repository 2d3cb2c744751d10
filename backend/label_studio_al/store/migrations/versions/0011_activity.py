"""What a project does or waits for is data; the next turn says it anew."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Take the step."""
    projects = sa.table("projects", sa.column("activity"))
    op.execute(sa.update(projects).values(activity=json.dumps({"state": "starting"})))
