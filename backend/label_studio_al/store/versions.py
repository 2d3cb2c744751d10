"""Published versions: what each was trained on, and its signed model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import sqlalchemy as sa

from label_studio_al.labeling import version_name
from label_studio_al.runtime.errors import TurnOvertaken, UnknownProject
from label_studio_al.store import schema
from label_studio_al.store.part import Part
from label_studio_al.store.projects import add_stale
from label_studio_al.store.windows import Best, NewTasks, add_to_window


@dataclass(frozen=True)
class VersionQuestion:
    """What a version knows of one question: `trained_on` maps task ids to the answers that it was trained on.

    fingerprint: of what was asked (see questions). labels: those that the config offered.
    """

    fingerprint: str
    labels: tuple[str, ...]
    trained_on: Mapping[int, str]


@dataclass(frozen=True)
class Version:
    """A published version without its models. questions: by name; all that the config asked.

    `revision`: the project's revision that it has seen.
    """

    id: int
    number: int
    created_at: float
    revision: int
    ranked_by: str
    questions: Mapping[str, VersionQuestion]
    features_id: int | None
    has_model: bool
    installation: str = ""

    @cached_property
    def trained_on(self) -> frozenset[int]:
        """The tasks of which it was trained on an answer to any question."""
        return frozenset().union(*(question.trained_on for question in self.questions.values()))

    @property
    def name(self) -> str:
        """The model version that Label Studio shows."""
        return version_name(self.number, self.installation)


@dataclass(frozen=True)
class VersionHead:
    """What a status page shows of a version: reading all its answers takes longer.

    label_counts: by question, in how many answers each label is, the config's labels first. n_labels: how many tasks it
    was trained on.
    """

    id: int
    number: int
    created_at: float
    ranked_by: str
    label_counts: Mapping[str, Mapping[str, int]]
    has_model: bool
    installation: str = ""
    n_labels: int = 0

    @property
    def name(self) -> str:
        """The model version that Label Studio shows."""
        return version_name(self.number, self.installation)


@dataclass(frozen=True)
class NewVersion:
    """What a turn publishes. `window` holds (task id, informativeness), most informative first.

    pushed: those of the window whose predictions Label Studio has; None for all. top_k: the most probable answers
    to each of the window's tasks. audits: those of the window that were drawn at
    random. late_audits: those of the version before that are not in the window and may still come: a task that was
    served before the switch is labelled after it. label_counts: by question, in how many answers each label is.
    """

    number: int
    created_at: float
    revision: int
    ranked_by: str
    questions: Mapping[str, VersionQuestion]
    features_id: int | None
    artifact: bytes | None
    window: Sequence[tuple[int, float]]
    audits: frozenset[int] = frozenset()
    late_audits: frozenset[int] = frozenset()
    top_k: Mapping[int, Best] = field(default_factory=dict)
    pushed: frozenset[int] | None = None
    label_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def n_labelled(self) -> int:
        """How many tasks have an answer to any question."""
        return len(set().union(*(question.trained_on for question in self.questions.values())))


@dataclass(frozen=True)
class Published:
    """A project's current version. n_window_left: tasks of its window that nobody has annotated or deleted."""

    key: str
    number: int
    created_at: float
    n_window_left: int


class Versions(Part):
    """The published versions of all projects."""

    def __init__(self, engine: sa.Engine, installation: str) -> None:
        """installation: under whose name versions are published."""
        super().__init__(engine)
        self.installation = installation

    def publish(self, key: str, new: NewVersion, *, is_switched: bool, turn: int | None = None) -> Version:
        """Make a version the project's current one; older versions go. One transaction.

        turn: the `n_turns` that `begin_turn` gave. Raises TurnOvertaken, and writes nothing, if another turn has
        begun since: a process that lost its turn without noticing must not replace what the next one published.
        """
        table = schema.versions
        is_still_mine = sa.true() if turn is None else schema.projects.c.n_turns == turn
        values = {
            "project_key": key,
            "number": new.number,
            "created_at": new.created_at,
            "revision": new.revision,
            "ranked_by": new.ranked_by,
            "questions": json.dumps({name: one.fingerprint for name, one in new.questions.items()}),
            "labels": json.dumps({name: one.labels for name, one in new.questions.items()}),
            "trained_on": json.dumps({name: dict(one.trained_on) for name, one in new.questions.items()}),
            "label_counts": json.dumps(new.label_counts),
            "n_labels": new.n_labelled,
            "features_id": new.features_id,
            "artifact": new.artifact,
            "late_audits": json.dumps(sorted(new.late_audits)),
            "installation": self.installation,
        }
        with self._write_large() as connection:
            version_id = connection.execute(sa.insert(table).returning(table.c.id), values).scalar_one()
            add_to_window(connection, self._insert, version_id, NewTasks(new.window, new.audits, new.top_k, new.pushed))
            is_all_pushed = new.pushed is None or all(task_id in new.pushed for task_id, _ in new.window)
            columns = (table.c.number, table.c.installation)
            older = sa.select(*columns).where(table.c.project_key == key, table.c.id != version_id)
            names = [version_name(row.number, row.installation) for row in connection.execute(older)]
            add_stale(connection, key, names)
            published = connection.execute(
                sa.update(schema.projects)
                .where(schema.projects.c.key == key, is_still_mine)
                .values(version_id=version_id, is_switched=is_switched, is_window_pushed=is_all_pushed)
            )
            if turn is not None and published.rowcount == 0:
                raise TurnOvertaken(f"turn {turn} of project {key} was overtaken by another one: nothing is published")
            connection.execute(sa.delete(table).where(table.c.project_key == key, table.c.id != version_id))
            stale = schema.features.c
            connection.execute(
                sa.delete(schema.features).where(stale.project_key == key, stale.id != (new.features_id or -1))
            )
        return self.get(version_id)

    def find(self, version_id: int | None) -> Version | None:
        """A version without its model; None if a newer one has replaced it."""
        table = schema.versions.c
        query = sa.select(
            table.id,
            table.number,
            table.created_at,
            table.revision,
            table.ranked_by,
            table.labels,
            table.trained_on.label("trained_on"),
            table.features_id,
            table.artifact.is_not(None).label("has_model"),
            table.installation,
            table.questions.label("questions"),
        ).where(table.id == version_id)
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        fields = row._asdict()
        labels, trained_on = json.loads(fields.pop("labels")), json.loads(fields.pop("trained_on"))
        fields["questions"] = {
            name: VersionQuestion(
                fingerprint, tuple(labels[name]), {int(task_id): answer for task_id, answer in trained_on[name].items()}
            )
            for name, fingerprint in json.loads(row.questions).items()
        }
        return Version(**fields)

    def get(self, version_id: int) -> Version:
        """A version without its model. Raises UnknownProject if a newer one has replaced it."""
        version = self.find(version_id)
        if version is None:
            raise UnknownProject(f"version {version_id} was replaced by a newer one")
        return version

    def current(self, key: str | None = None) -> dict[str, VersionHead]:
        """The current version of each project that has one, by the project's key; optionally of one project only."""
        table = schema.versions.c
        names = ("id", "number", "created_at", "ranked_by", "label_counts", "installation", "n_labels")
        query = sa.select(
            table.project_key, *(table[name] for name in names), table.artifact.is_not(None).label("has_model")
        ).join(schema.projects, schema.projects.c.version_id == table.id)
        if key is not None:
            query = query.where(schema.projects.c.key == key)
        with self._read() as connection:
            rows = connection.execute(query).all()
        return {
            row.project_key: VersionHead(
                row.id,
                row.number,
                row.created_at,
                row.ranked_by,
                json.loads(row.label_counts),
                row.has_model,
                row.installation,
                row.n_labels,
            )
            for row in rows
        }

    def current_name(self, key: str) -> tuple[int, str] | None:
        """Id and name of the project's current version; None before the first."""
        projects, versions = schema.projects.c, schema.versions.c
        query = (
            sa.select(versions.id, versions.number, versions.installation)
            .join_from(schema.projects, schema.versions, projects.version_id == versions.id)
            .where(projects.key == key)
        )
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.id, version_name(row.number, row.installation))

    def artifact(self, version_id: int) -> tuple[bytes | None, int | None] | None:
        """A version's signed model and the id of its features; None if a newer version has replaced it."""
        table = schema.versions.c
        query = sa.select(table.artifact, table.features_id).where(table.id == version_id)
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.artifact, row.features_id)

    def birth(self, version_id: int) -> tuple[int, float] | None:
        """A version's number and when it was made, for which its model is signed; None if it was replaced."""
        table = schema.versions.c
        with self._read() as connection:
            row = connection.execute(
                sa.select(table.number, table.created_at).where(table.id == version_id)
            ).one_or_none()
        return None if row is None else (row.number, row.created_at)

    def late_audits(self, version_id: int) -> set[int]:
        """Tasks drawn at random under the version before, which are in this version's window no more."""
        table = schema.versions.c
        with self._read() as connection:
            found = connection.execute(sa.select(table.late_audits).where(table.id == version_id)).scalar_one_or_none()
        return set(json.loads(found or "[]"))

    def published(self) -> list[Published]:
        """The current versions of all projects, in the order of the projects' keys."""
        projects, versions, window = schema.projects.c, schema.versions.c, schema.window.c
        task, annotation = schema.tasks.c, schema.annotations.c
        outside = (schema.projects, schema.window)
        is_there = (
            sa.exists()
            .where(task.project_key == projects.key, task.id == window.task_id, ~task.is_deleted)
            .correlate(*outside)
        )
        is_annotated = (
            sa.exists()
            .where(annotation.project_key == projects.key, annotation.task_id == window.task_id, ~annotation.is_deleted)
            .correlate(*outside)
        )
        n_left = (
            sa.select(sa.func.count())
            .where(window.version_id == versions.id, is_there, ~is_annotated)
            .correlate(schema.projects, schema.versions)
            .scalar_subquery()
        )
        query = (
            sa.select(projects.key, versions.number, versions.created_at, n_left.label("n_window_left"))
            .join_from(schema.projects, schema.versions, projects.version_id == versions.id)
            .order_by(projects.key)
        )
        with self._read() as connection:
            return [Published(**row._asdict()) for row in connection.execute(query)]
