"""The tables: a row is printed as soon as it is measured, with its aim beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

TITLES = ("what", "tasks", "aim", "measured", "met")


@dataclass(frozen=True)
class Row:
    """One measurement. `is_met`: None where there is no aim."""

    section: str
    what: str
    n_tasks: int | None
    aim: str
    measured: str
    is_met: bool | None


@dataclass
class Report:
    """All rows so far."""

    rows: list[Row] = field(default_factory=list)
    section: str = ""

    def begin(self, section: str) -> None:
        """Print the head of a section's table."""
        self.section = section
        print(f"\n### {section}\n\n| {' | '.join(TITLES)} |\n|{' --- |' * len(TITLES)}", flush=True)

    def row(self, what: str, n_tasks: int | None, aim: str, measured: str, is_met: bool | None = None) -> None:
        """Keep and print a row."""
        self.rows.append(Row(self.section, what, n_tasks, aim, measured, is_met))
        size = "" if n_tasks is None else f"{n_tasks:,}"
        met = {None: "", True: "yes", False: "**no**"}[is_met]
        print(f"| {what} | {size} | {aim} | {measured} | {met} |", flush=True)

    def at_most(
        self, what: str, n_tasks: int | None, value: float, limit: float | None, unit: str, more: str = ""
    ) -> None:
        """A row whose aim is an upper limit; None for one without an aim."""
        aim = "" if limit is None else f"≤ {limit:g} {unit}"
        measured = f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"
        self.row(what, n_tasks, aim, measured + more, None if limit is None else value <= limit)

    def as_json(self) -> list[dict[str, object]]:
        """All rows."""
        return [asdict(row) for row in self.rows]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
