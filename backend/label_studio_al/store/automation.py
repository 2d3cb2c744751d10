"""What was labelled automatically: runs, their tasks, and how often the audit labels were looked at."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from label_studio_al.store import schema

# States of a run ...
APPLYING, APPLIED, UNDOING, UNDONE = "applying", "applied", "undoing", "undone"
# ... and of its tasks: to be labelled, labelled, held back for people, left to a person who was faster, unlabelled
# again, or kept because a person has changed the label since.
PLANNED, LABELLED, CHECK, SKIPPED, REMOVED, KEPT = "planned", "labelled", "check", "skipped", "removed", "kept"


@dataclass(frozen=True)
class Run:
    """Labels that were set together. n_selected: tasks that the promise is about, those held back included.

    covered_audits: audit labels that spoke for this run, and say nothing of what it left. watch: JSON for people.
    """

    id: int
    number: int
    created_at: float
    state: str
    max_error: float
    delta: float
    n_batches: int
    report: dict[str, Any]
    covered_audits: frozenset[int]
    watch: dict[str, Any] | None

    @property
    def is_standing(self) -> bool:
        """Whether its labels count."""
        return self.state in (APPLYING, APPLIED)


@dataclass(frozen=True)
class AutomaticLabel:
    """A task of a run, and what the model says of it: an answer to each question, and how probable all of it is."""

    task_id: int
    answers: Mapping[str, str]
    probability: float
    state: str
    batch: int | None = None
    annotation_id: int | None = None


@dataclass(frozen=True)
class Promise:
    """What is promised of a run (see learning.guarantee.Goal), and on what it rests. covered_audits: see Run."""

    max_error: float
    delta: float
    report: dict[str, Any]
    covered_audits: Collection[int]


class Automation:
    """The part of the store that keeps automatic labels."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # -- runs -------------------------------------------------------------------------------------------------

    def begin(
        self,
        key: str,
        labels: Sequence[AutomaticLabel],
        promise: Promise,
        now: float,
    ) -> Run:
        """Write a run down before anything is done. One transaction."""
        runs, rows = schema.runs, schema.automatic_labels
        with self._engine.begin() as connection:
            newest = sa.select(sa.func.coalesce(sa.func.max(runs.c.number), 0) + 1).where(runs.c.project_key == key)
            run_id = connection.execute(
                sa.insert(runs)
                .values(
                    project_key=key,
                    number=newest.scalar_subquery(),
                    created_at=now,
                    state=APPLYING,
                    max_error=promise.max_error,
                    delta=promise.delta,
                    report=json.dumps(promise.report),
                    covered_audits=json.dumps(sorted(promise.covered_audits)),
                )
                .returning(runs.c.id)
            ).scalar_one()
            if labels:
                connection.execute(
                    sa.insert(rows),
                    [
                        {
                            "run_id": run_id,
                            "task_id": one.task_id,
                            "label": json.dumps(one.answers),
                            "probability": one.probability,
                            "state": one.state,
                        }
                        for one in labels
                    ],
                )
        return next(run for run in self.runs(key) if run.id == run_id)

    def runs(self, key: str) -> list[Run]:
        """All runs of a project, oldest first."""
        table = schema.runs.c
        with self._engine.connect() as connection:
            query = sa.select(schema.runs).where(table.project_key == key).order_by(table.number)
            found = connection.execute(query).all()
        return [
            Run(
                id=row.id,
                number=row.number,
                created_at=row.created_at,
                state=row.state,
                max_error=row.max_error,
                delta=row.delta,
                n_batches=row.n_batches,
                report=json.loads(row.report),
                covered_audits=frozenset(json.loads(row.covered_audits)),
                watch=None if row.watch is None else json.loads(row.watch),
            )
            for row in found
        ]

    def set_state(self, run: Run, state: str) -> None:
        """Note how far a run has come."""
        self._update(run.id, state=state)

    def set_watch(self, run: Run, watch: dict[str, Any]) -> None:
        """Note how the verification of a run stands."""
        self._update(run.id, watch=json.dumps(watch))

    def reserve_batch(self, run: Run, task_ids: Sequence[int]) -> int:
        """The next batch's number, noted at its tasks before it is sent; one that was given is never given again."""
        runs, rows = schema.runs.c, schema.automatic_labels.c
        with self._engine.begin() as connection:
            statement = sa.update(schema.runs).where(runs.id == run.id).values(n_batches=runs.n_batches + 1)
            batch = int(connection.execute(statement.returning(runs.n_batches)).scalar_one())
            theirs = (rows.run_id == run.id) & (rows.task_id == sa.bindparam("of_task"))
            connection.execute(
                sa.update(schema.automatic_labels).where(theirs).values(batch=batch),
                [{"of_task": task_id} for task_id in task_ids],
            )
        return batch

    # -- tasks ------------------------------------------------------------------------------------------------

    def labels(self, run: Run, *states: str) -> list[AutomaticLabel]:
        """The tasks of a run, by id; of some states only, if any are given."""
        table = schema.automatic_labels.c
        query = sa.select(
            table.task_id, table.label, table.probability, table.state, table.batch, table.annotation_id
        ).where(table.run_id == run.id)
        if states:
            query = query.where(table.state.in_(states))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(table.task_id)).all()
        return [AutomaticLabel(task_id, json.loads(label), *rest) for task_id, label, *rest in rows]

    def counts(self, run: Run) -> dict[str, int]:
        """How many tasks of a run are in each state."""
        table = schema.automatic_labels.c
        query = sa.select(table.state, sa.func.count()).where(table.run_id == run.id).group_by(table.state)
        with self._engine.connect() as connection:
            return {state: int(n) for state, n in connection.execute(query)}

    def note(self, run: Run, changed: Sequence[AutomaticLabel]) -> None:
        """Write down what became of tasks of a run."""
        if not changed:
            return
        table = schema.automatic_labels.c
        statement = (
            sa.update(schema.automatic_labels)
            .where(table.run_id == run.id, table.task_id == sa.bindparam("of_task"))
            .values(state=sa.bindparam("to_state"), annotation_id=sa.bindparam("as_annotation"))
        )
        with self._engine.begin() as connection:
            connection.execute(
                statement,
                [
                    {"of_task": one.task_id, "to_state": one.state, "as_annotation": one.annotation_id}
                    for one in changed
                ],
            )

    def taken(self, key: str) -> set[int]:
        """Tasks that are labelled automatically, or about to be: nobody is to be asked about them."""
        annotations, rows, runs = schema.annotations.c, schema.automatic_labels.c, schema.runs.c
        labelled = sa.select(annotations.task_id).where(
            annotations.project_key == key, annotations.is_automatic, ~annotations.is_deleted
        )
        soon = (
            sa.select(rows.task_id)
            .join_from(schema.automatic_labels, schema.runs, runs.id == rows.run_id)
            .where(runs.project_key == key, runs.state == APPLYING, rows.state == PLANNED)
        )
        with self._engine.connect() as connection:
            return {int(task_id) for query in (labelled, soon) for task_id in connection.execute(query).scalars()}

    def n_automatic(self, key: str) -> int:
        """How many labels in Label Studio were set automatically, and changed by nobody since."""
        table = schema.annotations.c
        query = sa.select(sa.func.count()).where(table.project_key == key, table.is_automatic, ~table.is_deleted)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def checks(self, key: str, among: Sequence[int] | None = None) -> dict[int, dict[str, str]]:
        """Tasks that were held back to check the standing runs, with the answers that each would have got.

        among: only these few tasks.
        """
        rows, runs = schema.automatic_labels.c, schema.runs.c
        query = (
            sa.select(rows.task_id, rows.label)
            .join_from(schema.automatic_labels, schema.runs, runs.id == rows.run_id)
            .where(runs.project_key == key, runs.state.in_((APPLYING, APPLIED)), rows.state == CHECK)
            .order_by(rows.task_id)
        )
        if among is not None:
            query = query.where(rows.task_id.in_(among))
        with self._engine.connect() as connection:
            return {int(task_id): json.loads(label) for task_id, label in connection.execute(query)}

    def answered(self, key: str, run: Run) -> dict[int, dict[str, str]]:
        """Automatically labelled tasks of a run to which a person gave an answer, with the answers they had got."""
        rows, annotations = schema.automatic_labels.c, schema.annotations.c
        by_people = sa.select(annotations.task_id).where(
            annotations.project_key == key, ~annotations.is_automatic, ~annotations.is_deleted
        )
        query = sa.select(rows.task_id, rows.label).where(
            rows.run_id == run.id, rows.state.in_((LABELLED, KEPT)), rows.task_id.in_(by_people)
        )
        with self._engine.connect() as connection:
            return {int(task_id): json.loads(label) for task_id, label in connection.execute(query)}

    def tasks_of(self, key: str) -> set[int]:
        """All tasks of the standing runs."""
        rows, runs = schema.automatic_labels.c, schema.runs.c
        query = (
            sa.select(rows.task_id)
            .join_from(schema.automatic_labels, schema.runs, runs.id == rows.run_id)
            .where(runs.project_key == key, runs.state.in_((APPLYING, APPLIED)))
        )
        with self._engine.connect() as connection:
            return {int(task_id) for task_id in connection.execute(query).scalars()}

    # -- looks ------------------------------------------------------------------------------------------------

    def look(self, key: str, after_run: int, signature: str) -> tuple[int, bool]:
        """Which look at the audit labels since a run this one is, from 1 on; and whether it was taken before."""
        table = schema.looks.c
        query = sa.select(table.signature, table.number).where(table.project_key == key, table.after_run == after_run)
        with self._engine.connect() as connection:
            numbers = {name: int(number) for name, number in connection.execute(query)}
        return numbers.get(signature, max(numbers.values(), default=0) + 1), signature in numbers

    def keep_look(self, key: str, after_run: int, signature: str, number: int) -> None:
        """Write a look down."""
        values = {"project_key": key, "after_run": after_run, "signature": signature, "number": number}
        with self._engine.begin() as connection:
            connection.execute(sa.insert(schema.looks).values(**values))

    # -- plans ------------------------------------------------------------------------------------------------

    def keep_plan(self, key: str, report: dict[str, Any], now: float) -> None:
        """Keep the newest plan of a project, for people to look at."""
        table = schema.plans
        values = {"project_key": key, "made_at": now, "report": json.dumps(report)}
        with self._engine.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.project_key == key))
            connection.execute(sa.insert(table).values(**values))

    def newest_plan(self, key: str) -> tuple[float, dict[str, Any]] | None:
        """When the newest plan was made, and its report; None if there was none."""
        table = schema.plans.c
        query = sa.select(table.made_at, table.report).where(table.project_key == key)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.made_at, json.loads(row.report))

    # -- inside -----------------------------------------------------------------------------------------------

    def _update(self, run_id: int, **columns: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.update(schema.runs).where(schema.runs.c.id == run_id).values(**columns))
