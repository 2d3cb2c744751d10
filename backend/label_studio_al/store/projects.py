"""Projects' rows: what is known of each, what is wanted, and how its turns went."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from label_studio_al.questions import LabelConfig, parse_config
from label_studio_al.runtime.errors import UnknownProject
from label_studio_al.runtime.redaction import hide
from label_studio_al.runtime.waking import tell_at_commit
from label_studio_al.store import schema
from label_studio_al.store.activity import Activity, read_activity
from label_studio_al.store.part import Part


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
        """Whether turns failed so often that only a change starts another one."""
        return self.parked_revision is not None and self.revision <= self.parked_revision


@dataclass(frozen=True)
class Project(Standing):
    """A project's row. `version_id` is the published version."""

    title: str | None
    label_config: str
    offers: str
    extra_params: dict[str, Any]
    changed_through: str | None
    compared_at: float | None
    comparing_since: int | None
    compared_through: int
    purged_revision: int
    n_tasks: int
    n_annotations: int
    n_labelled: int
    label_counts: dict[str, dict[str, int]]
    n_fresh: int
    n_due: int
    unread: list[dict[str, Any]]
    progress: dict[str, Any] | None
    config_wanted: bool
    wanted_revision: int
    last_number: int
    is_arranged: bool
    activity: Activity
    unreachable_since: float | None
    n_failures: int
    wanted_params: dict[str, Any] | None

    @property
    def config(self) -> LabelConfig:
        """What is asked. Raises UnsupportedConfig, AwaitsTasks."""
        return parse_config(self.label_config, self.offers)

    @property
    def is_confirmed(self) -> bool:
        """Whether Label Studio was asked for it and has it."""
        return self.synced_at is not None or self.title is not None


@dataclass(frozen=True)
class Failure:
    """How a turn failed. error: None leaves what is there to be read.

    seen_revision: what the turn had seen. retry_at: None parks the project until something changes.
    """

    error: str | None
    activity: Activity
    seen_revision: int
    n_failures: int
    n_unfinished: int
    retry_at: float | None
    unreachable_since: float | None


@dataclass(frozen=True)
class Content:
    """What a project has. unread: what of it is not read, and why. label_counts: by question, how many tasks have each
    label.

    n_fresh: how many labels are new to the published version. n_due: how many make the next one due.
    """

    n_tasks: int
    n_annotations: int
    unread: Sequence[dict[str, Any]]
    n_labelled: int
    label_counts: Mapping[str, Mapping[str, int]]
    n_fresh: int
    n_due: int


class Projects(Part):
    """The projects' rows."""

    def register(self, key: str, label_config: str, extra_params: dict[str, Any] | None, now: float) -> Project:
        """Make the project known, or bring its config and settings up to date; None keeps the stored settings."""
        known = self.find(key)
        params = json.dumps(extra_params or {}, sort_keys=True)
        if known is None:
            with self._write() as connection:
                row = {"key": key, "label_config": label_config, "extra_params": params, "heard_at": now}
                connection.execute(self._insert(schema.projects).values(row).on_conflict_do_nothing())
                tell_at_commit(connection)
            return self.get(key)
        changes: dict[str, Any] = {}
        if label_config != known.label_config:
            changes |= {"label_config": label_config, "config_wanted": True}
        # What was chosen here is not in Label Studio yet: until it is, it tells the settings from before.
        is_outdated = known.wanted_params is not None
        if extra_params is not None and extra_params != known.extra_params and not is_outdated:
            changes |= {"extra_params": params, "wanted_revision": NEXT_REVISION}
        if not changes:
            return known
        with self._write() as connection:
            raise_revision(connection, key, heard_at=now, retry_at=None, **changes)
        return self.get(key)

    def find(self, key: str) -> Project | None:
        """The project; None if it was never set up here."""
        with self._read() as connection:
            row = connection.execute(_FIND, {"key": key}).one_or_none()
        return None if row is None else _project(row)

    def get(self, key: str) -> Project:
        """The project. Raises UnknownProject."""
        project = self.find(key)
        if project is None:
            raise UnknownProject(f"project {key} was never set up here: connect it first")
        return project

    def all(self) -> list[Project]:
        """All projects, in the order of their keys."""
        with self._read() as connection:
            rows = connection.execute(sa.select(*_PROJECT_COLUMNS).order_by(schema.projects.c.key)).all()
        return [_project(row) for row in rows]

    def standings(self) -> list[Standing]:
        """Of all projects, in the order of their keys, what tells whether they need a turn: read every second."""
        with self._read() as connection:
            rows = connection.execute(_STANDINGS).all()
        return [_standing(tuple(row)) for row in rows]

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

    def want_training(self, key: str, now: float) -> None:
        """Make the next turn publish a new version whatever the growth."""
        with self._write() as connection:
            raise_revision(connection, key, heard_at=now, wanted_revision=NEXT_REVISION, retry_at=None)

    def want_syncs(self) -> None:
        """Make the next turn of every project ask Label Studio what has changed: something may have been missed."""
        with self._write() as connection:
            connection.execute(sa.update(schema.projects).values(sync_wanted=True))

    def unpark(self) -> None:
        """Give every project that waits for a retry or a change another turn: somebody may have fixed something."""
        with self._write() as connection:
            connection.execute(sa.update(schema.projects).values(retry_at=None, parked_revision=None))

    def pause(self, key: str, now: float) -> None:
        """Have no turns taken until somebody resumes."""
        with self._write() as connection:
            raise_revision(connection, key, heard_at=now, is_paused=True)

    def resume(self, key: str, now: float) -> None:
        """Have turns taken again, the next one at once."""
        with self._write() as connection:
            raise_revision(connection, key, heard_at=now, is_paused=False, retry_at=None)

    def choose_settings(self, key: str, extra_params: dict[str, Any], now: float) -> None:
        """Use other settings from the next turn on, which writes them into Label Studio, too."""
        params = json.dumps(extra_params, sort_keys=True)
        wanted = {"extra_params": params, "wanted_params": params, "wanted_revision": NEXT_REVISION}
        with self._write() as connection:
            raise_revision(connection, key, heard_at=now, retry_at=None, **wanted)

    def settle_settings(self, key: str, extra_params: dict[str, Any]) -> None:
        """Note that Label Studio has these settings, unless others were chosen meanwhile."""
        table = schema.projects.c
        written = (table.key == key) & (table.wanted_params == json.dumps(extra_params, sort_keys=True))
        with self._write() as connection:
            connection.execute(sa.update(schema.projects).where(written).values(wanted_params=None))

    def call_turn(self, key: str) -> None:
        """Mark the project as changed, so that a turn looks at it."""
        with self._write() as connection:
            raise_revision(connection, key)

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

    # -- what a turn notes: no news, so no revision ------------------------------------------------------------

    def _note(self, key: str, **columns: Any) -> None:
        with self._write() as connection:
            connection.execute(sa.update(schema.projects).where(schema.projects.c.key == key).values(**columns))

    def begin_turn(self, key: str) -> Project:
        """Count the turn and return the current project; events from now on request the next turn.

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
        return self.get(key)

    def note_unfinished(self, key: str, n: int) -> None:
        """Record how many turns in a row have begun and not ended."""
        self._note(key, n_unfinished=n)

    def end_waiting(self, key: str) -> None:
        """Take the turn that a failed one waits for. Should this one be cut short, too, the next one waits again."""
        self._note(key, retry_at=None)

    def end_parking(self, key: str) -> None:
        """Take turns again after something changed."""
        self._note(key, parked_revision=None, n_unfinished=1)

    def finish_turn(self, key: str, activity: Activity, seen_revision: int | None = None) -> None:
        """Record a finished turn, and clear the failures before it.

        seen_revision: what it has seen; None for all that the turns before it had seen.
        """
        columns: dict[str, Any] = {} if seen_revision is None else {"seen_revision": seen_revision}
        well = dict.fromkeys(("error", "unreachable_since", "retry_at", "parked_revision"))
        self._note(key, activity=activity.dumps(), n_failures=0, n_unfinished=0, **well, **columns)

    def fail_turn(self, key: str, failure: Failure) -> None:
        """Note a turn that failed."""
        columns = asdict(failure) | {"activity": failure.activity.dumps()}
        if failure.error is None:
            del columns["error"]
        else:
            columns["error"] = hide(failure.error)
        if failure.retry_at is None:
            columns["parked_revision"] = failure.seen_revision
        self._note(key, **columns)

    def show_activity(self, key: str, activity: Activity) -> None:
        """Say what is being done."""
        self._note(key, activity=activity.dumps())

    def show_progress(self, key: str, what: str, done: int, total: int) -> None:
        """Say how far a long step has come."""
        self._note(key, progress=_progress(what, done, total))

    def hide_progress(self, key: str) -> None:
        """Record that no long step is running."""
        self._note(key, progress=None)

    def note_content(self, key: str, content: Content) -> None:
        """Say what there is."""
        self._note(
            key,
            n_tasks=content.n_tasks,
            n_annotations=content.n_annotations,
            unread=json.dumps(content.unread),
            n_labelled=content.n_labelled,
            label_counts=json.dumps(content.label_counts),
            n_fresh=content.n_fresh,
            n_due=content.n_due,
        )

    def note_offers(self, key: str, offers: str) -> None:
        """Say what the tasks offer (see questions.offers)."""
        self._note(key, offers=offers)

    def note_fresh(self, key: str, n_fresh: int, n_due: int) -> None:
        """Say the same of another version (see Content)."""
        self._note(key, n_fresh=n_fresh, n_due=n_due)

    # -- syncing ----------------------------------------------------------------------------------------------

    def want_sync(self, key: str, *, of_everything: bool = False) -> None:
        """Make the next turn ask Label Studio what has changed, or compare everything."""
        self._note(key, sync_wanted=True, **({"compared_at": 0.0} if of_everything else {}))

    def grant(self, key: str, *wishes: str) -> None:
        """Take wishes as fulfilled: `sync_wanted`, `config_wanted`."""
        self._note(key, **dict.fromkeys(wishes, False))

    def wish(self, key: str, *wishes: str) -> None:
        """Wish again what was not fulfilled."""
        self._note(key, **dict.fromkeys(wishes, True))

    def note_synced(self, key: str, now: float) -> None:
        """Note that Label Studio was asked what has changed."""
        self._note(key, synced_at=now)

    def note_changed_through(self, key: str, moment: str | None) -> None:
        """Note up to which of its own times (ISO 8601) Label Studio was asked what has changed."""
        self._note(key, changed_through=moment)

    def note_heard(self, key: str, heard_at: float) -> None:
        """Note when something last happened."""
        self._note(key, heard_at=heard_at)

    def begin_comparison(self, key: str, since: int, moment: str | None) -> None:
        """Note that everything is compared from the first task on. since, moment: revision and Label Studio's time."""
        self._note(key, comparing_since=since, compared_through=0, changed_through=moment, progress=None)

    def note_compared(self, key: str, through: int, done: int, total: int) -> None:
        """Note up to which task id everything is compared, and how many tasks that are."""
        self._note(key, compared_through=through, progress=_progress("sync", done, total))

    # -- publishing -------------------------------------------------------------------------------------------

    def note_arranged(self, key: str) -> None:
        """Note that Label Studio's queue, tab and sampling are set up."""
        self._note(key, is_arranged=True)

    def note_switched(self, key: str, is_switched: bool) -> None:
        """Note whether Label Studio uses the published version."""
        self._note(key, is_switched=is_switched)

    def note_window_pushed(self, key: str, is_pushed: bool) -> None:
        """Note whether nothing of the version's window is left to be pushed."""
        self._note(key, is_window_pushed=is_pushed)

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

    def add_stale(self, key: str, names: Sequence[str]) -> None:
        """Note versions whose predictions are to be deleted in Label Studio."""
        with self._write() as connection:
            add_stale(connection, key, names)

    def drop_stale(self, key: str, name: str) -> None:
        """Note that a version's predictions are deleted."""
        with self._write() as connection:
            _change_stale(connection, key, lambda names: [one for one in names if one != name])


NEXT_REVISION = schema.projects.c.revision + 1
_PROJECT_COLUMNS = tuple(schema.projects.columns)
_STANDING_NAMES = tuple(one.name for one in fields(Standing))
_STANDINGS = sa.select(*(schema.projects.c[name] for name in _STANDING_NAMES)).order_by(schema.projects.c.key)
_FIND = sa.select(*_PROJECT_COLUMNS).where(schema.projects.c.key == sa.bindparam("key"))


def raise_revision(connection: Connection, key: str, **columns: Any) -> Project | None:
    """The project with its next revision; None if it is unknown."""
    table = schema.projects
    statement = sa.update(table).where(table.c.key == key).values(revision=table.c.revision + 1, **columns)
    row = connection.execute(statement.returning(*_PROJECT_COLUMNS)).one_or_none()
    tell_at_commit(connection)
    return None if row is None else _project(row)


def add_stale(connection: Connection, key: str, names: Sequence[str]) -> None:
    """Note versions whose predictions are to be deleted in Label Studio, within a transaction."""
    if names:
        _change_stale(connection, key, lambda known: list(dict.fromkeys([*known, *names])))


def _change_stale(connection: Connection, key: str, change: Callable[[list[str]], list[str]]) -> None:
    row = schema.projects.c.key == key
    # A write first, so that the read that follows is of our own transaction's state.
    connection.execute(sa.update(schema.projects).where(row).values(stale_versions=schema.projects.c.stale_versions))
    known = connection.execute(sa.select(schema.projects.c.stale_versions).where(row)).scalar_one_or_none()
    if known is not None:
        names = json.dumps(change(json.loads(known)))
        connection.execute(sa.update(schema.projects).where(row).values(stale_versions=names))


def _progress(what: str, done: int, total: int) -> str:
    return json.dumps({"what": what, "done": done, "total": max(done, total)})


# Every second, of all projects, and most of them as they were: making them takes longer than reading them.
@lru_cache(maxsize=4_096)
def _standing(values: tuple[Any, ...]) -> Standing:
    found = dict(zip(_STANDING_NAMES, values, strict=True))
    return Standing(**found | {"stale_versions": tuple(json.loads(found["stale_versions"]))})


def _project(row: Any) -> Project:
    parsed = {
        "activity": read_activity(row.activity),
        "extra_params": json.loads(row.extra_params),
        "label_counts": json.loads(row.label_counts),
        "unread": json.loads(row.unread),
        "progress": None if row.progress is None else json.loads(row.progress),
        "stale_versions": tuple(json.loads(row.stale_versions)),
        "wanted_params": None if row.wanted_params is None else json.loads(row.wanted_params),
    }
    return Project(**row._asdict() | parsed)
