"""An annotator in Label Studio's own page: the promised order, the label filled in, Submit that goes through."""

from __future__ import annotations

from playwright.sync_api import Browser

from backend.examples import example_tasks
from backend.studio.local import LocalLabelStudio
from tests.e2e.conftest import LOGIN
from tests.support.backend_process import BackendProcess
from tests.support.labelling_page import LabellingPage
from tests.support.studio import Annotator, Truth, is_lowest, until

GOLD = {task["text"]: task["gold"] for task in example_tasks()}
LABELS = sorted(set(GOLD.values()))
N_TASKS = 30


def test_thirty_tasks_come_in_the_promised_order_with_their_label_filled_in(
    browser: Browser, label_studio: LocalLabelStudio, admin: Annotator, backend: BackendProcess, truth: Truth
) -> None:
    project_id = admin.create_project("in a browser", LABELS, list(GOLD))
    backend.connect(project_id)
    me = truth.user_id(LOGIN.email)
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    stream = LabellingPage(context.new_page(), label_studio.url)
    stream.log_in(LOGIN)
    before = truth.queue(project_id, me)
    shown = stream.label_all_tasks(project_id)
    seen, versions, n_filled_in = [], set(), 0
    for n_labels in range(1, N_TASKS + 1):
        served = shown.served
        assert is_lowest(served, before, truth.queue(project_id, me)), (served, before)
        # What the model says is chosen already, and nothing else; before the first model, nothing is.
        assert shown.chosen == ([] if served.label is None else [served.label])
        n_filled_in += served.label is not None
        seen.append(served.task_id)
        versions.add(served.version)
        stream.choose(GOLD[served.text], shown)
        # So that at most one switch, to what this Submit teaches, comes between the look and the next task.
        until(lambda n=n_labels - 1: is_at_rest(backend, project_id, n), f"{n_labels - 1} labels are learnt")
        version, scores = truth.queue(project_id, me)
        before = version, {task_id: score for task_id, score in scores.items() if task_id != served.task_id}
        shown = stream.submit()
    context.close()

    assert len(set(seen)) == N_TASKS == truth.labels(project_id)
    assert None not in versions
    assert len(versions) > 3
    # The first model comes after five labels of two kinds.
    assert n_filled_in >= N_TASKS / 2
    gold = [GOLD[admin.open(project_id, task_id)["data"]["text"]] for task_id in seen]
    assert [label_of(admin.open(project_id, task_id)) for task_id in seen] == gold


def is_at_rest(backend: BackendProcess, project_id: int, n_labels: int) -> bool:
    """Whether all labels are heard, and the version that they make due orders the queue."""
    state = backend.project(project_id)
    version = state.get("version") or {}
    is_heard = state["n_annotations"] == n_labels and state["activity"].startswith("waiting for")
    return bool(is_heard and version.get("is_switched") and not state["error"])


def label_of(task: dict) -> str:
    (annotation,) = task["annotations"]
    return annotation["result"][0]["value"]["choices"][0]
