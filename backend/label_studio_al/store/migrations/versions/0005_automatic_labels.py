"""Labels that are set automatically: told from people's, listed by run, watched; and looks at the audit labels."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Take the step."""
    op.add_column("annotations", sa.Column("is_automatic", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "autolabel_runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project_key", sa.String(64), sa.ForeignKey("projects.key", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("max_error", sa.Float, nullable=False),
        sa.Column("delta", sa.Float, nullable=False),
        sa.Column("n_batches", sa.Integer, nullable=False, server_default="0"),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("covered_audits", sa.Text, nullable=False, server_default="[]"),
        sa.Column("watch", sa.Text),
        sa.UniqueConstraint("project_key", "number"),
    )
    op.create_table(
        "automatic_labels",
        sa.Column(
            "run_id",
            sa.Integer,
            sa.ForeignKey("autolabel_runs.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("probability", sa.Float, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("batch", sa.Integer),
        sa.Column("annotation_id", sa.BigInteger),
    )
    op.create_table(
        "autolabel_looks",
        sa.Column("project_key", sa.String(64), sa.ForeignKey("projects.key", ondelete="CASCADE"), primary_key=True),
        sa.Column("after_run", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("signature", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.create_table(
        "autolabel_plans",
        sa.Column("project_key", sa.String(64), sa.ForeignKey("projects.key", ondelete="CASCADE"), primary_key=True),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
    )
