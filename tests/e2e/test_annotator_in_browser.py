"""An annotator in Label Studio's own page: the promised order, the label filled in, Submit that goes through."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from label_studio_al.cli.local import LocalLabelStudio
from tests.e2e.conftest import LOGIN
from tests.support.backend_process import BackendProcess
from tests.support.examples import GOLD, LABELS, TEXTS
from tests.support.labelling_page import LabellingPage
from tests.support.studio import Annotator, Truth, is_lowest, until, version_number

pytestmark = pytest.mark.e2e

N_TASKS = 14
WINDOW = ("--set", "window=25")
# Enough for a model: it comes after five labels of two kinds.
N_NEIGHBOURS_LABELS = 6


@pytest.fixture
def neighbour(admin: Annotator, backend: BackendProcess) -> int:
    """Another project of the same backend: the same texts, labels of its own, and a model that has learnt them."""
    names = ["Theirs", "Not theirs"]
    project_id = admin.create_project("beside it", names, TEXTS)
    backend.connect(project_id, *WINDOW)
    for n in range(N_NEIGHBOURS_LABELS):
        admin.submit(admin.next(project_id).task_id, names[n % 2])
    until(lambda: backend.is_at_rest(project_id, N_NEIGHBOURS_LABELS), "the neighbour's labels are learnt")
    assert admin.next(project_id).label in names
    return project_id


def test_tasks_come_in_the_promised_order_with_their_label_filled_in(
    browser: Browser,
    label_studio: LocalLabelStudio,
    admin: Annotator,
    backend: BackendProcess,
    truth: Truth,
    neighbour: int,
) -> None:
    project_id = admin.create_project("in a browser", LABELS, TEXTS)
    backend.connect(project_id, *WINDOW)
    me = truth.user_id(LOGIN.email)
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(120_000)
    stream = LabellingPage(context.new_page(), label_studio.url)
    stream.log_in(LOGIN)
    before = truth.queue(project_id, me)
    shown = stream.label_all_tasks(project_id)
    seen, versions, n_filled_in = [], set(), 0
    for n_labels in range(1, N_TASKS + 1):
        served = shown.served
        now = truth.queue(project_id, me)
        assert is_lowest(served.task_id, before, now), (served, before, now)
        # In the middle of a switch the label is the new version's already, while the old one still orders the queue.
        assert version_number(served.version) >= version_number(before[0]) > 0
        assert served.label in {None, *LABELS}
        # What the model says is chosen already, and nothing else; before the first model, nothing is.
        assert shown.chosen == ([] if served.label is None else [served.label])
        n_filled_in += served.label is not None
        seen.append(served.task_id)
        versions.add(served.version)
        stream.choose(GOLD[served.text], shown)
        # So that at most one switch, to what this Submit teaches, comes between the look and the next task.
        until(lambda n=n_labels - 1: backend.is_at_rest(project_id, n), f"{n_labels - 1} labels are learnt")
        version, scores = truth.queue(project_id, me)
        before = version, {task_id: score for task_id, score in scores.items() if task_id != served.task_id}
        shown = stream.submit()
    context.close()

    assert stream.errors == []
    assert len(set(seen)) == N_TASKS == truth.labels(project_id)
    assert len(versions) > 3
    assert n_filled_in >= N_TASKS / 2
    gold = [GOLD[admin.open(project_id, task_id)["data"]["text"]] for task_id in seen]
    assert [label_of(admin.open(project_id, task_id)) for task_id in seen] == gold
    assert truth.labels(neighbour) == N_NEIGHBOURS_LABELS


def label_of(task: dict) -> str:
    (annotation,) = task["annotations"]
    return annotation["result"][0]["value"]["choices"][0]
