"""What holds answers says to which question: a label config may ask several."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import ParseError, fromstring

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

# Rows that are read and written at a time.
_AT_ONCE = 10_000


def upgrade() -> None:
    """Take the step."""
    names = _names()
    _rewrite("projects", ("key",), "label_counts", lambda row, value: _under(names, row.key, json.loads(value)))
    for column in ("labels", "learnt", "label_counts"):
        _rewrite(
            "versions",
            ("id",),
            column,
            lambda row, value: _under(names, row.project_key, json.loads(value)),
            also=("project_key",),
        )
    _rewrite(
        "versions", ("id",), "question", lambda row, value: _under(names, row.project_key, value), ("project_key",)
    )
    _name_windows(names)
    _name_automatic_labels(names)
    _name_outcomes(names)
    op.add_column("measurements", sa.Column("question", sa.Text, nullable=False, server_default=""))
    measurements = sa.table("measurements", sa.column("project_key"), sa.column("question"))
    for key, name in names.items():
        theirs = measurements.c.project_key == key
        op.get_bind().execute(sa.update(measurements).where(theirs).values(question=name))


def _names() -> dict[str, str]:
    """The control that each project's label config had: there was one."""
    projects = sa.table("projects", sa.column("key"), sa.column("label_config"))
    rows = op.get_bind().execute(sa.select(projects.c.key, projects.c.label_config)).all()
    return {row.key: _control(row.label_config) for row in rows}


def _control(xml: str) -> str:
    try:
        tags = fromstring(xml).iter()  # noqa: S314 - it was read before, without entities
    except ParseError:
        return ""
    # A filter of choices points to its control, and is none.
    controls = (tag for tag in tags if tag.tag != "Filter" and tag.get("name") and tag.get("toName"))
    return next((tag.attrib["name"] for tag in controls), "")


def _under(names: dict[str, str], key: str, value: Any) -> str:
    """JSON of a value that belongs to the project's question."""
    return json.dumps({names.get(key, ""): value})


def _rewrite(
    table_name: str,
    identity: tuple[str, ...],
    column: str,
    change: Callable[[Any, Any], str],
    also: tuple[str, ...] = (),
) -> None:
    """Change the values of a column, some rows at a time. also: columns that the change looks at."""
    names = (*identity, *also, column)
    table = sa.table(table_name, *map(sa.column, names))
    connection = op.get_bind()
    rows = connection.execute(sa.select(*(table.c[name] for name in names)).where(table.c[column].is_not(None))).all()
    mine = sa.and_(*(table.c[name] == sa.bindparam(f"of_{name}") for name in identity))
    statement = sa.update(table).where(mine).values({column: sa.bindparam("to")})
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        connection.execute(
            statement,
            [
                {f"of_{name}": getattr(row, name) for name in identity} | {"to": change(row, getattr(row, column))}
                for row in some
            ],
        )


def _name_windows(names: dict[str, str]) -> None:
    versions = sa.table("versions", sa.column("id"), sa.column("project_key"))
    keys = dict(op.get_bind().execute(sa.select(versions.c.id, versions.c.project_key)).all())
    _rewrite(
        "window_tasks",
        ("version_id", "task_id"),
        "guesses",
        lambda row, value: _under(names, keys.get(row.version_id, ""), json.loads(value)),
    )


def _name_automatic_labels(names: dict[str, str]) -> None:
    runs = sa.table("autolabel_runs", sa.column("id"), sa.column("project_key"))
    keys = dict(op.get_bind().execute(sa.select(runs.c.id, runs.c.project_key)).all())
    _rewrite(
        "automatic_labels",
        ("run_id", "task_id"),
        "label",
        lambda row, value: _under(names, keys.get(row.run_id, ""), value),
    )


def _name_outcomes(names: dict[str, str]) -> None:
    """The table anew, since the question is a part of its key."""
    old = sa.table(
        "outcomes", *map(sa.column, ("project_key", "task_id", "predicted", "probability", "n_labels", "is_audit"))
    )
    connection = op.get_bind()
    rows = connection.execute(sa.select(*old.c)).all()
    op.drop_table("outcomes")
    made = op.create_table(
        "outcomes",
        sa.Column("project_key", sa.String(64), sa.ForeignKey("projects.key", ondelete="CASCADE"), primary_key=True),
        sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("question", sa.Text, primary_key=True),
        sa.Column("predicted", sa.Text, nullable=False),
        sa.Column("probability", sa.Float, nullable=False),
        sa.Column("n_labels", sa.Integer, nullable=False),
        sa.Column("is_audit", sa.Boolean, nullable=False),
    )
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        connection.execute(
            sa.insert(made), [row._asdict() | {"question": names.get(row.project_key, "")} for row in some]
        )
