"""The sums of what all processes counted."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from label_studio_al.store import schema
from label_studio_al.store.part import Part


class Counters(Part):
    """Sums by name and labels (JSON)."""

    def add(self, amounts: Mapping[tuple[str, str], float]) -> None:
        """Add to the sums of all processes, by name and labels (JSON). One transaction."""
        # In one order, or two processes that add at once could wait for each other's rows for ever.
        rows = [{"name": name, "labels": labels, "value": value} for (name, labels), value in sorted(amounts.items())]
        if rows:
            with self._write() as connection:
                connection.execute(self._upserts.added_count, rows)

    def all(self) -> dict[tuple[str, str], float]:
        """The sums of all processes, by name and labels (JSON)."""
        table = schema.counts.c
        with self._read() as connection:
            found = connection.execute(sa.select(table.name, table.labels, table.value)).all()
        return {(row.name, row.labels): row.value for row in found}
