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
    """What a version trained on `n_labels` answers to a question predicted for a task that was not among them."""

    task_id: int
    question: str
    predicted: str
    probability: float
    n_labels: int
    is_audit: bool


@dataclass(frozen=True)
class Measurement:
    """How good a version was at a question. `kappa`: agreement with the last measurement that kept its `predictions`.

    predictions: answers by task id, or None where they are not needed any more. report: JSON for people.
    """

    question: str
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

    def predictions(self, key: str, question: str | None = None) -> list[Prediction]:
        """What was predicted for tasks before they were labelled, in the order of the tasks' ids; of all questions."""
        table = schema.outcomes.c
        columns = (table.task_id, table.question, table.predicted, table.probability, table.n_labels, table.is_audit)
        query = sa.select(*columns).where(table.project_key == key).order_by(table.task_id, table.question)
        if question is not None:
            query = query.where(table.question == question)
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
        of_question = (table.c.project_key == key) & (table.c.question == measurement.question)
        with self._write() as connection:
            connection.execute(sa.delete(table).where(of_question, table.c.n_labels > measurement.n_labels))
            connection.execute(sa.update(table).where(of_question).values(**older))
            connection.execute(sa.insert(table).values(**values))

    def drop(self, key: str, question: str) -> None:
        """Forget how good versions were at a question whose labels are gone."""
        self._delete(key, question, schema.measurements)

    def begin_anew(self, key: str, question: str) -> None:
        """Forget all of a question: it is another one by now."""
        self._delete(key, question, schema.measurements, schema.outcomes)

    def _delete(self, key: str, question: str, *tables: sa.Table) -> None:
        with self._write() as connection:
            for table in tables:
                connection.execute(sa.delete(table).where(table.c.project_key == key, table.c.question == question))

    def all(self, key: str, question: str | None = None) -> list[Measurement]:
        """All measurements, oldest first; of all questions."""
        table = schema.measurements.c
        query = _MEASUREMENTS.where(table.project_key == key)
        if question is not None:
            query = query.where(table.question == question)
        with self._read() as connection:
            return [_measurement(row) for row in connection.execute(query)]

    def newest(self, key: str, question: str) -> Measurement | None:
        """The newest measurement of a question; None before the first."""
        return next(reversed(self.all(key, question)), None)

    def newest_of_all(self, key: str | None = None) -> dict[str, dict[str, Measurement]]:
        """The newest measurements by the project's key and the question's name; without their predictions."""
        table = schema.measurements.c
        newest = sa.select(sa.func.max(table.id)).group_by(table.project_key, table.question)
        if key is not None:
            newest = newest.where(table.project_key == key)
        columns = (table.question, table.version, table.n_labels, table.created_at, table.kappa, table.report)
        query = sa.select(table.project_key, *columns).where(table.id.in_(newest))
        found: dict[str, dict[str, Measurement]] = {}
        with self._read() as connection:
            for row in connection.execute(query):
                fields = row._asdict()
                of = found.setdefault(fields.pop("project_key"), {})
                of[row.question] = Measurement(**fields | {"predictions": None, "report": json.loads(row.report)})
        return found


_NAMES = ("question", "version", "n_labels", "created_at", "kappa", "predictions", "report")
_MEASUREMENTS = sa.select(*(schema.measurements.c[name] for name in _NAMES)).order_by(schema.measurements.c.id)


def _measurement(row: Any) -> Measurement:
    kept = None if row.predictions is None else json.loads(row.predictions)
    predictions = None if kept is None else {int(task_id): answer for task_id, answer in kept.items()}
    return Measurement(**row._asdict() | {"predictions": predictions, "report": json.loads(row.report)})
