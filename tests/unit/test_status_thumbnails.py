"""The status page of a project of images."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from label_studio_al.labeling import Task
from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Measurement, Signer, Store
from label_studio_al.store.maps import MapHead
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support import status_page
from tests.support.build import KEY, event
from tests.support.clock import FakeClock
from tests.support.status_page import PAGE, get
from tests.support.thumbnails import ADDRESSES, IMAGES, fill, keep, picture
from tests.support.versions import CONTROL

ALL = {task_id: f"{PAGE}/thumbnails/{task_id}" for task_id in ADDRESSES}


@pytest.fixture
def client(tmp_path: Path, store: Store, signer: Signer) -> FlaskClient:
    return create_app(Parts(read_settings(model_dir=tmp_path), store, signer, FakeClock()), []).test_client()


@pytest.fixture
def project(tmp_path: Path, store: Store) -> Store:
    keep(tmp_path / "embeddings", contents=[ADDRESSES[1], ADDRESSES[2]])
    return fill(store)


def section(page: str, name: str) -> str:
    return page.partition(f'id="live-{name}"')[2].partition("</section>")[0]


def images(page: str) -> list[str]:
    return re.findall(r'<img class="thumbnail" src="(.*?)"', page)


def test_next_tasks_have_thumbnails_and_the_names_of_their_files(client: FlaskClient, project: Store) -> None:
    page = get(client)
    assert images(section(page, "window")) == [ALL[1], ALL[2]]
    (first, *_) = re.findall("<img .*?>", page)
    for said in ('alt="Image of task 1"', 'loading="lazy"', 'width="96"', 'height="96"'):
        assert said in first
    for name in ("ab12cd34-cat.jpg", "a dog.png", "image"):
        assert re.search(rf">\s*{name}", section(page, "window"))
    for secret in ("5ec3e7", "/data/upload", "files.example.org", "s3:"):
        assert secret not in page


def test_suspects_confusions_and_the_map_s_table_have_thumbnails(client: FlaskClient, project: Store) -> None:
    suspect = {"task_id": 1, "label": "A", "predicted": "B", "probability": 0.9, "label_probability": 0.1}
    report = {"suspects": [suspect], "confusing_pairs": [{"labels": ["A", "B"], "count": 1, "task_ids": [2, 3]}]}
    project.measurements.record(KEY, Measurement(CONTROL, 4, 2, 5.0, None, None, report))
    drawn = {"question": "topic", "labels": ["A"], "n_tasks": 3, "n_open": 3, "n_labelled": 0, "grid": None}
    points = {"points": [[task_id, 0, 0, -1, 0] for task_id in ADDRESSES]}
    project.maps.record(KEY, MapHead(1.0, 3), {}, drawn | points)
    page = get(client)
    assert images(section(page, "suspects")) == [ALL[1]]
    assert images(section(page, "pairs")) == [ALL[2]]
    assert images(section(page, "map")) == [ALL[2], ALL[1]]
    assert "5ec3e7" not in page


def test_thumbnail_is_served_and_kept_by_browsers(client: FlaskClient, project: Store) -> None:
    answer = client.get(ALL[1])
    assert (answer.status_code, answer.mimetype, answer.data) == (200, "image/jpeg", picture())
    assert answer.headers["Cache-Control"] == "private, max-age=300"
    again = client.get(ALL[1], headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_changed_image_is_asked_for_again(client: FlaskClient, project: Store, tmp_path: Path) -> None:
    tag = client.get(ALL[1]).headers["ETag"]
    keep(tmp_path / "embeddings", contents=[ADDRESSES[1]], colour="blue")
    assert client.get(ALL[1], headers={"If-None-Match": tag}).data == picture("blue")


@pytest.mark.parametrize("task", ["3", "4"], ids=["not made yet", "unknown task"])
def test_what_has_no_thumbnail_is_a_404_that_says_so(client: FlaskClient, project: Store, task: str) -> None:
    answer = client.get(f"{PAGE}/thumbnails/{task}")
    assert answer.status_code == 404
    assert answer.get_json() == {"error": f"no thumbnail is kept of task '{task}' of project {KEY}"}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("value", ["off", "none", 0])
def test_thumbnails_that_are_switched_off_are_neither_shown_nor_served(
    client: FlaskClient, project: Store, value: object
) -> None:
    """Also in the moments before the next turn removes them."""
    project.projects.register(KEY, IMAGES, {"thumbnails": value}, 0.0)
    assert client.get(ALL[1]).status_code == 404
    page = get(client)
    assert "<img" not in page
    assert "ab12cd34-cat.jpg" in page


def test_deleted_task_has_no_thumbnail(client: FlaskClient, project: Store) -> None:
    project.updates.hear(event("TASKS_DELETED", deleted_tasks=(1,)), 0.0)
    assert client.get(ALL[1]).status_code == 404
    assert images(get(client)) == [ALL[2]]


def test_page_without_images_has_none(client: FlaskClient, store: Store, tmp_path: Path) -> None:
    status_page.fill(store)
    keep(tmp_path / "embeddings", contents=["text 2"])
    assert "<img" not in get(client)
    assert client.get(ALL[2]).status_code == 404


def test_text_beside_an_image_is_shown(client: FlaskClient, project: Store) -> None:
    project.projects.register(KEY, IMAGES.replace("<Choices", '<Text name="t" value="$text"/><Choices'), None, 0.0)
    data = {"image": "/data/upload/3/x.jpg?token=5ec3e7", "text": "what is https://a.b/c?d"}
    project.updates.hear(event("TASKS_CREATED", tasks=(Task(2, data),)), 0.0)
    page = get(client)
    assert re.search(r"x.jpg\s+what is https://a.b/c\?d", page)
    assert "5ec3e7" not in page


def test_status_tells_no_addresses(client: FlaskClient, project: Store) -> None:
    assert "5ec3e7" not in json.dumps(client.get("/status").get_json())
