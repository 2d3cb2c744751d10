"""What a project's tasks offer, where its label config leaves that to them: kept up to date from turn to turn."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from label_studio_al.questions import Offer, awaited_fields, write_offers
from label_studio_al.store import Change, Project, Store

CHANGES_AT_ONCE = 2_000
_BEFORE_ALL, _LAST_TASK = -1, 2**63 - 1


class Offers:
    """Of all projects. One turn of a project at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # By project and field: up to which revision the tasks were read, and what they offer.
        self._read: dict[str, dict[str, tuple[int, Offer]]] = {}

    def refresh(self, project: Project) -> Project:
        """The project with what its tasks offer by now. Reads those that changed since the last turn."""
        before = self._read.get(project.key, {})
        found = {
            field: self._up_to_date(project, *before.get(field, (_BEFORE_ALL, Offer(field))))
            for field in awaited_fields(project.label_config)
        }
        self._read[project.key] = {field: (project.revision, offer) for field, offer in found.items()}
        offers = write_offers(found)
        if offers == project.offers:
            return project
        self._store.projects.note_offers(project.key, offers)
        return replace(project, offers=offers)

    def forget_all_but(self, keys: Collection[str]) -> None:
        """Let go of projects that are not known any more."""
        for key in self._read.keys() - keys:
            del self._read[key]

    def _up_to_date(self, project: Project, revision: int, offer: Offer) -> Offer:
        if revision == project.revision:
            return offer
        if revision > project.revision:
            # The store is another one (a backup).
            return self._told(project.key, Offer(offer.field))
        offer = self._told(project.key, offer, revision)
        if offer.other is not None and revision > _BEFORE_ALL and not self._still_differs(project.key, offer):
            return self._told(project.key, Offer(offer.field))
        return offer

    def _told(self, key: str, offer: Offer, after: int = _BEFORE_ALL) -> Offer:
        """The offer after all tasks that changed since a revision, or as many of them as show that they differ."""
        changes = self._changes(key, after)
        while offer.other is None and (change := next(changes, None)) is not None:
            if change.data is not None:
                offer.tell(change.task_id, change.data)
        return offer

    def _changes(self, key: str, after: int) -> Iterator[Change]:
        position = after, _LAST_TASK
        while some := self._store.tasks.changes(key, position, CHANGES_AT_ONCE):
            yield from some
            position = some[-1].revision, some[-1].task_id

    def _still_differs(self, key: str, offer: Offer) -> bool:
        """Whether the two tasks that were found to differ do so yet, after whatever has changed."""
        now = Offer(offer.field)
        for task in self._store.tasks.some(key, offer.told_apart):
            now.tell(task.id, task.data)
        return now.other is not None
