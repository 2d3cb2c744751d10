"""The tables as the first releases made them. There is no way back: an older release refuses a newer schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "projects",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("label_config", sa.Text, nullable=False),
        sa.Column("extra_params", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("seen_revision", sa.BigInteger, nullable=False),
        sa.Column("n_turns", sa.BigInteger, nullable=False),
        sa.Column("heard_at", sa.Float, nullable=False),
        sa.Column("synced_at", sa.Float),
        sa.Column("sync_wanted", sa.Boolean, nullable=False),
        sa.Column("config_wanted", sa.Boolean, nullable=False),
        sa.Column("wanted_revision", sa.BigInteger, nullable=False),
        sa.Column("version_id", sa.BigInteger),
        sa.Column("last_number", sa.BigInteger, nullable=False),
        sa.Column("is_switched", sa.Boolean, nullable=False),
        sa.Column("is_arranged", sa.Boolean, nullable=False),
        sa.Column("stale_versions", sa.Text, nullable=False),
        sa.Column("activity", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("n_failures", sa.Integer, nullable=False),
        sa.Column("retry_at", sa.Float),
    )
    op.create_table(
        "tasks",
        _belongs_to_project(primary_key=True),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("is_deleted", sa.Boolean, nullable=False),
        sa.Index("tasks_by_revision", "project_key", "revision"),
    )
    op.create_table(
        "annotations",
        _belongs_to_project(primary_key=True),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("task_id", sa.BigInteger, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("was_cancelled", sa.Boolean, nullable=False),
        sa.Column("updated_at", sa.String(40), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("is_deleted", sa.Boolean, nullable=False),
        sa.Index("annotations_by_task", "project_key", "task_id"),
    )
    op.create_table(
        "features",
        sa.Column("id", sa.Integer, primary_key=True),
        _belongs_to_project(nullable=False, index=True),
        sa.Column("field", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("artifact", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "versions",
        sa.Column("id", sa.Integer, primary_key=True),
        _belongs_to_project(nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("ranked_by", sa.String(32), nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("learnt", sa.Text, nullable=False),
        sa.Column("features_id", sa.Integer),
        sa.Column("artifact", sa.LargeBinary),
        sa.Column("late_audits", sa.Text, nullable=False),
        sa.UniqueConstraint("project_key", "number"),
    )
    op.create_table(
        "window_tasks",
        sa.Column(
            "version_id",
            sa.Integer,
            sa.ForeignKey("versions.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("informativeness", sa.Float, nullable=False),
        sa.Column("is_audit", sa.Boolean, nullable=False),
    )
    op.create_table(
        "outcomes",
        _belongs_to_project(primary_key=True),
        sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("predicted", sa.Text, nullable=False),
        sa.Column("probability", sa.Float, nullable=False),
        sa.Column("n_labels", sa.Integer, nullable=False),
        sa.Column("is_audit", sa.Boolean, nullable=False),
    )
    op.create_table(
        "measurements",
        sa.Column("id", sa.Integer, primary_key=True),
        _belongs_to_project(nullable=False, index=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("n_labels", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("kappa", sa.Float),
        sa.Column("predictions", sa.Text),
        sa.Column("report", sa.Text, nullable=False),
    )
    op.create_table(
        "turns",
        sa.Column("id", sa.Integer, primary_key=True),
        _belongs_to_project(nullable=False, index=True),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("steps", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger),
        sa.Column("n_labels", sa.Integer),
    )


def _belongs_to_project(**options: Any) -> sa.Column[str]:
    return sa.Column("project_key", sa.String(64), sa.ForeignKey("projects.key", ondelete="CASCADE"), **options)
