"""What a webhook says was deleted or changed is believed when Label Studio's API says so, too."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from label_studio_al.cli.worker import needs_turn
from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.studio import WEBHOOK_HEADER, webhook_secret
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.bench import Bench
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import CLOSED, TOKEN, URL, FakeLabelStudio, FakeProject
from tests.support.versions import asked

pytestmark = pytest.mark.usefixtures("one_thread")

KEY = "what only we know"  # pragma: allowlist secret
Webhook = dict[str, Any]


class Door:
    """A backend with a trained project, and somebody who knows its webhook secret."""

    def __init__(self, bench: Bench, web: FlaskClient) -> None:
        self.bench, self.web, self.fake, self.store = bench, web, bench.fake, bench.store
        self.project: FakeProject = bench.add()
        bench.publish(self.project, 1)
        self.before = self.labels()
        assert len(self.before) == 5

    def tell(self, webhook: Webhook, secret_of: FakeProject | None = None) -> None:
        """A webhook arrives, with a project's secret or none."""
        headers = {} if secret_of is None else {WEBHOOK_HEADER: webhook_secret(KEY, secret_of.key)}
        assert self.web.post("/webhook", json=webhook, headers=headers).status_code == 201

    def turn(self) -> None:
        self.bench.turn(self.project)

    def labels(self) -> dict[int, tuple[int, Any]]:
        """Task and answer of each annotation."""
        return {one.id: (one.task_id, one.result) for one in self.store.annotations.all(self.project.key)}

    def theirs(self) -> dict[int, int]:
        """Task of each annotation in Label Studio."""
        return {one["id"]: one["task"] for one in self.project.annotations.values()}

    def ours(self) -> dict[int, int]:
        return {one: task_id for one, (task_id, _) in self.labels().items()}

    def imagined(self, tell: Callable[[FakeLabelStudio, FakeProject], Webhook]) -> Webhook:
        """A webhook of something that never happened."""
        kept = self.fake.backup()
        webhook = deepcopy(tell(self.fake, self.project))
        self.fake.restore(kept)
        return webhook


@pytest.fixture
def door(tmp_path: Path, store: Store, signer: Signer, clock: FakeClock) -> Door:
    settings = read_settings(model_dir=tmp_path, label_studio_url=URL, label_studio_api_key=TOKEN, encoder="none")
    web = create_app(Parts(settings, store, signer), [KEY]).test_client()
    return Door(Bench(FakeLabelStudio(), store, signer, clock, settings), web)


def first(project: FakeProject) -> dict[str, Any]:
    return next(iter(project.annotations.values()))


def other_label(project: FakeProject) -> str:
    (said,) = first(project)["result"][0]["value"]["choices"]
    return "machine" if said == "animal" else "animal"


def deletes(fake: FakeLabelStudio, project: FakeProject) -> Webhook:
    return fake.delete_annotations(project.id, *project.annotations)


def corrects(fake: FakeLabelStudio, project: FakeProject) -> Webhook:
    return fake.correct(project.id, first(project)["id"], other_label(project))


def answers_again(fake: FakeLabelStudio, project: FakeProject) -> Webhook:
    return fake.annotate(project.id, first(project)["task"], other_label(project), user_id=2)


def deletes_tasks(fake: FakeLabelStudio, project: FakeProject) -> Webhook:
    return fake.delete_tasks(project.id, *{one["task"] for one in project.annotations.values()})


def skips(fake: FakeLabelStudio, project: FakeProject) -> Webhook:
    return fake.annotate(project.id, first(project)["task"], None, skip=True)


def creates_under_a_number_that_is_given(fake: FakeLabelStudio, project: FakeProject) -> Webhook:
    webhook = fake.correct(project.id, first(project)["id"], other_label(project))
    open_task = (project.queue() or [])[0]
    annotation = {**webhook["annotation"], "task": open_task}
    return {**webhook, "action": "ANNOTATION_CREATED", "annotation": annotation, "task": project.tasks[open_task]}


def happened(*which: Callable[[FakeLabelStudio, FakeProject], Webhook]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("what", which, ids=lambda what: what.__name__)


@happened(deletes, corrects, answers_again, deletes_tasks, skips, creates_under_a_number_that_is_given)
def test_forged_webhook_deletes_and_overturns_no_label(
    door: Door, what: Callable[[FakeLabelStudio, FakeProject], Webhook]
) -> None:
    version = door.bench.version(door.project)
    door.tell(door.imagined(what))
    door.tell(door.imagined(what), door.project)
    assert door.labels() == door.before
    door.turn()
    assert door.labels() == door.before
    assert asked(door.bench.version(door.project)).trained_on == asked(version).trained_on
    assert door.store.updates.claims(door.project.key) == []


@happened(deletes, corrects, answers_again, deletes_tasks, skips)
def test_what_really_happened_reaches_the_model_with_the_next_turn(
    door: Door, what: Callable[[FakeLabelStudio, FakeProject], Webhook]
) -> None:
    door.tell(what(door.fake, door.project), door.project)
    assert door.labels() == door.before
    door.turn()
    assert door.labels() != door.before
    assert door.ours() == door.theirs()
    assert door.store.tasks.ids(door.project.key) == sorted(door.project.tasks)
    assert door.store.updates.claims(door.project.key) == []


def test_only_what_was_claimed_is_asked_for(door: Door) -> None:
    """Not what else has changed: an undo costs Label Studio three small questions."""
    door.tell(door.fake.delete_annotations(door.project.id, first(door.project)["id"]), door.project)
    door.fake.calls.clear()
    door.turn()
    reading = [call.path for call in door.fake.calls if call.method == "GET" and "/ml" not in call.path]
    assert reading[:3] == [
        f"/api/projects/{door.project.id}",
        "/api/tasks",
        f"/api/projects/{door.project.id}/export",
    ]
    # A sync would list tasks again, for the newest change, and ask which versions there are.
    assert reading.count("/api/tasks") == 1
    # So does the switch, and the deletion of the older version's predictions, once each.
    assert reading.count(f"/api/projects/{door.project.id}/model-versions") == 2


def test_new_label_is_there_before_anybody_asks(door: Door) -> None:
    task_id = (door.project.queue() or [])[0]
    webhook = door.fake.annotate(door.project.id, task_id, "animal")
    door.fake.calls.clear()
    door.tell(webhook, door.project)
    assert door.ours() == door.theirs()
    assert door.store.updates.claims(door.project.key) == []
    assert door.fake.calls == []


def test_text_of_a_known_task_is_no_webhook_s_to_change(door: Door) -> None:
    task_id = (door.project.queue() or [])[0]
    webhook = door.fake.annotate(door.project.id, task_id, "animal")
    labelled = first(door.project)["task"]
    (before,) = door.store.tasks.some(door.project.key, [labelled])
    forged = {**door.project.tasks[labelled], "data": {"text": "another text"}}
    door.tell({**webhook, "action": "ANNOTATIONS_CREATED", "task": [forged]}, door.project)
    door.turn()
    assert door.store.tasks.some(door.project.key, [labelled]) == [before]


def test_numbers_of_another_project_s_annotations_do_nothing_here_or_there(door: Door) -> None:
    theirs, mine = door.project, door.bench.add()
    door.bench.publish(mine, 1)
    labels = door.store.annotations.all(mine.key)
    for what in (deletes, corrects, deletes_tasks):
        forged = door.imagined(what)
        forged["project"] = door.imagined(lambda fake, _: deletes(fake, mine))["project"]
        door.tell(forged, mine)
    door.bench.turn(mine)
    door.turn()
    assert door.labels() == door.before
    assert door.store.annotations.all(mine.key) == labels
    assert len(theirs.annotations) == 5
    assert door.store.updates.claims(mine.key) == door.store.updates.claims(theirs.key) == []


@pytest.mark.parametrize(
    ("path", "how"), [("/api/projects/1", 403), ("/api/tasks", CLOSED), ("/api/projects/1/export", 500)]
)
def test_claim_waits_while_label_studio_cannot_be_asked(door: Door, path: str, how: int | str) -> None:
    door.tell(deletes(door.fake, door.project), door.project)
    task_id, _ = next(iter(door.before.values()))
    door.tell(door.fake.annotate(door.project.id, task_id, "animal"), door.project)
    door.fake.fail("GET", path, how)
    door.turn()
    claimed = door.store.updates.claims(door.project.key)
    assert claimed == sorted({task_id for task_id, _ in door.before.values()})
    assert door.store.projects.get(door.project.key).error
    door.fake.mend()
    door.bench.settle(door.project)
    assert door.ours() == door.theirs()
    assert door.store.updates.claims(door.project.key) == []


def test_claim_of_what_happens_while_label_studio_answers_waits_for_the_next_turn(door: Door) -> None:
    gone, corrected, *_ = door.project.annotations

    def happens() -> None:
        # Label Studio has read the annotations already, and answers as they were.
        kept = deepcopy(door.project.annotations)
        webhook = door.fake.correct(door.project.id, corrected, other_label(door.project))
        door.tell(webhook, door.project)
        door.project.annotations.clear()
        door.project.annotations.update(kept)

    door.tell(door.fake.delete_annotations(door.project.id, gone), door.project)
    door.fake.when("GET", "/api/projects/1/export", happens)
    door.turn()
    assert door.store.updates.claims(door.project.key) == [door.project.annotations[corrected]["task"]]
    assert needs_turn(
        door.store.projects.get(door.project.key), door.bench.settings, door.bench.clock.now(), has_studio=True
    )
    door.fake.correct(door.project.id, corrected, other_label(door.project))
    door.turn()
    assert door.store.updates.claims(door.project.key) == []
    assert door.ours() == door.theirs()


@pytest.mark.parametrize("path", ["/api/projects/1", "/api/tasks", "/api/projects/1/export"])
def test_label_that_is_deleted_while_label_studio_is_asked_of_another_is_gone_too(door: Door, path: str) -> None:
    asked, meanwhile, *_ = door.project.annotations
    door.tell(door.fake.delete_annotations(door.project.id, asked), door.project)
    door.fake.when(
        "GET", path, lambda: door.tell(door.fake.delete_annotations(door.project.id, meanwhile), door.project)
    )
    door.turn()
    if door.store.updates.claims(door.project.key):
        door.turn()
    assert door.ours() == door.theirs()
    assert door.store.updates.claims(door.project.key) == []


@happened(deletes, deletes_tasks)
def test_many_claims_are_one_comparison(
    door: Door, monkeypatch: pytest.MonkeyPatch, what: Callable[[FakeLabelStudio, FakeProject], Webhook]
) -> None:
    monkeypatch.setattr("label_studio_al.turns.syncing.MAX_TASKS_BY_ID", 3)
    forged = door.imagined(what)
    door.tell(forged, door.project)
    door.turn()
    assert door.labels() == door.before
    assert door.store.updates.claims(door.project.key) == []
    door.tell(what(door.fake, door.project), door.project)
    door.turn()
    assert door.ours() == door.theirs() == {}
    assert door.store.tasks.ids(door.project.key) == sorted(door.project.tasks)
    assert door.store.updates.claims(door.project.key) == []


def test_project_made_anew_under_the_same_number_takes_no_label_of_the_old_one(door: Door) -> None:
    forged = door.imagined(deletes)
    door.fake.recreate_project(door.project.id)
    door.tell(forged, door.project)
    door.turn()
    assert door.labels() == door.before


def test_without_a_token_nobody_can_be_asked_and_webhooks_are_believed(door: Door, signer: Signer) -> None:
    settings = door.bench.settings.model_copy(update={"label_studio_api_key": None})
    door.web = create_app(Parts(settings, door.store, signer), [KEY]).test_client()
    door.tell(door.fake.delete_annotations(door.project.id, *list(door.project.annotations)[:2]), door.project)
    assert door.ours() == door.theirs()
    assert door.store.updates.claims(door.project.key) == []
