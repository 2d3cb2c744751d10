"""A version says which kind of question it answers, and how many answers it was trained on."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Take the step."""
    # Empty: one label out of several, which was all that could be asked.
    op.add_column("versions", sa.Column("question", sa.Text, nullable=False, server_default=""))
    op.add_column("versions", sa.Column("n_labels", sa.Integer, nullable=False, server_default="0"))
    op.add_column("projects", sa.Column("n_labelled", sa.BigInteger, nullable=False, server_default="0"))
    versions = sa.table("versions", sa.column("id"), sa.column("label_counts"), sa.column("n_labels"))
    connection = op.get_bind()
    for version_id, counts in connection.execute(sa.select(versions.c.id, versions.c.label_counts)).all():
        n_labels = sum(json.loads(counts).values())
        connection.execute(sa.update(versions).where(versions.c.id == version_id).values(n_labels=n_labels))
    projects = sa.table("projects", sa.column("key"), sa.column("label_counts"), sa.column("n_labelled"))
    for key, counts in connection.execute(sa.select(projects.c.key, projects.c.label_counts)).all():
        n_labelled = sum(json.loads(counts).values())
        connection.execute(sa.update(projects).where(projects.c.key == key).values(n_labelled=n_labelled))
