"""Our fast copy of Label Studio's projects, on SQLite or PostgreSQL.

Label Studio holds the truth; everything here can be rebuilt from it. Every change of a project's rows raises the
project's revision by one, in the same transaction.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from label_studio_al.labeling import Annotation, Event, Task, version_name
from label_studio_al.runtime.database import PATIENT_SECONDS, open_engine
from label_studio_al.runtime.errors import TurnOvertaken, UnknownProject
from label_studio_al.runtime.redaction import hide
from label_studio_al.runtime.waking import tell_at_commit
from label_studio_al.store import schema
from label_studio_al.store.automation import Automation
from label_studio_al.store.claims import additions
from label_studio_al.store.locks import open_locks
from label_studio_al.store.migrations import is_current, migrate
from label_studio_al.store.upserts import chunks, upserts

KEPT_TURNS = 200
# Whoever gave one of so many of the newest annotations is taken to label now.
PEOPLE_AMONG = 200
# The most probable labels of each task.
Guesses = Mapping[int, Sequence[tuple[str, float]]]


@dataclass(frozen=True)
class Standing:
    """Of a project's row, what tells whether it needs a turn. Times are seconds since 1970."""

    key: str
    revision: int
    seen_revision: int
    n_turns: int
    heard_at: float
    synced_at: float | None
    sync_wanted: bool
    version_id: int | None
    is_switched: bool
    is_window_pushed: bool
    stale_versions: tuple[str, ...]
    error: str | None
    n_unfinished: int
    retry_at: float | None
    parked_revision: int | None
    is_paused: bool

    @property
    def is_parked(self) -> bool:
        """Whether turns failed so often that only news start another one."""
        return self.parked_revision is not None and self.revision <= self.parked_revision


@dataclass(frozen=True)
class Project(Standing):
    """A project's row. `version_id` is the published version."""

    title: str | None
    label_config: str
    extra_params: dict[str, Any]
    changed_through: str | None
    compared_at: float | None
    comparing_since: int | None
    compared_through: int
    purged_revision: int
    n_tasks: int
    n_annotations: int
    label_counts: dict[str, int]
    n_fresh: int
    n_due: int
    unread: list[dict[str, Any]]
    progress: dict[str, Any] | None
    config_wanted: bool
    wanted_revision: int
    last_number: int
    is_arranged: bool
    activity: str
    unreachable_since: float | None
    n_failures: int
    wanted_params: dict[str, Any] | None

    @property
    def is_confirmed(self) -> bool:
        """Whether Label Studio was asked for it and has it."""
        return self.synced_at is not None or self.title is not None


@dataclass(frozen=True)
class Change:
    """A task as it became with a revision of its project; data: None if it was deleted."""

    task_id: int
    data: dict[str, Any] | None
    revision: int


@dataclass(frozen=True)
class Version:
    """A published version without its model: `learnt` maps task ids to the labels it was trained on.

    `revision`: the project's revision that it has seen.
    """

    id: int
    number: int
    created_at: float
    revision: int
    ranked_by: str
    labels: tuple[str, ...]
    learnt: dict[int, str]
    features_id: int | None
    has_model: bool
    installation: str = ""

    @property
    def name(self) -> str:
        """The model version that Label Studio shows."""
        return version_name(self.number, self.installation)


@dataclass(frozen=True)
class VersionHead:
    """What a status page shows of a version: reading all that it has learnt takes longer. label_counts: by label."""

    id: int
    number: int
    created_at: float
    ranked_by: str
    labels: tuple[str, ...]
    label_counts: dict[str, int]
    has_model: bool
    installation: str = ""

    @property
    def name(self) -> str:
        """The model version that Label Studio shows."""
        return version_name(self.number, self.installation)

    @property
    def n_labels(self) -> int:
        """How many labelled tasks it has learnt."""
        return sum(self.label_counts.values())


@dataclass(frozen=True)
class WindowTask:
    """A task that is to be asked. guesses: what the version held most probable; () without a model."""

    task_id: int
    informativeness: float
    is_audit: bool
    guesses: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class NewVersion:
    """What a turn publishes. `window` holds (task id, informativeness), most informative first.

    pushed: those of the window whose predictions Label Studio has; None for all. guesses: of the window's tasks,
    what the version holds most probable: (label, probability), the best first. audits: those of the window that
    were drawn at random. late_audits: those of the version before that are not in the window and may still come: a
    task that was served before the switch is labelled after it.
    """

    number: int
    created_at: float
    revision: int
    ranked_by: str
    labels: tuple[str, ...]
    learnt: dict[int, str]
    features_id: int | None
    artifact: bytes | None
    window: Sequence[tuple[int, float]]
    audits: frozenset[int] = frozenset()
    late_audits: frozenset[int] = frozenset()
    guesses: Guesses = field(default_factory=dict)
    pushed: frozenset[int] | None = None


@dataclass(frozen=True)
class Prediction:
    """What a version that had learnt `n_labels` labels predicted for a task that it had not learnt."""

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


@dataclass(frozen=True)
class Turn:
    """What a turn did. `steps` maps each step to its seconds."""

    started_at: float
    seconds: float
    outcome: str
    version: int | None = None
    n_labels: int | None = None
    steps: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """A project's current version. n_window_left: tasks of its window that nobody has annotated or deleted."""

    key: str
    number: int
    created_at: float
    n_window_left: int


class Store:
    """The state of every project. Safe to use from several threads and processes."""

    def __init__(self, url: str, *, patience_seconds: float = PATIENT_SECONDS, installation: str = "") -> None:
        """patience_seconds: how long a write waits for others' writes. installation: under whose name it publishes."""
        self.installation = installation
        self._engine = open_engine(url, patience_seconds=patience_seconds)
        self._insert: Callable[..., Any] = (
            postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        )
        self._upserts = upserts(self._engine.dialect.name)
        self._locks = open_locks(url)

    @property
    def automation(self) -> Automation:
        """What was labelled automatically."""
        return Automation(self._engine)

    def migrate(self) -> None:
        """Bring the tables to this release, from nothing or an older one. Raises SchemaTooNew.

        Processes that start at once may do so together.
        """
        migrate(self._engine)

    def is_current(self) -> bool:
        """Whether the tables are those of this release; False if they are older or not there. Raises SchemaTooNew."""
        with self._read() as connection:
            return is_current(connection)

    def check_writable(self) -> None:
        """Raises what the database does if it takes no writes. Changes nothing."""
        with self._write() as connection:
            connection.execute(sa.update(schema.projects).where(sa.false()).values(n_turns=0))

    def close(self) -> None:
        """Give the connections back."""
        self._locks.close()
        self._engine.dispose()

    # -- one turn at once -------------------------------------------------------------------------------------

    def turn_lock(self, key: str, wait_seconds: float = 0.0) -> AbstractContextManager[bool]:
        """Take the project's turn, over all processes and hosts; False if somebody else still has it after waiting.

        It is given back at the end of the block, or when the process dies, however it dies.
        """
        return self._locks.hold(f"turn {key}", wait_seconds)

    def autolabel_lock(self, key: str) -> AbstractContextManager[bool]:
        """The right to set or remove a project's automatic labels, as `turn_lock`."""
        return self._locks.hold(f"autolabel {key}", 0.0)

    def want_syncs(self) -> None:
        """Make the next turn of every project ask Label Studio what has changed: something may have been missed."""
        with self._write() as connection:
            connection.execute(sa.update(schema.projects).values(sync_wanted=True))

    def unpark(self) -> None:
        """Give every project that waits for a retry, or for news, another turn: somebody may have mended something."""
        with self._write() as connection:
            connection.execute(sa.update(schema.projects).values(retry_at=None, parked_revision=None))

    # -- projects ---------------------------------------------------------------------------------------------

    def register(self, key: str, label_config: str, extra_params: dict[str, Any] | None, now: float) -> Project:
        """Make the project known, or bring its config and settings up to date; None keeps the stored settings."""
        known = self.find(key)
        params = json.dumps(extra_params or {}, sort_keys=True)
        if known is None:
            with self._write() as connection:
                row = {"key": key, "label_config": label_config, "extra_params": params, "heard_at": now}
                connection.execute(self._insert(schema.projects).values(row).on_conflict_do_nothing())
                tell_at_commit(connection)
            return self.project(key)
        changes: dict[str, Any] = {}
        if label_config != known.label_config:
            changes |= {"label_config": label_config, "config_wanted": True}
        # What was chosen here is not in Label Studio yet: until it is, it tells the settings from before.
        is_outdated = known.wanted_params is not None
        if extra_params is not None and extra_params != known.extra_params and not is_outdated:
            changes |= {"extra_params": params, "wanted_revision": _NEXT_REVISION}
        if not changes:
            return known
        with self._write() as connection:
            self._raise_revision(connection, key, heard_at=now, retry_at=None, **changes)
        return self.project(key)

    def find(self, key: str) -> Project | None:
        """The project; None if it was never set up here."""
        with self._read() as connection:
            row = connection.execute(_FIND, {"key": key}).one_or_none()
        return None if row is None else _project(row)

    def project(self, key: str) -> Project:
        """The project. Raises UnknownProject."""
        project = self.find(key)
        if project is None:
            raise UnknownProject(f"project {key} was never set up here: connect it first")
        return project

    def projects(self) -> list[Project]:
        """All projects, in the order of their keys."""
        with self._read() as connection:
            rows = connection.execute(sa.select(*_PROJECT_COLUMNS).order_by(schema.projects.c.key)).all()
        return [_project(row) for row in rows]

    def standings(self) -> list[Standing]:
        """Of all projects, in the order of their keys, what tells whether they need a turn: read every second."""
        with self._read() as connection:
            rows = connection.execute(_STANDINGS).all()
        return [_standing(tuple(row)) for row in rows]

    def update(self, key: str, **columns: Any) -> None:
        """Set columns of the project's row that are not news (activity, error, flags)."""
        if columns.get("error") is not None:
            columns["error"] = hide(columns["error"])
        with self._write() as connection:
            connection.execute(sa.update(schema.projects).where(schema.projects.c.key == key).values(**columns))

    def want_training(self, key: str, now: float) -> None:
        """Make the next turn publish a new version whatever the growth."""
        with self._write() as connection:
            self._raise_revision(connection, key, heard_at=now, wanted_revision=_NEXT_REVISION, retry_at=None)

    def pause(self, key: str, now: float) -> None:
        """Have no turns taken until somebody resumes."""
        with self._write() as connection:
            self._raise_revision(connection, key, heard_at=now, is_paused=True)

    def resume(self, key: str, now: float) -> None:
        """Have turns taken again, the next one at once."""
        with self._write() as connection:
            self._raise_revision(connection, key, heard_at=now, is_paused=False, retry_at=None)

    def choose_settings(self, key: str, extra_params: dict[str, Any], now: float) -> None:
        """Use other settings from the next turn on, which writes them into Label Studio, too."""
        params = json.dumps(extra_params, sort_keys=True)
        wanted = {"extra_params": params, "wanted_params": params, "wanted_revision": _NEXT_REVISION}
        with self._write() as connection:
            self._raise_revision(connection, key, heard_at=now, retry_at=None, **wanted)

    def settle_settings(self, key: str, extra_params: dict[str, Any]) -> None:
        """Note that Label Studio has these settings, unless others were chosen meanwhile."""
        table = schema.projects.c
        written = (table.key == key) & (table.wanted_params == json.dumps(extra_params, sort_keys=True))
        with self._write() as connection:
            connection.execute(sa.update(schema.projects).where(written).values(wanted_params=None))

    def show_progress(self, key: str, what: str, done: int, total: int, **columns: Any) -> None:
        """Say how far a long step has come, beside other columns as of `update`."""
        progress = {"what": what, "done": done, "total": max(done, total)}
        self.update(key, progress=json.dumps(progress), **columns)

    def begin_turn(self, key: str) -> Project:
        """Count the turn and give the project as it stands; what is heard from now on asks for the next turn.

        Until somebody writes n_unfinished again, the turn counts as unfinished.
        """
        columns = schema.projects.c
        counts = {"n_turns": columns.n_turns + 1, "n_unfinished": columns.n_unfinished + 1}
        with self._write() as connection:
            statement = sa.update(schema.projects).where(columns.key == key).values(**counts)
            row = connection.execute(statement.returning(*_PROJECT_COLUMNS)).one_or_none()
        if row is None:
            raise UnknownProject(f"project {key} was never set up here: connect it first")
        return _project(row)

    def skip_turn(self, key: str) -> Project:
        """Count a turn that nobody takes, so that its number is not asked for again."""
        columns = schema.projects.c
        with self._write() as connection:
            statement = sa.update(schema.projects).where(columns.key == key).values(n_turns=columns.n_turns + 1)
            connection.execute(statement)
        return self.project(key)

    def keys(self, project_id: int | None = None) -> list[str]:
        """The keys of all projects, or of those with this number in Label Studio."""
        table = schema.projects.c
        query = sa.select(table.key).order_by(table.key)
        if project_id is not None:
            query = query.where(table.key.startswith(f"{project_id}.", autoescape=True))
        with self._read() as connection:
            return list(connection.execute(query).scalars())

    def forget(self, key: str) -> None:
        """Delete all that is known of the project."""
        with self._write() as connection:
            connection.execute(sa.delete(schema.projects).where(schema.projects.c.key == key))

    def shred(self) -> None:
        """Make sure that nothing deleted is left in the database's files (PostgreSQL: in its tables)."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM")
            if self._engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    # -- hearing ----------------------------------------------------------------------------------------------

    def hear(self, event: Event, now: float, *, adds_only: bool = False) -> Project | None:
        """Write an event's rows. Returns the project, or None if it was never set up here (nothing is written).

        adds_only: delete and change nothing that is there. What the event says of that is kept in `claims`.
        """
        known = self.find(event.project_key)
        if known is None or (event.is_bare and event.label_config in (None, known.label_config)):
            # Our own switches come back as PROJECT_UPDATED: only another label config is news.
            return known
        with self._write() as connection:
            changes: dict[str, Any] = {"heard_at": now}
            if event.label_config and event.label_config != known.label_config:
                changes |= {"label_config": event.label_config, "config_wanted": True}
            if event.asks_training:
                changes |= {"wanted_revision": _NEXT_REVISION, "retry_at": None}
            if event.needs_sync:
                changes["sync_wanted"] = True
            project = self._raise_revision(connection, event.project_key, **changes)
            if project is None:
                return None
            revision = project.revision
            if adds_only:
                event, claimed = additions(connection, event)
                self._keep_claims(connection, event.project_key, claimed, revision)
            self._keep_tasks(connection, event.project_key, event.tasks, revision)
            self._keep_annotations(connection, event.project_key, event.annotations, revision)
            self._mark_deleted(connection, event.project_key, event.deleted_tasks, revision)
            self._mark_annotations_deleted(connection, event.project_key, event.deleted_annotations, revision)
        return project

    def claims(self, key: str) -> list[int]:
        """Tasks of which events said more than Label Studio has been asked about, ascending."""
        table = schema.claims.c
        query = sa.select(table.task_id).where(table.project_key == key).order_by(table.task_id)
        with self._read() as connection:
            return list(connection.execute(query).scalars())

    def settle_claims(self, key: str, since: int) -> None:
        """Forget what was claimed up to revision `since`: Label Studio was asked after that."""
        with self._write() as connection:
            self._settle_claims(connection, key, since)

    # -- syncing ----------------------------------------------------------------------------------------------

    def sync_config(self, key: str, label_config: str, title: str) -> None:
        """Keep the label config and the title that Label Studio's API gave, which no event outdates."""
        table = schema.projects.c
        with self._write() as connection:
            mine = sa.update(schema.projects).where(table.key == key)
            connection.execute(mine.where(table.title.is_distinct_from(title)).values(title=title))
            connection.execute(
                mine.where(table.label_config != label_config).values(
                    label_config=label_config, revision=table.revision + 1
                )
            )

    def sync_tasks(self, key: str, batch: Sequence[Task], since: int, gone: Collection[int] = ()) -> None:
        """Keep tasks that Label Studio listed, and mark those deleted that it has no more.

        Neither where something newer than revision `since` was heard of them.
        """
        with self._comparing(key) as (connection, revision, changes):
            changes.append(self._keep_tasks(connection, key, batch, revision, since))
            for known in _known(connection, schema.tasks, key, gone, since):
                self._mark_deleted(connection, key, known, revision)
                changes.append(len(known))

    def compare_tasks(self, key: str, batch: Sequence[Task], after: int, through: int | None, since: int) -> None:
        """As `sync_tasks`, where the batch is all that Label Studio has of the ids above `after` up to `through`.

        What we know beyond that was deleted there. through: None for all ids above `after`.
        """
        table = schema.tasks.c
        ours = (table.project_key == key) & ~table.is_deleted & (table.revision <= since) & (table.id > after)
        if through is not None:
            ours &= table.id <= through
        listed = {task.id for task in batch}
        with self._comparing(key) as (connection, revision, changes):
            known = connection.execute(sa.select(table.id).where(ours)).scalars()
            gone = [id for id in known if id not in listed]
            self._mark_deleted(connection, key, gone, revision)
            changes += [len(gone), self._keep_tasks(connection, key, batch, revision, since)]

    def compare_annotations(self, key: str, listed: Sequence[Annotation], gone: Collection[int], since: int) -> None:
        """Keep annotations that Label Studio listed, and mark those deleted of which it said that they are gone.

        Rows that changed after revision `since` are left alone: they are newer than what it said.
        """
        with self._comparing(key) as (connection, revision, changes):
            changes.append(self._keep_annotations(connection, key, listed, revision, since))
            for known in _known(connection, schema.annotations, key, gone, since):
                self._mark_annotations_deleted(connection, key, known, revision)
                changes.append(len(known))

    def finish_comparison(self, key: str, since: int, now: float) -> None:
        """Note that everything was compared. Marks and claims from before revision `since` are needed no more."""
        with self._write() as connection:
            columns = {"compared_at": now, "comparing_since": None, "compared_through": 0, "purged_revision": since}
            self._raise_revision(connection, key, **columns)
            self._settle_claims(connection, key, since)
            for table in (schema.tasks, schema.annotations):
                old_marks = (table.c.project_key == key) & table.c.is_deleted & (table.c.revision <= since)
                connection.execute(sa.delete(table).where(old_marks))

    def call_turn(self, key: str) -> None:
        """Make the project have news, so that a turn looks at it."""
        with self._write() as connection:
            self._raise_revision(connection, key)

    # -- reading ----------------------------------------------------------------------------------------------

    def task_ids(self, key: str) -> list[int]:
        """The ids of all tasks, ascending."""
        table = schema.tasks.c
        query = sa.select(table.id).where(table.project_key == key, ~table.is_deleted).order_by(table.id)
        with self._read() as connection:
            return list(connection.execute(query).scalars())

    def changes(self, key: str, after: tuple[int, int], limit: int) -> list[Change]:
        """What changed of the tasks after a (revision, task id), in that order; at most `limit` changes."""
        table = schema.tasks.c
        query = (
            sa.select(table.id, table.data, table.revision, table.is_deleted)
            .where(table.project_key == key, table.revision >= after[0])
            .where((table.revision > after[0]) | (table.id > after[1]))
            .order_by(table.revision, table.id)
            .limit(limit)
        )
        with self._read() as connection:
            return [
                Change(row.id, None if row.is_deleted else json.loads(row.data), row.revision)
                for row in connection.execute(query)
            ]

    def tasks(self, key: str, task_ids: Sequence[int]) -> list[Task]:
        """Some tasks, as far as they are known."""
        table = schema.tasks.c
        query = sa.select(table.id, table.data).where(table.project_key == key, ~table.is_deleted)
        with self._read() as connection:
            return [
                Task(row.id, json.loads(row.data))
                for some in chunks(task_ids)
                for row in connection.execute(query.where(table.id.in_(some)))
            ]

    def annotations(self, key: str, task_ids: Sequence[int] | None = None) -> list[Annotation]:
        """All annotations by people, skipped ones too, by ascending number. task_ids: of these tasks only, in parts."""
        table = schema.annotations.c
        known = (table.project_key == key) & ~table.is_deleted & ~table.is_automatic
        query = sa.select(*_ANNOTATION_COLUMNS).where(known).order_by(table.id)
        parsed: dict[str, list[Any]] = {}
        with self._read() as connection:
            return [
                Annotation(id, task_id, _parse(result, parsed), cancelled, updated_at)
                for some in ([None] if task_ids is None else chunks(task_ids))
                for id, task_id, result, cancelled, updated_at in connection.execute(
                    query if some is None else query.where(table.task_id.in_(some))
                )
            ]

    def annotation_changes(self, key: str, after: int) -> tuple[list[tuple[int, int | None]], int, int]:
        """Which annotations by people changed after a revision, each with its task, None where it is none any more.

        Then the project's revision, and the one up to which deletions are forgotten: who has seen less must read all.
        """
        table = schema.annotations.c
        query = sa.select(table.id, table.task_id, table.is_deleted | table.is_automatic).where(
            table.project_key == key, table.revision > after
        )
        with self._read() as connection:
            # The revision first and what is forgotten last, for databases on which others write in between: what is
            # read twice, or read anew, does no harm.
            before = connection.execute(_REVISIONS, {"key": key}).one_or_none()
            found = [(id, None if is_gone else task_id) for id, task_id, is_gone in connection.execute(query)]
            after_all = connection.execute(_REVISIONS, {"key": key}).one_or_none()
        if before is None or after_all is None:
            raise UnknownProject(f"project {key} is not known here")
        return found, before.revision, after_all.purged_revision

    def annotation_ids(self, key: str, since: int, task_ids: Sequence[int] | None = None) -> dict[int, list[int]]:
        """The annotations, skipped and automatic ones too, that have not changed after revision `since`; by task.

        task_ids: of these tasks only.
        """
        table = schema.annotations.c
        query = sa.select(table.task_id, table.id).where(
            table.project_key == key, ~table.is_deleted, table.revision <= since
        )
        found: dict[int, list[int]] = {}
        with self._read() as connection:
            for some in [None] if task_ids is None else chunks(task_ids):
                part = query if some is None else query.where(table.task_id.in_(some))
                for task_id, annotation_id in connection.execute(part):
                    found.setdefault(task_id, []).append(annotation_id)
        return found

    def newest_annotations(self, key: str) -> list[Annotation]:
        """The annotation with the highest number, and the one that was changed last; one if it is the same."""
        table = schema.annotations.c
        query = sa.select(*_ANNOTATION_COLUMNS).where(table.project_key == key, ~table.is_deleted).limit(1)
        orders = (table.id.desc(), table.updated_at.desc())
        with self._read() as connection:
            rows = [row for order in orders for row in connection.execute(query.order_by(order))]
        return [
            Annotation(row.id, row.task_id, json.loads(row.result), row.was_cancelled, row.updated_at)
            for row in dict.fromkeys(rows)
        ]

    def counts(self, key: str) -> dict[str, int]:
        """How many tasks and annotations are known. Counts them: 0.1 s for a million."""
        result = {}
        with self._read() as connection:
            for name, table in (("tasks", schema.tasks), ("annotations", schema.annotations)):
                query = sa.select(sa.func.count()).where(table.c.project_key == key, ~table.c.is_deleted)
                result[name] = int(connection.execute(query).scalar_one())
        return result

    # -- versions ---------------------------------------------------------------------------------------------

    def reserve_number(self, key: str) -> int:
        """The next version's number; one that was given is never given again."""
        columns = schema.projects.c
        with self._write() as connection:
            statement = sa.update(schema.projects).where(columns.key == key).values(last_number=columns.last_number + 1)
            number = connection.execute(statement.returning(columns.last_number)).scalar_one_or_none()
        if number is None:
            raise UnknownProject(f"project {key} was never set up here: connect it first")
        return int(number)

    def skip_numbers(self, key: str, last: int) -> None:
        """Give no version a number up to `last`."""
        columns = schema.projects.c
        with self._write() as connection:
            behind = (columns.key == key) & (columns.last_number < last)
            connection.execute(sa.update(schema.projects).where(behind).values(last_number=last))

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
            "labels": json.dumps(new.labels),
            "learnt": json.dumps(new.learnt),
            "label_counts": json.dumps(Counter(new.learnt.values())),
            "features_id": new.features_id,
            "artifact": new.artifact,
            "late_audits": json.dumps(sorted(new.late_audits)),
            "installation": self.installation,
        }
        with self._write_large() as connection:
            version_id = connection.execute(sa.insert(table).returning(table.c.id), values).scalar_one()
            self._add_to_window(connection, version_id, new.window, new.audits, new.guesses, new.pushed)
            is_all_pushed = new.pushed is None or all(task_id in new.pushed for task_id, _ in new.window)
            columns = (table.c.number, table.c.installation)
            older = sa.select(*columns).where(table.c.project_key == key, table.c.id != version_id)
            names = [version_name(row.number, row.installation) for row in connection.execute(older)]
            self._add_stale(connection, key, names)
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
        return self.version(version_id)

    def add_stale(self, key: str, names: Sequence[str]) -> None:
        """Note versions whose predictions are to be deleted in Label Studio."""
        with self._write() as connection:
            self._add_stale(connection, key, names)

    def drop_stale(self, key: str, name: str) -> None:
        """Note that a version's predictions are deleted."""
        with self._write() as connection:
            self._set_stale(connection, key, lambda names: [one for one in names if one != name])

    def find_version(self, version_id: int | None) -> Version | None:
        """A version without its model; None if a newer one has replaced it."""
        table = schema.versions.c
        query = sa.select(
            table.id,
            table.number,
            table.created_at,
            table.revision,
            table.ranked_by,
            table.labels,
            table.learnt,
            table.features_id,
            table.artifact.is_not(None).label("has_model"),
            table.installation,
        ).where(table.id == version_id)
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        learnt = {int(task_id): label for task_id, label in json.loads(row.learnt).items()}
        fields = row._asdict() | {"labels": tuple(json.loads(row.labels)), "learnt": learnt}
        return Version(**fields)

    def version(self, version_id: int) -> Version:
        """A version without its model. Raises UnknownProject if a newer one has replaced it."""
        version = self.find_version(version_id)
        if version is None:
            raise UnknownProject(f"version {version_id} was replaced by a newer one")
        return version

    def current_versions(self, key: str | None = None) -> dict[str, VersionHead]:
        """The current version of each project that has one, by the project's key; optionally of one project only."""
        table = schema.versions.c
        names = ("id", "number", "created_at", "ranked_by", "labels", "label_counts", "installation")
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
                tuple(json.loads(row.labels)),
                json.loads(row.label_counts),
                row.has_model,
                row.installation,
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

    def version_artifact(self, version_id: int) -> tuple[bytes | None, int | None] | None:
        """A version's signed model and the id of its features; None if a newer version has replaced it."""
        table = schema.versions.c
        query = sa.select(table.artifact, table.features_id).where(table.id == version_id)
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.artifact, row.features_id)

    def version_birth(self, version_id: int) -> tuple[int, float] | None:
        """A version's number and when it was made, for which its model is signed; None if it was replaced."""
        table = schema.versions.c
        with self._read() as connection:
            row = connection.execute(
                sa.select(table.number, table.created_at).where(table.id == version_id)
            ).one_or_none()
        return None if row is None else (row.number, row.created_at)

    def window(self, version_id: int, among: Sequence[int] | None = None) -> dict[int, float]:
        """Informativeness of the tasks of a version's window, most informative first; optionally of some only."""
        table = schema.window.c
        query = sa.select(table.task_id, table.informativeness).where(table.version_id == version_id)
        found: dict[int, float] = {}
        with self._read() as connection:
            for some in [None] if among is None else chunks(among):
                part = query if some is None else query.where(table.task_id.in_(some))
                found.update({row.task_id: row.informativeness for row in connection.execute(part)})
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def add_to_window(
        self,
        version_id: int,
        window: Sequence[tuple[int, float]],
        audits: frozenset[int] = frozenset(),
        guesses: Guesses | None = None,
        pushed: frozenset[int] | None = None,
    ) -> None:
        """Record tasks that the same version asks beside those it has. pushed: as of NewVersion."""
        with self._write() as connection:
            self._add_to_window(connection, version_id, window, audits, guesses or {}, pushed)

    def pushed(self, version_id: int) -> set[int]:
        """The tasks of a version's window whose predictions Label Studio has."""
        table = schema.window.c
        query = sa.select(table.task_id).where(table.version_id == version_id, table.is_pushed)
        with self._read() as connection:
            return set(connection.execute(query).scalars())

    def mark_pushed(self, version_id: int, task_ids: Sequence[int]) -> None:
        """Note that Label Studio has the predictions of these tasks of a version's window."""
        table = schema.window
        with self._write() as connection:
            for some in chunks(task_ids):
                theirs = (table.c.version_id == version_id) & table.c.task_id.in_(some)
                connection.execute(sa.update(table).where(theirs).values(is_pushed=True))

    def unpushed_tasks(self, key: str, version_id: int) -> list[WindowTask]:
        """The tasks that are still to be pushed, most informative first: without those that were asked meanwhile."""
        return self._window_tasks(_is_left(key, version_id) & ~schema.window.c.is_pushed)

    def n_people(self, key: str) -> int:
        """How many people have given the newest 200 annotations."""
        table = schema.annotations.c
        newest = (
            sa.select(table.completed_by)
            .where(table.project_key == key, ~table.is_deleted, ~table.is_automatic)
            .order_by(table.id.desc())
            .limit(PEOPLE_AMONG)
            .subquery()
        )
        with self._read() as connection:
            return int(connection.execute(sa.select(sa.func.count(newest.c.completed_by.distinct()))).scalar_one())

    def next_tasks(self, key: str, version_id: int, n: int | None = None) -> list[WindowTask]:
        """The (first n) tasks of a version's window that are asked next, in that order; nobody has answered these."""
        return self._window_tasks(_is_left(key, version_id), n)

    def _window_tasks(self, among: Any, n: int | None = None) -> list[WindowTask]:
        table = schema.window.c
        query = (
            sa.select(table.task_id, table.informativeness, table.is_audit, table.guesses)
            .where(among)
            .order_by(table.informativeness.desc(), table.task_id)
            .limit(n)
        )
        with self._read() as connection:
            rows = connection.execute(query).all()
        return [
            WindowTask(task_id, informativeness, is_audit, tuple(map(tuple, json.loads(guesses or "[]"))))
            for task_id, informativeness, is_audit, guesses in rows
        ]

    def window_sizes(self, key: str, version_id: int) -> tuple[int, int]:
        """How many tasks a version's window has, and how many of them are left to be asked."""
        count = sa.select(sa.func.count()).select_from(schema.window)
        with self._read() as connection:
            n_all = connection.execute(count.where(schema.window.c.version_id == version_id)).scalar_one()
            return int(n_all), int(connection.execute(count.where(_is_left(key, version_id))).scalar_one())

    def audits(self, version_id: int) -> set[int]:
        """The tasks of a version's window that were drawn at random."""
        table = schema.window.c
        query = sa.select(table.task_id).where(table.version_id == version_id, table.is_audit)
        with self._read() as connection:
            return set(connection.execute(query).scalars())

    def late_audits(self, version_id: int) -> set[int]:
        """Tasks drawn at random under the version before, which are in this version's window no more."""
        table = schema.versions.c
        with self._read() as connection:
            found = connection.execute(sa.select(table.late_audits).where(table.id == version_id)).scalar_one_or_none()
        return set(json.loads(found or "[]"))

    # -- measuring --------------------------------------------------------------------------------------------

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

    def record_measurement(self, key: str, measurement: Measurement) -> None:
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

    def drop_measurements(self, key: str) -> None:
        """Forget how good versions were whose labels are gone."""
        with self._write() as connection:
            connection.execute(_measured_on_more(key, 0))

    def measurements(self, key: str) -> list[Measurement]:
        """All measurements, oldest first."""
        with self._read() as connection:
            rows = connection.execute(_MEASUREMENTS.where(schema.measurements.c.project_key == key)).all()
        return [_measurement(row) for row in rows]

    def newest_measurement(self, key: str) -> Measurement | None:
        """The newest measurement; None before the first."""
        table = schema.measurements.c
        query = _MEASUREMENTS.where(table.project_key == key).order_by(None).order_by(table.id.desc()).limit(1)
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _measurement(row)

    def newest_measurements(self) -> dict[str, Measurement]:
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

    # -- features ---------------------------------------------------------------------------------------------

    def save_features(self, key: str, field: str, artifact: bytes, now: float) -> int:
        """Keep signed features; returns their id. The published version's features stay until it is replaced."""
        values = {"project_key": key, "field": field, "created_at": now, "artifact": artifact}
        with self._write_large() as connection:
            statement = sa.insert(schema.features).returning(schema.features.c.id)
            return int(connection.execute(statement, values).scalar_one())

    def features_artifact(self, features_id: int) -> bytes | None:
        """Signed features; None if they were replaced."""
        table = schema.features.c
        with self._read() as connection:
            return connection.execute(sa.select(table.artifact).where(table.id == features_id)).scalar_one_or_none()

    def features_birth(self, features_id: int) -> float | None:
        """When features were made, for which they are signed; None if they were replaced."""
        table = schema.features.c
        with self._read() as connection:
            return connection.execute(sa.select(table.created_at).where(table.id == features_id)).scalar_one_or_none()

    def latest_features_id(self, key: str, field: str) -> int | None:
        """The id of the newest features made from a task field; None before the first."""
        table = schema.features.c
        query = sa.select(sa.func.max(table.id)).where(table.project_key == key, table.field == field)
        with self._read() as connection:
            found: int | None = connection.execute(query).scalar_one()
        return found

    def latest_features(self, key: str, field: str) -> tuple[int, bytes] | None:
        """The newest signed features made from a task field; None before the first."""
        table = schema.features.c
        query = (
            sa.select(table.id, table.artifact)
            .where(table.project_key == key, table.field == field)
            .order_by(table.id.desc())
            .limit(1)
        )
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.id, row.artifact)

    # -- turns ------------------------------------------------------------------------------------------------

    def record_turn(self, key: str, turn: Turn) -> None:
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

    def turns(self, key: str, n: int) -> list[Turn]:
        """The newest n turns, newest first."""
        table = schema.turns.c
        query = sa.select(schema.turns).where(table.project_key == key).order_by(table.id.desc()).limit(n)
        with self._read() as connection:
            rows = connection.execute(query).all()
        return [
            Turn(row.started_at, row.seconds, row.outcome, row.version, row.n_labels, json.loads(row.steps))
            for row in rows
        ]

    # -- counts -----------------------------------------------------------------------------------------------

    def add_counts(self, amounts: Mapping[tuple[str, str], float]) -> None:
        """Add to the sums of all processes, by name and labels (JSON). One transaction."""
        # In one order, or two processes that add at once could wait for each other's rows for ever.
        rows = [{"name": name, "labels": labels, "value": value} for (name, labels), value in sorted(amounts.items())]
        if rows:
            with self._write() as connection:
                connection.execute(self._upserts.added_count, rows)

    def all_counts(self) -> dict[tuple[str, str], float]:
        """The sums of all processes, by name and labels (JSON)."""
        table = schema.counts.c
        with self._read() as connection:
            found = connection.execute(sa.select(table.name, table.labels, table.value)).all()
        return {(row.name, row.labels): row.value for row in found}

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

    # -- inside -----------------------------------------------------------------------------------------------

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _write_large(self) -> Iterator[Connection]:
        """A transaction that writes megabytes at once.

        SQLite's driver keeps a statement's values with the connection until the statement is used again, PostgreSQL's
        the memory that it has sent them from (measured: 18 MB of a pool's features): so this connection is closed
        afterwards. SQLAlchemy keeps the values that a statement was first made with: so large ones are given beside
        the statement.
        """
        with self._write() as connection:
            connection.detach()
            yield connection

    def _raise_revision(self, connection: Connection, key: str, **columns: Any) -> Project | None:
        """The project with its next revision; None if it is unknown."""
        table = schema.projects
        statement = sa.update(table).where(table.c.key == key).values(revision=table.c.revision + 1, **columns)
        row = connection.execute(statement.returning(*_PROJECT_COLUMNS)).one_or_none()
        tell_at_commit(connection)
        return None if row is None else _project(row)

    @contextmanager
    def _comparing(self, key: str) -> Iterator[tuple[Connection, int, list[int]]]:
        """A transaction, the next revision, and a list that takes how many rows were changed.

        What changed nothing is no news, and leaves the revision as it is.
        """
        table, n_changed = schema.projects, list[int]()
        row = table.c.key == key
        with self._write() as connection:
            # A write first: nobody else gives this revision meanwhile.
            held = sa.update(table).where(row).values(revision=table.c.revision).returning(table.c.revision)
            revision = connection.execute(held).scalar_one_or_none()
            if revision is None:
                raise UnknownProject(f"project {key} was never set up here: connect it first")
            yield connection, revision + 1, n_changed
            if any(n_changed):
                self._raise_revision(connection, key)

    def _add_stale(self, connection: Connection, key: str, names: Sequence[str]) -> None:
        if names:
            self._set_stale(connection, key, lambda known: list(dict.fromkeys([*known, *names])))

    def _set_stale(self, connection: Connection, key: str, change: Callable[[list[str]], list[str]]) -> None:
        row = schema.projects.c.key == key
        # A write first, so that the read that follows is of our own transaction's state.
        connection.execute(
            sa.update(schema.projects).where(row).values(stale_versions=schema.projects.c.stale_versions)
        )
        known = connection.execute(sa.select(schema.projects.c.stale_versions).where(row)).scalar_one_or_none()
        if known is not None:
            names = json.dumps(change(json.loads(known)))
            connection.execute(sa.update(schema.projects).where(row).values(stale_versions=names))

    def _keep_tasks(
        self, connection: Connection, key: str, batch: Sequence[Task], revision: int, since: int | None = None
    ) -> int:
        """Returns how many rows were changed."""
        rows = [
            {
                "project_key": key,
                "id": task.id,
                "data": _json(task.data),
                "revision": revision,
                "is_deleted": False,
                "since": since,
            }
            for task in batch
        ]
        if not rows:
            return 0
        of = self._upserts
        return connection.execute(of.heard_task if since is None else of.listed_task, rows).rowcount

    def _keep_annotations(
        self,
        connection: Connection,
        key: str,
        annotations: Iterable[Annotation],
        revision: int,
        since: int | None = None,
    ) -> int:
        """Returns how many rows were changed."""
        rows = [
            {
                "project_key": key,
                "id": annotation.id,
                "task_id": annotation.task_id,
                "result": _json(annotation.result),
                "was_cancelled": annotation.was_cancelled,
                "updated_at": annotation.updated_at,
                "is_automatic": annotation.is_automatic,
                "completed_by": annotation.completed_by,
                "revision": revision,
                "is_deleted": False,
                "since": since,
            }
            for annotation in annotations
        ]
        if not rows:
            return 0
        of = self._upserts
        return connection.execute(of.heard_annotation if since is None else of.listed_annotation, rows).rowcount

    def _keep_claims(self, connection: Connection, key: str, task_ids: Collection[int], revision: int) -> None:
        rows = [{"project_key": key, "task_id": task_id, "revision": revision} for task_id in sorted(task_ids)]
        if rows:
            connection.execute(self._upserts.claim, rows)

    def _settle_claims(self, connection: Connection, key: str, since: int) -> None:
        table = schema.claims.c
        connection.execute(sa.delete(schema.claims).where(table.project_key == key, table.revision <= since))

    def _mark_deleted(self, connection: Connection, key: str, task_ids: Sequence[int], revision: int) -> None:
        if not task_ids:
            return
        rows = [
            {"project_key": key, "id": task_id, "data": "{}", "revision": revision, "is_deleted": True}
            for task_id in task_ids
        ]
        mark = {"data": "{}", "revision": revision, "is_deleted": True}
        statement = self._insert(schema.tasks).on_conflict_do_update(index_elements=["project_key", "id"], set_=mark)
        connection.execute(statement, rows)
        table = schema.annotations
        for some in chunks(task_ids):
            predicted = schema.outcomes.c
            connection.execute(
                sa.delete(schema.outcomes).where(predicted.project_key == key, predicted.task_id.in_(some))
            )
            theirs = (table.c.project_key == key) & table.c.task_id.in_(some)
            connection.execute(sa.update(table).where(theirs).values(result="[]", revision=revision, is_deleted=True))

    def _mark_annotations_deleted(
        self, connection: Connection, key: str, annotation_ids: Sequence[int], revision: int
    ) -> None:
        if not annotation_ids:
            return
        mark = {"result": "[]", "revision": revision, "is_deleted": True}
        rows = [
            {"project_key": key, "id": id, "task_id": 0, "was_cancelled": False, "updated_at": "", **mark}
            for id in annotation_ids
        ]
        statement = self._insert(schema.annotations)
        connection.execute(statement.on_conflict_do_update(index_elements=["project_key", "id"], set_=mark), rows)

    def _add_to_window(
        self,
        connection: Connection,
        version_id: int,
        window: Sequence[tuple[int, float]],
        audits: frozenset[int],
        guesses: Guesses,
        pushed: frozenset[int] | None,
    ) -> None:
        rows = [
            {
                "version_id": version_id,
                "task_id": task_id,
                "informativeness": float(informativeness),
                "is_audit": task_id in audits,
                "guesses": json.dumps(guesses[task_id]) if task_id in guesses else None,
                "is_pushed": pushed is None or task_id in pushed,
            }
            for task_id, informativeness in window
        ]
        if rows:
            connection.execute(self._insert(schema.window).on_conflict_do_nothing(), rows)


_NEXT_REVISION = schema.projects.c.revision + 1
_PROJECT_COLUMNS = tuple(schema.projects.columns)
_STANDING_NAMES = tuple(one.name for one in fields(Standing))
_STANDINGS = sa.select(*(schema.projects.c[name] for name in _STANDING_NAMES)).order_by(schema.projects.c.key)
_REVISIONS = sa.select(schema.projects.c.revision, schema.projects.c.purged_revision).where(
    schema.projects.c.key == sa.bindparam("key")
)
_FIND = sa.select(*_PROJECT_COLUMNS).where(schema.projects.c.key == sa.bindparam("key"))
_ANNOTATION_COLUMNS = tuple(
    schema.annotations.c[name] for name in ("id", "task_id", "result", "was_cancelled", "updated_at")
)
_MEASUREMENTS = sa.select(
    *(schema.measurements.c[name] for name in ("version", "n_labels", "created_at", "kappa", "predictions", "report"))
).order_by(schema.measurements.c.id)


def _is_left(key: str, version_id: int) -> Any:
    """The condition of a window's task that nobody has annotated, or deleted."""
    window, annotations, tasks = schema.window.c, schema.annotations.c, schema.tasks.c
    annotated = (annotations.project_key == key) & (annotations.task_id == window.task_id) & ~annotations.is_deleted
    there = (tasks.project_key == key) & (tasks.id == window.task_id) & ~tasks.is_deleted
    return (window.version_id == version_id) & ~sa.exists().where(annotated) & sa.exists().where(there)


def _measured_on_more(key: str, n_labels: int) -> sa.Delete:
    table = schema.measurements.c
    return sa.delete(schema.measurements).where(table.project_key == key, table.n_labels > n_labels)


# Every second, of all projects, and most of them as they were: making them takes longer than reading them.
@lru_cache(maxsize=4_096)
def _standing(values: tuple[Any, ...]) -> Standing:
    found = dict(zip(_STANDING_NAMES, values, strict=True))
    return Standing(**found | {"stale_versions": tuple(json.loads(found["stale_versions"]))})


def _project(row: Any) -> Project:
    parsed = {
        "extra_params": json.loads(row.extra_params),
        "label_counts": json.loads(row.label_counts),
        "unread": json.loads(row.unread),
        "progress": None if row.progress is None else json.loads(row.progress),
        "stale_versions": tuple(json.loads(row.stale_versions)),
        "wanted_params": None if row.wanted_params is None else json.loads(row.wanted_params),
    }
    return Project(**row._asdict() | parsed)


def _measurement(row: Any) -> Measurement:
    kept = None if row.predictions is None else json.loads(row.predictions)
    predictions = None if kept is None else {int(task_id): label for task_id, label in kept.items()}
    return Measurement(**row._asdict() | {"predictions": predictions, "report": json.loads(row.report)})


def _known(
    connection: Connection, table: sa.Table, key: str, ids: Collection[int], since: int
) -> Iterator[Sequence[int]]:
    """Those of the rows that we have, unless they changed after revision `since`; so many at a time."""
    column = table.c
    ours = (column.project_key == key) & ~column.is_deleted & (column.revision <= since)
    for some in chunks(sorted(ids)):
        yield connection.execute(sa.select(column.id).where(ours & column.id.in_(some))).scalars().all()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _parse(text: str, parsed: dict[str, list[Any]]) -> list[Any]:
    """Results repeat a lot: each distinct one is parsed once."""
    if text not in parsed:
        parsed[text] = json.loads(text)
    return parsed[text]
