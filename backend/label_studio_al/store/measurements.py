"""How good versions were, and what they predicted before people labelled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from label_studio_al.store import schema
from label_studio_al.store.part import Part


@dataclass(frozen=True)
class Prediction:
    """What a version trained on `n_labels` labels predicted for a task that was not among them."""

    task_id: int
    predicted: str
    probability: float
    n_labels: int
    is_audit: bool


@dataclass(frozen=True)
class Measurement:
    """How good a version was. `kappa`: agreement with the last measurement that kept its `predictions`.

    predictions: labels by task id, or None where they are not needed any more. report: JSON for people.
    """

    version: int
    n_labels: int
    created_at: float
    kappa: float | None
    predictions: dict[int, str] | None
    report: dict[str, Any]


class Measurements(Part):
    """Predictions that people answered since, and what was measured by them."""

    def keep_predictions(self, key: str, predictions: Sequence[Prediction]) -> None:
        """Keep what was predicted for tasks before they were labelled; the first prediction of a task stays."""
        rows = [{"project_key": key, **asdict(prediction)} for prediction in predictions]
        if rows:
            with self._write() as connection:
                connection.execute(self._insert(schema.outcomes).on_conflict_do_nothing(), rows)

    def predictions(self, key: str) -> list[Prediction]:
        """What was predicted for tasks before they were labelled, in the order of the tasks' ids."""
        table = schema.outcomes.c
        query = (
            sa.select(table.task_id, table.predicted, table.probability, table.n_labels, table.is_audit)
            .where(table.project_key == key)
            .order_by(table.task_id)
        )
        with self._read() as connection:
            return [Prediction(**row._asdict()) for row in connection.execute(query)]

    def record(self, key: str, measurement: Measurement) -> None:
        """Keep a measurement; of older ones only what a history needs stays, nothing of those of more labels."""
        table = schema.measurements
        values = asdict(measurement) | {
            "project_key": key,
            "report": json.dumps(measurement.report),
            "predictions": None if measurement.predictions is None else json.dumps(measurement.predictions),
        }
        older: dict[str, Any] = {"report": "{}"}
        if measurement.predictions is not None:
            older["predictions"] = None
        with self._write() as connection:
            connection.execute(_measured_on_more(key, measurement.n_labels))
            connection.execute(sa.update(table).where(table.c.project_key == key).values(**older))
            connection.execute(sa.insert(table).values(**values))

    def drop(self, key: str) -> None:
        """Forget how good versions were whose labels are gone."""
        with self._write() as connection:
            connection.execute(_measured_on_more(key, 0))

    def begin_anew(self, key: str) -> None:
        """Forget all of it: another question is asked."""
        with self._write() as connection:
            for table in (schema.measurements, schema.outcomes):
                connection.execute(sa.delete(table).where(table.c.project_key == key))

    def all(self, key: str) -> list[Measurement]:
        """All measurements, oldest first."""
        with self._read() as connection:
            rows = connection.execute(_MEASUREMENTS.where(schema.measurements.c.project_key == key)).all()
        return [_measurement(row) for row in rows]

    def newest(self, key: str) -> Measurement | None:
        """The newest measurement; None before the first."""
        table = schema.measurements.c
        query = _MEASUREMENTS.where(table.project_key == key).order_by(None).order_by(table.id.desc()).limit(1)
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _measurement(row)

    def newest_of_all(self) -> dict[str, Measurement]:
        """The newest measurement of each project that has one, by the project's key; without its predictions."""
        table = schema.measurements.c
        newest = sa.select(sa.func.max(table.id)).group_by(table.project_key)
        columns = (table.version, table.n_labels, table.created_at, table.kappa, table.report)
        query = sa.select(table.project_key, *columns).where(table.id.in_(newest))
        with self._read() as connection:
            rows = connection.execute(query).all()
        return {
            row.project_key: Measurement(
                row.version, row.n_labels, row.created_at, row.kappa, None, json.loads(row.report)
            )
            for row in rows
        }


_MEASUREMENTS = sa.select(
    *(schema.measurements.c[name] for name in ("version", "n_labels", "created_at", "kappa", "predictions", "report"))
).order_by(schema.measurements.c.id)


def _measured_on_more(key: str, n_labels: int) -> sa.Delete:
    table = schema.measurements.c
    return sa.delete(schema.measurements).where(table.project_key == key, table.n_labels > n_labels)


def _measurement(row: Any) -> Measurement:
    kept = None if row.predictions is None else json.loads(row.predictions)
    predictions = None if kept is None else {int(task_id): label for task_id, label in kept.items()}
    return Measurement(**row._asdict() | {"predictions": predictions, "report": json.loads(row.report)})
