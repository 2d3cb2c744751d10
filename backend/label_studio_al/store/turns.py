"""What turns did."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import sqlalchemy as sa

from label_studio_al.runtime.redaction import hide
from label_studio_al.store import schema
from label_studio_al.store.part import Part

KEPT_TURNS = 200


@dataclass(frozen=True)
class Turn:
    """What a turn did. `steps` maps each step to its seconds."""

    started_at: float
    seconds: float
    outcome: str
    version: int | None = None
    n_labels: int | None = None
    steps: dict[str, float] = field(default_factory=dict)


class Turns(Part):
    """The newest turns of all projects."""

    def record(self, key: str, turn: Turn) -> None:
        """Keep what a turn did; the newest 200 of a project stay."""
        table = schema.turns
        values = {
            "project_key": key,
            "started_at": turn.started_at,
            "seconds": turn.seconds,
            "steps": json.dumps(turn.steps),
            "outcome": hide(turn.outcome),
            "version": turn.version,
            "n_labels": turn.n_labels,
        }
        with self._write() as connection:
            newest = connection.execute(sa.insert(table).values(**values).returning(table.c.id)).scalar_one()
            kept = sa.select(table.c.id).where(table.c.project_key == key).order_by(table.c.id.desc())
            oldest = connection.execute(kept.offset(KEPT_TURNS).limit(1)).scalar_one_or_none()
            if oldest is not None and oldest < newest:
                connection.execute(sa.delete(table).where(table.c.project_key == key, table.c.id <= oldest))

    def newest(self, key: str, n: int) -> list[Turn]:
        """The newest n turns, newest first."""
        table = schema.turns.c
        query = sa.select(schema.turns).where(table.project_key == key).order_by(table.id.desc()).limit(n)
        with self._read() as connection:
            rows = connection.execute(query).all()
        return [
            Turn(row.started_at, row.seconds, row.outcome, row.version, row.n_labels, json.loads(row.steps))
            for row in rows
        ]
