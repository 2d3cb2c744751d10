"""The checks, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import httpx

from label_studio_al.doctor import machine, project
from label_studio_al.doctor.findings import FAILURE, Finding, failure, skipped, warning
from label_studio_al.doctor.setup import ProjectLook, Setup, known_projects
from label_studio_al.runtime.database import UNAVAILABLE, unavailable
from label_studio_al.runtime.errors import BackendError

T = TypeVar("T")


@dataclass(frozen=True)
class Check(Generic[T]):
    """A check. needs: those without which it cannot be made."""

    name: str
    look: Callable[[T], Finding]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What a check found. project: its number, None for what concerns all. mended: what a repair has changed."""

    check: str
    project: int | None
    state: str
    sentence: str
    can_be_fixed: bool = False
    mended: str | None = None


MACHINE: tuple[Check[Setup], ...] = (
    Check("settings", machine.settings),
    Check("disk", machine.disk),
    Check("database", machine.database, ("disk",)),
    Check("embeddings", machine.embeddings),
    Check("label studio", machine.label_studio, ("settings",)),
    Check("clock", machine.clock, ("label studio",)),
    Check("token", machine.token, ("label studio",)),
    Check("backend", machine.backend),
    Check("credentials", machine.credentials),
    Check("proxy", machine.proxy, ("credentials",)),
    Check("secret", machine.secret, ("disk",)),
)
PROJECT: tuple[Check[ProjectLook], ...] = (
    Check("project", project.project, ("token",)),
    Check("rights", project.rights, ("project",)),
    Check("label config", project.config, ("project",)),
    Check("images", project.images, ("label config",)),
    Check("labels", project.labels, ("label config",)),
    Check("address", project.address, ("rights",)),
    Check("connection", project.connection, ("rights",)),
    Check("other backends", project.other_backends, ("connection",)),
    Check("round trip", project.round_trip, ("connection",)),
    Check("webhook", project.webhook, ("rights", "disk", "secret")),
    Check("other webhooks", project.other_webhooks, ("webhook",)),
    Check("sampling", project.sampling, ("rights",)),
    Check("predictions", project.predictions, ("rights",)),
    Check("turns", project.turns, ("project", "database")),
    Check("model version", project.version, ("connection", "database")),
    Check("queue", project.queue, ("connection", "database")),
)


def examine(setup: Setup, project_ids: Sequence[int], *, fix: bool) -> Iterator[Result]:
    """The results, in the order of the checks. project_ids: none for all that were set up here.

    fix: repair what can be repaired, and look again.
    """
    failed: set[str] = set()
    machine = _Subject(lambda: setup)
    for check in MACHINE:
        yield _run(check, machine, failed, fix=fix)
    if not project_ids and setup.has_database and "database" not in failed:
        project_ids = known_projects(setup.store)
    if not project_ids:
        yield _result("projects", None, warning("no project is known here: label-studio-al connect --project NUMBER"))
    for project_id in project_ids:
        project_look = _Subject(partial(ProjectLook, setup, project_id), project_id)
        failed_here = set(failed)
        for one in PROJECT:
            yield _run(one, project_look, failed_here, fix=fix)


class _Subject(Generic[T]):
    """What checks look at: built once for all of them, and again after a repair has changed something."""

    def __init__(self, make: Callable[[], T], project_id: int | None = None) -> None:
        self._make, self.project_id = make, project_id
        self.renew()

    def renew(self) -> None:
        """Forget what was seen."""
        self.current = self._make()


def _run(check: Check[T], subject: _Subject[T], failed: set[str], *, fix: bool) -> Result:
    missing = next((need for need in check.needs if need in failed), None)
    if missing is not None:
        failed.add(check.name)
        return _result(check.name, subject.project_id, skipped(f'not looked at, because of "{missing}"'))
    finding, mended = _look(check, subject.current), None
    if fix and finding.repair is not None:
        before = finding
        finding = _repair(finding) or _after_repair(check, subject)
        mended = None if finding.state == before.state else before.sentence
    if finding.state == FAILURE:
        failed.add(check.name)
    return _result(check.name, subject.project_id, finding, mended)


def _look(check: Check[T], subject: T) -> Finding:
    try:
        return check.look(subject)
    except UNAVAILABLE as exc:
        return failure(str(unavailable(exc)))
    except (BackendError, httpx.HTTPError, OSError) as exc:
        return failure(str(exc) or type(exc).__name__)


def _repair(finding: Finding) -> Finding | None:
    """Repair; gives a failure that says why that is not possible."""
    assert finding.repair is not None
    try:
        finding.repair()
    except UNAVAILABLE as exc:
        return failure(f"{finding.sentence}. It cannot be repaired: {unavailable(exc)}")
    except BackendError as exc:
        return failure(f"{finding.sentence}. It cannot be repaired: {exc}")
    return None


def _after_repair(check: Check[T], subject: _Subject[T]) -> Finding:
    subject.renew()
    return _look(check, subject.current)


def _result(check: str, project_id: int | None, finding: Finding, mended: str | None = None) -> Result:
    return Result(check, project_id, finding.state, finding.sentence, finding.repair is not None, mended)
