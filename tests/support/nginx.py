"""nginx, as docs/proxy.md configures it."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from label_studio_al.cli.local import free_port
from tests.support.studio import until

PAGE = Path(__file__).parents[2] / "docs" / "proxy.md"
NAME = "labels.example.org"
MISSING = "no nginx on this machine: apt-get install nginx-light"
# What Debian's nginx.conf says around the files of sites; all that it writes is in its folder.
_AROUND = """\
daemon off;
master_process off;
error_log stderr;
pid nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
{example}
}}
"""
_CERTIFICATE = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]


def find_nginx() -> str:
    """The path of nginx. Skips the test where there is none."""
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    if path is None or shutil.which("openssl") is None:
        pytest.skip(MISSING)
    return path


def example(language: str) -> str:
    """The page's block of a language."""
    (block,) = re.findall(rf"^```{language}\n(.+?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(block)


def environment() -> dict[str, str]:
    """The page's variables."""
    return dict(line.split("=", 1) for line in example("sh").splitlines())


@contextmanager
def serve_example(folder: Path, backend_port: int, *, with_tls: bool = True) -> Iterator[int]:
    """nginx with the page's example, but for its two ports. Gives the port that it listens on.

    Its certificate, which it has signed itself, is in the folder. with_tls: without, for callers that would not trust
    the certificate.
    """
    program, port, text = find_nginx(), free_port(), example("nginx")
    listens = f"listen 127.0.0.1:{port}{' ssl' if with_tls else ''};"
    for theirs, ours in ("listen 443 ssl;", listens), ("127.0.0.1:9090", f"127.0.0.1:{backend_port}"):
        assert text.count(theirs) == 1
        text = text.replace(theirs, ours)
    named = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    files = ["-keyout", str(folder / f"{NAME}.key"), "-out", str(folder / f"{NAME}.crt")]
    subprocess.run([*_CERTIFICATE, *named, *files], check=True, capture_output=True, timeout=60)
    (folder / "nginx.conf").write_text(_AROUND.format(example=text), encoding="utf-8")
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-p", str(folder), "-c", str(folder / "nginx.conf")], stdout=log, stderr=log
        )
    try:
        until(lambda: _listens(process, port, folder / "nginx.log"), "nginx listens")
        yield port
    finally:
        process.terminate()
        process.wait(20)


def client(folder: Path, port: int, **options: object) -> httpx.Client:
    """Calls https://labels.example.org, which is the nginx on that port, and trusts its certificate alone."""
    return httpx.Client(transport=_Resolved(folder / f"{NAME}.crt", port), timeout=20, **options)  # type: ignore[arg-type]


class _Resolved(httpx.HTTPTransport):
    def __init__(self, certificate: Path, port: int) -> None:
        super().__init__(verify=ssl.create_default_context(cafile=str(certificate)))
        self._port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        # The name stays in Host, and in TLS.
        request.extensions["sni_hostname"] = request.url.host
        asked, request.url = request.url, request.url.copy_with(host="127.0.0.1", port=self._port)
        try:
            return super().handle_request(request)
        finally:
            request.url = asked


def _listens(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
