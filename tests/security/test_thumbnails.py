"""Who gets thumbnails: whoever gets the page, of the project's own tasks, and no other file."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from flask.testing import FlaskClient

from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.studio import WEBHOOK_HEADER, webhook_secret
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.build import KEY, OTHER_KEY
from tests.support.clock import FakeClock
from tests.support.thumbnails import ADDRESSES, fill, keep, picture

THUMBNAIL = f"/projects/{KEY}/thumbnails/1"
LOGIN = ("annotators", "pass")
WEBHOOK_KEY = "the key of webhooks"


def open_client(tmp_path: Path, store: Store, signer: Signer, **given: Any) -> FlaskClient:
    keep(tmp_path / "embeddings")
    settings = read_settings(model_dir=tmp_path, **given)
    return create_app(Parts(settings, fill(store), signer, FakeClock()), [WEBHOOK_KEY]).test_client()


@pytest.fixture
def client(tmp_path: Path, store: Store, signer: Signer) -> FlaskClient:
    return open_client(tmp_path, store, signer)


@pytest.fixture
def protected(tmp_path: Path, store: Store, signer: Signer) -> FlaskClient:
    return open_client(tmp_path, store, signer, basic_auth_user=LOGIN[0], basic_auth_pass=LOGIN[1])


@pytest.mark.parametrize(
    "headers",
    [{}, {"Cookie": "al_page=1"}, *({WEBHOOK_HEADER: webhook_secret(WEBHOOK_KEY, key)} for key in (KEY, OTHER_KEY))],
    ids=["none", "cookie", "webhook", "other webhook"],
)
def test_thumbnails_need_the_page_s_credentials(protected: FlaskClient, headers: dict[str, str]) -> None:
    for task in ("1", "99"):
        answer = protected.get(f"/projects/{KEY}/thumbnails/{task}", headers=headers)
        assert (answer.status_code, answer.mimetype) == (401, "application/json")
        assert "ETag" not in answer.headers
    assert protected.get(THUMBNAIL, auth=("annotators", "wrong")).status_code == 401
    assert protected.get(THUMBNAIL, auth=LOGIN).data == picture()
    tag = protected.get(THUMBNAIL, auth=LOGIN).headers["ETag"]
    assert protected.get(THUMBNAIL, headers={**headers, "If-None-Match": tag}).status_code == 401


def test_task_of_another_project_is_not_found(client: FlaskClient, store: Store, tmp_path: Path) -> None:
    fill(store, OTHER_KEY)
    assert client.get(f"/projects/{OTHER_KEY}/thumbnails/1").status_code == 404
    keep(tmp_path / "embeddings", OTHER_KEY, [ADDRESSES[1]], "blue")
    assert client.get(f"/projects/{OTHER_KEY}/thumbnails/1").data == picture("blue")
    assert client.get(THUMBNAIL).data == picture()
    assert client.get("/projects/5.1795343522/thumbnails/1").status_code == 404


@pytest.mark.parametrize(
    "task",
    [
        "..", "../..", "../../state.sqlite", "%2e%2e%2fstate.sqlite", "..%5c..%5cstate.sqlite", "%2fetc%2fpasswd",
        "1%00", "1%0a", "1.jpg", "1/", "0x1", "-1", "+1", "1e0", " 1", "%d9%a1", "", "0", "9" * 5_000, "9" * 18,
        "0123456789abcdef",
    ],
    ids=lambda task: ascii(task[:20]),
)  # fmt: skip
def test_no_name_leads_to_a_file(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(Path, "read_bytes", lambda self: read.append(self))
    path = f"/projects/{KEY}/thumbnails/{unquote(task)}".encode().decode("latin-1")
    answer = client.get("/", environ_overrides={"PATH_INFO": path})
    assert answer.status_code in (308, 404)
    assert read == []


def test_task_s_own_text_leads_to_no_other_file(client: FlaskClient, store: Store, tmp_path: Path) -> None:
    """A file's name is made of numbers only."""
    keep(tmp_path / "embeddings", contents=["../../../secret", "/etc/passwd"])
    names = {path.name for path in tmp_path.rglob("*.jpg")}
    assert all(len(name) == 20 and int(name[:16], 16) >= 0 for name in names)
    assert not list(tmp_path.parent.glob("secret*"))


def test_other_web_pages_and_caches_get_no_thumbnails(client: FlaskClient) -> None:
    answer = client.get(THUMBNAIL)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "private" in answer.headers["Cache-Control"]
    assert client.get(THUMBNAIL, headers={"Host": "evil.example"}).status_code == 403
    assert client.post(THUMBNAIL).status_code == 405


def test_page_loads_images_from_itself_only(client: FlaskClient) -> None:
    policy = client.get(f"/projects/{KEY}", headers={"Accept": "text/html"}).headers["Content-Security-Policy"]
    assert "img-src 'self';" in policy
