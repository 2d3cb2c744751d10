"""${message}. There is no way back: an older release refuses a newer schema.

A batch that copies `projects` on SQLite deletes its rows elsewhere (ON DELETE CASCADE): add columns without a batch.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Take the step."""
    ${upgrades if upgrades else "pass"}
