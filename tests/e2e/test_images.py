"""Images in a real Label Studio: uploaded ones and those of a folder are asked, learned and filled in."""

from __future__ import annotations

import io
import random
import time
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser

from label_studio_al.cli.local import LocalLabelStudio
from tests.e2e.conftest import LOGIN
from tests.support.backend_process import BackendProcess
from tests.support.labelling_page import LabellingPage
from tests.support.studio import Annotator, Truth, until

pytestmark = pytest.mark.e2e

COLORS = {"circle": (200, 60, 60), "square": (60, 200, 60), "triangle": (60, 60, 200)}
CONFIG = """
<View><Image name="image" value="$image"/>
<Choices name="shape" toName="image">
<Choice value="circle"/><Choice value="square"/><Choice value="triangle"/></Choices></View>
"""
N_UPLOADED, N_IN_FOLDER, N_LABELS = 40, 40, 60
# As people look at a task: a program that labels without a pause empties the queue.
LOOKING_SECONDS = 0.2
GONE = "/data/upload/1/gone.png"


def shape(label: str, seed: int) -> bytes:
    """A PNG of a shape on grey: the test's encoder sees its colour, which is more or less that of its label."""
    draw = random.Random(seed)
    color = tuple(max(0, min(255, channel + draw.randint(-50, 50))) for channel in COLORS[label])
    side = draw.randint(30, 60)
    left, top = draw.randint(0, 100 - side), draw.randint(0, 100 - side)
    box = (left, top, left + side, top + side)
    image = Image.new("RGB", (100, 100), (128, 128, 128))
    canvas = ImageDraw.Draw(image)
    if label == "circle":
        canvas.ellipse(box, color)
    elif label == "square":
        canvas.rectangle(box, color)
    else:
        canvas.polygon([(left, top + side), (left + side, top + side), (left + side / 2, top)], color)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def shapes(first: int, n: int) -> dict[str, bytes]:
    """Files by name."""
    labels = [[*COLORS][seed % len(COLORS)] for seed in range(first, first + n)]
    return {f"{label}-{seed}.png": shape(label, seed) for seed, label in enumerate(labels, first)}


def truth_of(task: dict[str, Any]) -> str:
    return next(label for label in COLORS if label in task["data"]["image"])


def chosen(result: list[dict[str, Any]]) -> str | None:
    return result[0]["value"]["choices"][0] if result else None


@pytest.fixture(scope="module")
def project(admin: Annotator, label_studio: LocalLabelStudio) -> int:
    """Half of the images are uploaded, half lie in a folder, and one is not there."""
    project_id = int(admin.call("POST", "/api/projects/", {"title": "shapes", "label_config": CONFIG})["id"])
    uploaded = {name: (name, content, "image/png") for name, content in shapes(0, N_UPLOADED).items()}
    assert admin.client.post(f"/api/projects/{project_id}/import", files=uploaded).status_code == 201
    folder = label_studio.data_dir.parent / "files" / "shapes"
    folder.mkdir()
    for name, content in shapes(N_UPLOADED, N_IN_FOLDER).items():
        (folder / name).write_bytes(content)
    local = {"project": project_id, "path": str(folder), "use_blob_urls": True, "title": "shapes"}
    storage_id = admin.call("POST", "/api/storages/localfiles/", local)["id"]
    admin.call("POST", f"/api/storages/localfiles/{storage_id}/sync")
    admin.call("POST", f"/api/projects/{project_id}/import", [{"data": {"image": GONE}}])
    return project_id


def test_sixty_images_are_labelled_in_order_and_filled_in(
    browser: Browser,
    label_studio: LocalLabelStudio,
    admin: Annotator,
    backend: BackendProcess,
    truth: Truth,
    project: int,
) -> None:
    backend.connect(project, "--set", "window=25")
    me = truth.user_id(LOGIN.email)
    answers, right, places, versions = {}, [], set(), set()
    for _ in range(N_LABELS):
        time.sleep(LOOKING_SECONDS)
        before = truth.queue(project, me)
        task = admin.read(f"/api/projects/{project}/next")
        served = task["id"]
        scores = [scores for _, scores in (before, truth.queue(project, me)) if served in scores]
        assert any(own[served] <= min(own.values()) + 1e-12 for own in scores)
        prediction = task["predictions"][-1]
        label = answers[served] = truth_of(task)
        places.add(task["data"]["image"].split("/")[2])
        versions.add(prediction["model_version"])
        right.append(chosen(prediction["result"]) == label)
        result = [{"from_name": "shape", "to_name": "image", "type": "choices", "value": {"choices": [label]}}]
        accepted = {"result": prediction["result"], "parent_prediction": prediction["id"]}
        body = accepted if right[-1] else {"result": result}
        admin.call("POST", f"/api/tasks/{served}/annotations/", body)
    until(lambda: backend.is_at_rest(project, N_LABELS), "all labels are trained on")

    assert truth.labels(project) == N_LABELS == len(answers)
    assert places == {"upload", "local-files"}
    assert len(versions) > 3
    assert sum(right) > N_LABELS / 2
    state = backend.project(project)
    assert state["labels"] == {label: [*answers.values()].count(label) for label in COLORS}
    (unread,) = state["unread"]
    assert (unread["reason"], unread["n"]) == ("no_image", 1)
    assert "Label Studio has no such file" in unread["sentence"]
    opened = [admin.open(project, task_id) for task_id in admin.task_ids(project) if task_id not in answers]
    rest = [one for one in opened if one["data"]["image"] != GONE]
    assert len(rest) == N_UPLOADED + N_IN_FOLDER - N_LABELS
    assert [chosen(one["predictions"][-1]["result"]) for one in rest] == [truth_of(one) for one in rest]
    (missing,) = (one for one in opened if one["data"]["image"] == GONE)
    assert [one["result"] for one in missing["predictions"] if one["result"]] == []

    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = LabellingPage(context.new_page(), label_studio.url)
    page.log_in(LOGIN)
    for task in (rest[0], rest[-1]):
        page.open(project, task["id"])
        until(lambda of=task: page.filled_in() == {"choices": [truth_of(of)]}, lambda: f"{page.filled_in()}")
        until(lambda: page.images() == [(100, 100)], lambda: f"the image is shown: {page.images()}")
    assert page.errors == []
    context.close()
