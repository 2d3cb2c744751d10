"""A Label Studio whose certificate a private authority has signed."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from label_studio_al.runtime.errors import InvalidSettings, StudioUnreachable
from label_studio_al.runtime.settings import read_settings
from label_studio_al.studio.about import ask_about
from label_studio_al.studio.transport import bounded_client
from label_studio_al.wiring import make_studio

NAMES = ("AL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1 and its key, both in a folder."""
    folder = tmp_path_factory.mktemp("authority")
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    named = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "authority.pem")]
    subprocess.run([*made, *named, *files], check=True, capture_output=True, timeout=60)
    return folder


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"email": "somebody@example.com", "release": "1.23.2"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_what: object) -> None:
        """Say nothing."""


@pytest.fixture
def url(authority: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with that certificate."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "authority.pem", authority / "key.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(20)


def user(url: str, folder: Path) -> str:
    settings = read_settings(model_dir=folder, label_studio_url=url, label_studio_api_key="0" * 40)
    studio = make_studio(settings)
    assert studio is not None
    return studio.projects.user()


@pytest.mark.parametrize("name", NAMES)
def test_private_authority_is_trusted_where_it_is_named(
    url: str, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(authority / "authority.pem"))
    assert user(url, tmp_path) == "somebody@example.com"
    settings = read_settings(model_dir=tmp_path)
    with bounded_client(ca_bundle=settings.ca_bundle) as client:
        assert ask_about(client, url).release == "1.23.2"


def test_sentence_names_the_settings_instead_of_openssl_s_text(url: str, tmp_path: Path) -> None:
    with pytest.raises(StudioUnreachable) as refused:
        user(url, tmp_path)
    with bounded_client() as client, pytest.raises(StudioUnreachable) as unknown:
        ask_about(client, url)
    for sentence in (str(refused.value), str(unknown.value)):
        assert all(name in sentence for name in NAMES)
        assert "not trusted here (self" in sentence
        assert "_ssl.c" not in sentence
        assert "CERTIFICATE_VERIFY_FAILED" not in sentence


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_file_without_certificates_is_refused_by_name(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str | None
) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(name, str(path))
    with pytest.raises(InvalidSettings, match=name) as refused:
        user(url, tmp_path)
    assert str(path) in str(refused.value)
