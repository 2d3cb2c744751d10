"""The status page: what it shows, and what its buttons do."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.store.activity import TRAINING, WAITING_FOR_LABELS, Activity
from label_studio_al.store.maps import MapHead
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.build import KEY, config_xml, event
from tests.support.clock import FakeClock
from tests.support.columns import set_columns
from tests.support.status_page import CONFIG, EVIL, HTML, PAGE, Tags, fill, get, press
from tests.support.versions import new_version

LS = "http://label-studio.test"
STUDIO = {"label_studio_url": LS, "label_studio_api_key": "KEY"}  # pragma: allowlist secret


def open_client(tmp_path: Path, store: Store, signer: Signer, **given: Any) -> FlaskClient:
    settings = read_settings(model_dir=tmp_path, **given)
    return create_app(Parts(settings, store, signer, FakeClock()), []).test_client()


@pytest.fixture
def client(tmp_path: Path, store: Store, signer: Signer) -> FlaskClient:
    """A backend with a token."""
    return open_client(tmp_path, store, signer, **STUDIO)


@pytest.fixture
def project(store: Store) -> Store:
    return fill(store)


# -- what is shown ----------------------------------------------------------


def test_without_a_model_nothing_is_said_of_an_earlier_one(client: FlaskClient, project: Store) -> None:
    assert "Keep labelling." in get(client)
    project.versions.publish(
        KEY, new_version(5, 6.0, 0, "coverage", (EVIL, "B"), {}, None, None, [(1, 0.9)]), is_switched=True
    )
    assert client.get("/status").get_json()["projects"][0]["quality"] is None
    for path in ("/", PAGE):
        assert "Keep labelling." not in get(client, path)
        assert "not known yet" in get(client, path)


@pytest.mark.parametrize("headers", [{}, {"Accept": "*/*"}, {"Accept": "application/json"}], ids=str)
def test_who_is_no_browser_gets_json(client: FlaskClient, project: Store, headers: dict[str, str]) -> None:
    assert client.get("/", headers=headers).get_json() == {"status": "UP"}
    assert client.get(PAGE, headers=headers).get_json()["key"] == KEY


def test_empty_backend_says_how_to_connect(client: FlaskClient) -> None:
    assert "label-studio-al connect" in get(client, "/")


def test_overview_links_every_project(client: FlaskClient, project: Store) -> None:
    project.projects.register("9.1700000000", config_xml(), {}, 0.0)
    links = Tags(get(client, "/")).values("href")
    assert {PAGE, "/projects/9.1700000000"} <= set(links)


def test_page_shows_what_status_says(client: FlaskClient, project: Store) -> None:
    page = get(client)
    for shown in ("al-4", "12 of 20 labels", "75 %", "drawn at random to measure the model", "Keep labelling."):
        assert shown in page
    assert f'href="{LS}/projects/3/data?task=1"' in page
    assert "<svg" in page


def test_figures_of_fewer_labels_say_so(client: FlaskClient, project: Store) -> None:
    for path in ("/", PAGE):
        assert "labels were trained on" not in get(client, path)
    trained_on = {7: EVIL, 8: "B", 9: "B"}
    new = new_version(5, 6.0, 0, "margin", (EVIL, "B"), trained_on, None, b"a model", [(1, 0.9)])
    project.versions.publish(KEY, new, is_switched=True)
    for path in ("/", PAGE):
        assert "Measured when 2 labels were trained on." in get(client, path)


def test_what_is_not_read_stands_on_the_page_and_in_status(client: FlaskClient, project: Store) -> None:
    unread = {"reason": "no_text", "n": 4, "task_id": 7, "sentence": "4 tasks have no text (task 7, for example)"}
    set_columns(project, KEY, unread=json.dumps([unread]))
    assert "4 tasks have no text (task 7, for example)." in get(client)
    (found,) = client.get("/status").get_json()["projects"][0]["unread"]
    assert found | {"url": None} == unread | {"url": None}


def test_unknown_project_is_a_page_that_says_so(client: FlaskClient) -> None:
    answer = client.get("/projects/8.1700000000", headers=HTML)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "was never set up here" in answer.text


def test_links_lead_where_browsers_reach_label_studio(tmp_path: Path, project: Store, signer: Signer) -> None:
    given = {"label_studio_url": "http://label-studio:8080", "label_studio_public_url": "https://labels.example.org/"}
    page = get(open_client(tmp_path, project, signer, **given))
    assert 'href="https://labels.example.org/projects/3/data?task=1"' in page
    assert "label-studio:8080" not in page


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ({"activity": Activity(WAITING_FOR_LABELS, {"n": 3}).dumps()}, "Waiting for 3 more labels"),
        ({"activity": Activity(TRAINING, {"n": 20}).dumps()}, "Training on 20 labels"),
        (
            {"progress": '{"what": "sync", "done": 4100, "total": 10000}'},
            "Comparing with Label Studio: 4,100 of 10,000 tasks",
        ),
        ({"progress": '{"what": "features", "done": 5, "total": 9}'}, "Turning texts into features: 5 of 9 tasks"),
        ({"is_paused": True}, "No turns are taken until somebody resumes."),
        ({"parked_revision": 99, "error": "it fails"}, "it fails. Waiting for a change."),
        ({"unreachable_since": 1_799_999_000.0, "error": "no answer"}, "Label Studio is unreachable"),
        ({"error": "it failed"}, "it failed."),
    ],
    ids=str,
)
def test_page_says_what_happens_now(client: FlaskClient, project: Store, columns: dict[str, Any], shown: str) -> None:
    set_columns(project, KEY, **columns)
    assert shown in get(client)
    assert shown.split(":")[0] in get(client, "/")


def test_window_of_status_holds_reasons_and_only_what_is_left(client: FlaskClient, project: Store) -> None:
    project.updates.hear(event("TASKS_DELETED", deleted_tasks=(3,)), 0.0)
    window = client.get("/status").get_json()["projects"][0]["window"]
    assert (window["size"], window["left"]) == (3, 2)
    first, second = window["tasks"]
    assert (first["task_id"], first["is_audit"]) == (1, False)
    assert first[
        "reason"
    ] == f"between \N{LEFT DOUBLE QUOTATION MARK}{EVIL}\N{RIGHT DOUBLE QUOTATION MARK} 0.41 and " + (
        "\N{LEFT DOUBLE QUOTATION MARK}B\N{RIGHT DOUBLE QUOTATION MARK} 0.39"
    )
    assert first["guesses"] == [{"label": EVIL, "probability": 0.41}, {"label": "B", "probability": 0.39}]
    assert (second["task_id"], second["reason"]) == (2, "drawn at random to measure the model")


def test_page_is_behind_basic_auth(tmp_path: Path, project: Store, signer: Signer) -> None:
    client = open_client(tmp_path, project, signer, basic_auth_user="u", basic_auth_pass="p")
    for path in ("/", PAGE, "/static/page.css"):
        answer = client.get(path, headers=HTML)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        with client.get(path, headers=HTML, auth=("u", "p")) as let_in:
            assert let_in.status_code == 200
    assert client.post(f"{PAGE}/pause", headers=HTML).status_code == 401


# -- the map ----------------------------------------------------------------


def record_map(store: Store, points: list[list[int]], **more: Any) -> dict[str, Any]:
    """The project's map, as turns/pictures.py writes it."""
    drawn = {"question": "topic", "labels": [EVIL, "B"], "n_tasks": 3, "n_open": 2, "n_labelled": 1, "grid": None}
    store.maps.record(KEY, MapHead(1_800_000_000.0, len(points)), {}, drawn | {"points": points} | more)
    return drawn


def part_of_map(page: str) -> str:
    """The page's section with the map."""
    return page.partition('id="live-map"')[2].partition("</section>")[0]


def test_map_links_every_task_and_says_the_same_in_a_table(client: FlaskClient, project: Store) -> None:
    assert "It is drawn once the tasks are read." in get(client)
    # Label, no label, and what is asked next.
    record_map(project, [[2, 0, 1000, 0, 0], [3, 500, 500, -1, 0], [1, 1000, 0, -1, 1]])
    section = part_of_map(get(client))
    svg, _, table = section.partition("<details")
    for task_id in (1, 2, 3):
        link = f'href="{LS}/projects/3/data?task={task_id}"'
        assert link in svg
        assert link in table
    # A label's shape, the dot of an open task and the ring of what is asked next, at their places.
    assert re.findall(r'href="#(sign-\w+)" x="([\d.]+)" y="([\d.]+)"', svg) == [
        ("sign-open", "328.0", "205.0"),
        ("sign-l0", "32.0", "394.0"),
        ("sign-next", "624.0", "16.0"),
    ]
    rows = re.findall(r"#(\d)</span></td><td>(\w\d)</td><td[^>]*>(.*?)</td>", table)
    assert [(*where, unescape(words)) for *where, words in rows] == [
        ("1", "L1", "asked next"),
        ("3", "G5", "open"),
        ("2", "A8", EVIL),
    ]
    assert EVIL not in section
    # By keyboard, each task is met once, in the table.
    assert svg.count('tabindex="-1"') == 3
    assert "tabindex" not in table.partition("<table")[2]


def test_map_of_a_large_pool_shades_where_open_tasks_are(client: FlaskClient, project: Store) -> None:
    grid = {"columns": 60, "rows": 40, "counts": [[0, 1], [61, 1_000]]}
    record_map(project, [[1, 1000, 0, -1, 1]], n_tasks=100_000, n_open=99_000, grid=grid)
    section = part_of_map(get(client))
    # The first cell of the first row, faintly, and the second one of the second row.
    assert re.findall(r'class="shade (s\d)" d="(.*?)"', section) == [
        ("s1", "M32.0 16.0H41.9V25.5H32.0z"),
        ("s5", "M41.9 25.5H51.7V34.9H41.9z"),
    ]
    assert "99,000 open tasks" in section
    assert "of 100,000" in section


def test_map_that_a_page_has_is_not_sent_again(client: FlaskClient, project: Store) -> None:
    record_map(project, [[1, 1000, 0, -1, 1]])
    assert client.get("/status").get_json()["projects"][0]["map"] == {
        "made_at": "2027-01-15T08:00:00.000+00:00",
        "n_points": 1,
    }
    stamps = Tags(get(client)).values("data-stamp")
    again = client.get(PAGE, query_string={"have": stamps[0]}, headers=HTML).text
    assert "data-kept" in again
    assert "sign-next" not in again
    project.maps.record(KEY, MapHead(1_800_000_001.0, 0), {}, record_map(project, []) | {"points": []})
    assert "data-kept" not in client.get(PAGE, query_string={"have": stamps[0]}, headers=HTML).text


def test_page_with_the_largest_map_has_a_bounded_size(client: FlaskClient, project: Store) -> None:
    without = len(get(client))
    record_map(project, [[10**9 + n, n % 1000, n % 997, n % 3 - 1, int(n > 1900)] for n in range(2_000)], n_tasks=2_000)
    assert len(get(client)) - without < 500_000


# -- buttons ----------------------------------------------------------------


def test_pause_and_resume(client: FlaskClient, project: Store) -> None:
    answer = press(client, "pause")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{PAGE}?done=pause")
    assert project.projects.get(KEY).is_paused
    assert "Paused." in get(client, answer.headers["Location"])
    press(client, "resume")
    assert not project.projects.get(KEY).is_paused


def test_retrain_asks_for_a_version(client: FlaskClient, project: Store) -> None:
    press(client, "retrain")
    row = project.projects.get(KEY)
    assert row.wanted_revision == row.revision


def test_settings_apply_at_once_and_are_to_be_written(client: FlaskClient, project: Store) -> None:
    assert press(client, "settings", strategy="entropy", window="30").status_code == 303
    row = project.projects.get(KEY)
    assert row.extra_params == row.wanted_params == {"strategy": "entropy", "window": 30}
    assert row.wanted_revision == row.revision
    assert client.get("/status").get_json()["projects"][0]["settings_pending"]


def test_setup_with_the_settings_from_before_undoes_nothing(client: FlaskClient, project: Store) -> None:
    press(client, "settings", strategy="entropy")
    body = {"project": KEY, "schema": CONFIG, "extra_params": {"strategy": "margin"}}
    assert client.post("/setup", json=body).status_code == 200
    assert project.projects.get(KEY).extra_params == {"strategy": "entropy"}
    project.projects.settle_settings(KEY, {"strategy": "entropy"})
    # From here on Label Studio tells the truth again.
    assert client.post("/setup", json=body).status_code == 200
    assert project.projects.get(KEY).extra_params == {"strategy": "margin"}


def test_wrong_setting_is_refused_with_its_rule(client: FlaskClient, project: Store) -> None:
    answer = press(client, "settings", window="3")
    assert (answer.status_code, answer.mimetype) == (422, "text/html")
    assert "greater than or equal to 5" in answer.text
    assert project.projects.get(KEY).wanted_params is None


def test_without_a_token_settings_cannot_be_written(tmp_path: Path, project: Store, signer: Signer) -> None:
    client = open_client(tmp_path, project, signer)
    assert "they cannot be changed here" in get(client)
    answer = press(client, "settings", strategy="entropy")
    assert answer.status_code == 400
    assert "LABEL_STUDIO_API_KEY" in answer.text
    assert project.projects.get(KEY).extra_params == {"strategy": "margin"}
