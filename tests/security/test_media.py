"""Images are fetched where the operator said, within limits, and our token goes to Label Studio alone."""

from __future__ import annotations

import gzip
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_al.labeling.media import media_key
from label_studio_al.runtime.errors import ImageUnusable, InvalidSettings, StudioRefused, StudioUnreachable
from label_studio_al.runtime.hosts import Reach, read_hosts
from label_studio_al.runtime.settings import read_settings
from label_studio_al.studio import transport
from label_studio_al.studio.addresses import MAX_BYTES, AtHost, AtStudio, Places
from label_studio_al.studio.api import Api
from label_studio_al.studio.circuit import FAILURES_ALLOWED
from label_studio_al.studio.media import HELD_SECONDS, SLOW_ALLOWED, Media
from label_studio_al.studio.outside import CheckedNetwork, is_public, may_be_named
from label_studio_al.studio.transport import Limits, bounded_transport, direct_transport, tls_context
from label_studio_al.wiring import make_studio
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import TOKEN
from tests.support.logged import everything_logged
from tests.support.media import FileServer, Names, OneServer, file_server, without_end

IMAGE = b"\x89PNG and so on"
PUBLIC, OTHER_PUBLIC, PRIVATE = "93.184.216.34", "8.8.4.4", "10.1.2.3"
SECONDS = 0.4
ROOMY = Limits(n_bytes=100_000)
QUICK = Limits(connect_seconds=SECONDS, seconds=SECONDS, n_bytes=100_000)
OK = (200, {}, IMAGE)
SIGNED = "X-Amz-Signature=5f3c1a9b7e&X-Amz-Credential=AKIAEXAMPLE"


@dataclass
class World:
    """Label Studio and one more server, under any name. fetch: by a Media that may ask these hosts."""

    studio: FileServer
    other: FileServer
    names: Names
    network: OneServer
    opened: ExitStack
    token: str = TOKEN
    limits: Limits = ROOMY

    def media(
        self, hosts: str = "", public_url: str | None = None, limits: Limits | None = None, url: str | None = None
    ) -> Media:
        limits = limits or self.limits
        inside = bounded_transport(limits)
        client = self.opened.enter_context(httpx.Client(transport=inside))
        outside = direct_transport(CheckedNetwork(self.names, self.network), limits)
        self.opened.callback(outside.close)
        api = Api(url or self.studio.url, self.token, client, FakeClock())
        return Media(api, Reach(read_hosts(hosts), public_url), inside=inside, outside=outside)

    def fetch(self, value: object, hosts: str = "", public_url: str | None = None) -> bytes:
        return self.media(hosts, public_url).fetch(value, 7)

    def refused(self, value: object, hosts: str = "", public_url: str | None = None) -> ImageUnusable:
        with pytest.raises(ImageUnusable) as caught:
            self.fetch(value, hosts, public_url)
        return caught.value

    def is_untouched(self) -> bool:
        return not (self.studio.asked or self.other.asked or self.network.connected)


known_context = cache(tls_context)


@pytest.fixture(autouse=True)
def _one_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is encrypted, and reading the authorities takes longer than a test."""
    monkeypatch.setattr(transport, "tls_context", known_context)


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as opened, file_server() as studio, file_server() as other:
        names = Names({"images.test": [[PUBLIC]], "inside.test": [[PRIVATE]], "evil": [[PUBLIC]]})
        yield World(studio, other, names, OneServer(other), opened)
        opened.close()


def leads_to(url: str, status: int = 303) -> tuple[int, dict[str, str], bytes]:
    return status, {"Location": url}, b""


def resolving(uri: str) -> str:
    return f"/tasks/7/resolve/?fileuri={urlsafe_b64encode(uri.encode()).decode()}"


# -- from Label Studio -------------------------------------


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ("/data/upload/1/abc-cat.png", "/data/upload/1/abc-cat.png"),
        ("/data/upload/1/a%20cat%C3%A4.png", "/data/upload/1/a%20cat%C3%A4.png"),
        ("/data/upload/1/a cat\u00e4.png", "/data/upload/1/a%20cat%C3%A4.png"),
        ("/data/local-files/?d=photos/a%2Fb.png", "/data/local-files/?d=photos/a%2Fb.png"),
        ("/data/local-files?d=a.png", "/data/local-files/?d=a.png"),
        (resolving("s3://bucket/a.png"), resolving("s3://bucket/a.png")),
        ("/tasks/9/presign/?fileuri=abc", "/tasks/9/presign/?fileuri=abc"),
        ("/projects/9/file-proxy/?url=abc", "/projects/9/file-proxy/?url=abc"),
        ("/static/samples/sample.jpg#top", "/static/samples/sample.jpg"),
        ("s3://bucket/a b.png", resolving("s3://bucket/a b.png")),
        ("gs://bucket/a.png", resolving("gs://bucket/a.png")),
        ("azure-blob://container/a.png", resolving("azure-blob://container/a.png")),
        ("{studio}/data/upload/1/x.png", "/data/upload/1/x.png"),
        ("{studio}/tasks/7/resolve/?fileuri=abc", "/tasks/7/resolve/?fileuri=abc"),
        ("https://labels.example.org/data/upload/1/x.png", "/data/upload/1/x.png"),
        ("HTTPS://LABELS.example.org:443/labels/data/upload/1/x.png", "/data/upload/1/x.png"),
        ("/labels/data/upload/1/x.png", "/data/upload/1/x.png"),
    ],
)
def test_file_of_label_studio_is_asked_for_with_the_token(world: World, value: str, asked: str) -> None:
    path = asked.partition("?")[0]
    world.studio.answers[path] = OK
    public_url = "https://labels.example.org" + ("/labels" if "/labels/" in value else "")
    assert world.fetch(value.format(studio=world.studio.url), public_url=public_url) == IMAGE
    assert [one.path for one in world.studio.asked] == [asked]
    assert world.studio.asked[0].headers["authorization"] == f"Token {TOKEN}"
    assert world.studio.asked[0].headers["accept"] == "*/*"
    assert not world.other.asked


def test_label_studio_below_a_path_is_asked_below_it(world: World) -> None:
    world.studio.answers["/sub/data/upload/1/x.png"] = OK
    media = world.media(url=f"{world.studio.url}/sub")
    for value in ("/data/upload/1/x.png", "/sub/data/upload/1/x.png", f"{world.studio.url}/sub/data/upload/1/x.png"):
        assert media.fetch(value, 7) == IMAGE


def test_outdated_access_token_is_renewed(world: World) -> None:
    token = jwt.encode({"token_type": "refresh", "exp": time.time() + 3600}, "k" * 32, algorithm="HS256")
    seen: list[str] = []
    fresh = jwt.encode({"token_type": "access", "exp": time.time() + 300}, "k" * 32, algorithm="HS256")

    def serve(request: BaseHTTPRequestHandler) -> None:
        seen.append(world.studio.asked[-1].headers["authorization"])
        status, content = (401, b"{}") if len(seen) == 1 else (200, IMAGE)
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    world.studio.answers["/data/upload/1/x.png"] = serve
    world.token = token
    media = world.media()
    media._api._tokens._tokens_client._access_token = fresh
    media._api._tokens._tokens_client._expiration_time = time.time() + 300
    with pytest.raises(StudioUnreachable):
        # This server gives no new ones.
        media.fetch("/data/upload/1/x.png", 7)
    assert seen == [f"Bearer {fresh}"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/projects/1/export?exportType=JSON",
        "/api/token/refresh/",
        "/user/logout/",
        "/data/",
        "/data/upload/",
        "/data/uploads/x.png",
        "/data/avatars/x.png",
        "/data/upload/../../api/users",
        "/data/upload/%2e%2e/%2e%2e/api/users",
        "/data/upload/%252e%252e%252f%252e%252e/api/users",
        "/data/upload/..%2fapi",
        "/data/upload/a/..%5c..%5capi",
        "/data/upload/./x.png",
        "/data/local-files/../api?d=x",
        "/data/../../evil",
        "/data%2fupload/1/x.png",
        "/tasks/7/resolve/../../../api?fileuri=x",
        "/tasks/7/resolve/x?fileuri=abc",
        "/tasks//resolve/?fileuri=abc",
        "/tasks/7?fileuri=abc",
        "/DATA/upload/1/x.png",
        "/",
    ],
)
@pytest.mark.parametrize("before", ["", "{studio}"])
def test_no_other_path_of_label_studio_is_asked(world: World, before: str, path: str) -> None:
    assert world.refused(before.format(studio=world.studio.url) + path).reason == "refused"
    assert world.is_untouched()


@pytest.mark.parametrize(
    ("status", "reason"), [(404, "missing"), (403, "forbidden"), (424, "unavailable"), (206, "unavailable")]
)
def test_what_label_studio_says_of_a_file_is_told(world: World, status: int, reason: str) -> None:
    world.studio.answers["/data/upload/1/x.png"] = (status, {}, b"{}")
    error = world.refused("/data/upload/1/x.png")
    assert error.reason == reason
    assert str(error) == f"Label Studio answered {status} for an image"


@pytest.mark.parametrize("status", [429, 503])
def test_label_studio_that_is_busy_is_not_the_images_fault(world: World, status: int) -> None:
    world.studio.answers["/data/upload/1/x.png"] = (status, {}, b"{}")
    with pytest.raises(StudioUnreachable):
        world.fetch("/data/upload/1/x.png")


def test_refused_token_is_not_the_images_fault(world: World) -> None:
    world.studio.answers["/data/upload/1/x.png"] = (401, {}, b"{}")
    with pytest.raises(StudioRefused, match="refuses LABEL_STUDIO_API_KEY"):
        world.fetch("/data/upload/1/x.png")


def test_label_studio_that_is_away_is_left_alone(world: World) -> None:
    media = world.media(url="http://127.0.0.1:9")
    for _ in range(FAILURES_ALLOWED):
        with pytest.raises(StudioUnreachable):
            media.fetch("/data/upload/1/x.png", 7)
    with pytest.raises(StudioUnreachable, match="since"):
        media.fetch("/data/upload/1/x.png", 7)


@pytest.mark.parametrize("value", ["/data/upload/1/" + "\u6f22" * 1_000, "s3://bucket/" + "x" * 4_000])
def test_longer_address_than_servers_take_is_not_asked_for(world: World, value: str) -> None:
    assert world.refused(value).reason == "refused"
    assert world.is_untouched()


def test_uploaded_file_that_is_gone_is_missing_though_label_studio_answers_500(world: World) -> None:
    world.studio.answers["/data/upload/1/x.png"] = (500, {}, b"")
    world.studio.answers["/data/local-files/"] = (500, {}, b"")
    assert world.refused("/data/upload/1/x.png").reason == "missing"
    assert world.refused("/data/local-files/?d=x.png").reason == "unavailable"


def broken_off(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(b"half")


def badly_packed(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Encoding", "gzip")
    request.end_headers()
    request.wfile.write(b"no gzip")


@pytest.mark.parametrize(
    "answer",
    [broken_off, badly_packed, without_end(b"."), without_end(b".", 30), (502, {}, b""), leads_to("data:x")],
    ids=["broken off", "badly packed", "without end", "slow", "502", "odd redirect"],
)
@pytest.mark.parametrize("value", ["/data/upload/1/x.png", "s3://bucket/x.png"])
def test_no_image_makes_label_studio_unreachable(world: World, answer: Any, value: str) -> None:
    world.studio.answers |= {"/data/upload/1/x.png": answer, "/tasks/7/resolve/": answer}
    media = world.media(limits=Limits(seconds=0.1, n_bytes=1_000))
    for _ in range(FAILURES_ALLOWED + 1):
        with pytest.raises(ImageUnusable):
            media.fetch(value, 7)
    assert media._api._circuit._n_failures == 0


# -- from storages, by way of Label Studio ------------------


def test_storages_address_is_followed_without_the_token(world: World) -> None:
    world.studio.answers["/tasks/7/resolve/"] = (
        303,
        {"Location": f"http://images.test/bucket/a.png?{SIGNED}", "Set-Cookie": "sessionid=secret; Path=/"},
        b"",
    )
    world.other.answers["/bucket/a.png"] = OK
    assert world.fetch("s3://bucket/a.png", hosts="images.test") == IMAGE
    (asked,) = world.other.asked
    assert asked.path == f"/bucket/a.png?{SIGNED}"
    assert asked.headers.keys() == {"host", "accept", "user-agent", "accept-encoding"}
    assert asked.headers["host"] == "images.test"


@pytest.mark.parametrize(
    "target",
    [
        "http://evil/x.png",
        "//evil/x.png",
        "/api/projects",
        "/data/upload/1/x.png",
        "{studio}/data/upload/1/x.png",
        "{studio}/api/projects",
        "http://images.test@evil/x.png",
        "http://images.test:81/x.png",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "",
    ],
)
def test_storages_address_must_be_a_named_hosts(world: World, target: str) -> None:
    world.studio.answers["/tasks/7/resolve/"] = leads_to(target.format(studio=world.studio.url))
    error = world.refused("s3://bucket/a.png", hosts="images.test")
    assert error.reason == "refused"
    assert len(world.studio.asked) == 1
    assert not world.other.asked


def test_only_storages_may_lead_on(world: World) -> None:
    world.studio.answers["/data/upload/1/x.png"] = leads_to("http://images.test/x.png", 302)
    assert world.refused("/data/upload/1/x.png", hosts="images.test").reason == "refused"
    assert not world.other.asked


def test_storage_is_followed_once(world: World) -> None:
    world.studio.answers["/tasks/7/resolve/"] = leads_to("http://images.test/x.png")
    world.other.answers["/x.png"] = leads_to("http://images.test/y.png", 302)
    world.other.answers["/y.png"] = OK
    assert world.refused("s3://bucket/a.png", hosts="images.test").reason == "refused"
    assert [one.path for one in world.other.asked] == ["/x.png"]


# -- from other hosts ---------------------------------------


def test_named_host_is_asked_without_the_token_and_at_the_address_that_was_checked(world: World) -> None:
    world.names.addresses["images.test"] = [[PUBLIC], ["127.0.0.1"], ["169.254.169.254"]]
    world.other.answers["/x.png"] = OK
    assert world.fetch("http://images.test/x.png?a=b#c", hosts="images.test") == IMAGE
    assert world.network.connected == [(PUBLIC, 80)]
    assert world.names.asked == ["images.test"]
    (asked,) = world.other.asked
    assert asked.path == "/x.png?a=b"
    assert asked.headers.keys() == {"host", "accept", "user-agent", "accept-encoding"}
    assert not world.studio.asked


def test_name_that_leads_inside_the_next_time_is_refused_the_next_time(world: World) -> None:
    world.names.addresses["images.test"] = [[PUBLIC], ["127.0.0.1"]]
    world.other.answers["/x.png"] = (200, {"Connection": "close"}, IMAGE)
    media = world.media("images.test")
    assert media.fetch("http://images.test/x.png", 7) == IMAGE
    with pytest.raises(ImageUnusable, match="has no public address"):
        media.fetch("http://images.test/x.png", 7)
    assert [address for address, _ in world.network.connected] == [PUBLIC]


@pytest.mark.parametrize(
    ("value", "hosts", "address"),
    [
        ("http://images.test/x.png", "IMAGES.test", (PUBLIC, 80)),
        ("http://Images.Test:80/x.png", "images.test", (PUBLIC, 80)),
        ("http://images.test:8000/x.png", "a.test, images.test:8000", (PUBLIC, 8000)),
        ("http://10.9.8.7:9000/x.png", "10.9.8.7:9000", ("10.9.8.7", 9000)),
        ("http://[FD00:0::9]:9000/x.png", "[fd00::9]:9000", ("fd00::9", 9000)),
    ],
)
def test_hosts_are_named_with_or_without_a_port_or_in_numbers(
    world: World, value: str, hosts: str, address: tuple[str, int]
) -> None:
    world.other.answers["/x.png"] = OK
    assert world.fetch(value, hosts=hosts) == IMAGE
    assert world.network.connected == [address]


NAMED = "images.test inside.test"


@pytest.mark.parametrize(
    "value",
    [
        "http://evil/x.png",
        "//evil/x.png",
        "/\\evil/x.png",
        "\\\\evil\\x.png",
        "http:/\\evil/x.png",
        "http:\\\\evil\\x.png",
        "http:evil/x.png",
        "http:///evil/x.png",
        "https:images.test/x.png",
        "http://images.test@evil/x.png",
        "http://user:password@images.test/x.png",  # pragma: allowlist secret
        "http://@images.test/x.png",
        "http://evil#@images.test/x.png",
        "http://evil?@images.test/x.png",
        "http://evil\\@images.test/x.png",
        "http://images.test\\.evil/x.png",
        "http://images.test.evil/x.png",
        "http://images.test./x.png",
        "http://images.test%2eevil/x.png",
        "http://images.test%00.evil/x.png",
        "http://images.test:80@evil/x.png",
        "http://images.test:0/x.png",
        "http://images.test:81/x.png",
        "http://images.test:/x.png",
        "http://images.test:+80/x.png",
        "http://images.test:99999999999/x.png",
        "http://images.test:\u0668\u0660/x.png",
        "http://im\u0430ges.test/x.png",
        "http://\uff49mages.test/x.png",
        "http://images\u3002test/x.png",
        "http://images.test\u2044evil/x.png",
        "http:// images.test/x.png",
        " http://images.test/x.png",
        "http://images.test\t/x.png",
        "ht\ntp://images.test/x.png",
        "http://images.test/x.png\r\nHost: evil",
        "http://*.test/x.png",
        "http://2130706433/x.png",
        "http://0x7f000001/x.png",
        "http://0177.0.0.1/x.png",
        "http://127.1/x.png",
        "http://127.0.0.1/x.png",
        "http://[::1]/x.png",
        "http://[::ffff:127.0.0.1]/x.png",
        "http://[fe80::1%25eth0]/x.png",
        "http://[images.test]/x.png",
        "http://169.254.169.254/latest/meta-data/",
        "ftp://images.test/x.png",
        "file:///etc/passwd",
        "file://images.test/etc/passwd",
        "gopher://images.test:80/_x",
        "javascript:alert(1)",
        "blob:http://images.test/x",
        "redis://images.test/x",
        "unix:/run/docker.sock",
        "images.test/x.png",
        "x.png",
        "../x.png",
        "?x",
        "",
        "http://",
        "http://images.test/" + "x" * 10_000,
        None,
        5,
        ["http://images.test/x.png"],
        {"url": "http://images.test/x.png"},
    ],
    ids=str,
)
def test_whatever_else_stands_in_a_task_is_refused_before_anybody_is_asked(world: World, value: object) -> None:
    error = world.refused(value, hosts=NAMED, public_url="https://labels.example.org")
    assert error.reason == "refused"
    assert world.is_untouched()
    assert not world.names.asked


@pytest.mark.parametrize(
    "value",
    [
        "http://labelstudio@evil/data/upload/1/x.png",
        "http://labels.example.org@evil/data/upload/1/x.png",
        "https://labels.example.org.evil/data/upload/1/x.png",
        "http://labels.example.org/data/upload/1/x.png",
        "https://labels.example.org:8443/data/upload/1/x.png",
        "https://LABELS.example.org.:443/data/upload/1/x.png",
        "https://evil/data/upload/1/x.png",
    ],
)
def test_what_looks_like_label_studio_is_not_asked(world: World, value: str) -> None:
    assert world.refused(value, public_url="https://labels.example.org").reason == "refused"
    assert world.is_untouched()


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        [PRIVATE],
        ["192.168.1.1", "172.16.0.1"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["0.0.0.0"],
        ["224.0.0.1"],
        ["255.255.255.255"],
        ["::1"],
        ["::"],
        ["::ffff:127.0.0.1"],
        ["::ffff:10.0.0.1"],
        ["::127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["64:ff9b::a00:1"],
        ["2002:7f00:1::"],
        ["2001:0:7f00:1::"],
        ["fe80::1%eth0"],
        ["fec0::1"],
        ["fd00::1"],
        ["ff02::1"],
        ["no address"],
        [],
    ],
    ids=str,
)
def test_name_of_a_private_address_is_refused(world: World, addresses: list[str]) -> None:
    world.names.addresses["images.test"] = [addresses]
    error = world.refused("http://images.test/x.png", hosts="images.test")
    assert error.reason == "refused"
    assert "images.test has no public address" in str(error)
    assert world.is_untouched()


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "[fe80::1]", "[::ffff:169.254.169.254]"])
def test_metadata_addresses_are_refused_even_where_they_are_named(world: World, host: str) -> None:
    assert world.refused(f"http://{host}/latest/", hosts=host).reason == "refused"
    assert world.is_untouched()


def test_public_address_is_taken_where_a_name_has_private_ones_too(world: World) -> None:
    world.names.addresses["images.test"] = [["127.0.0.1", "::ffff:10.0.0.1", PUBLIC]]
    world.other.answers["/x.png"] = OK
    assert world.fetch("http://images.test/x.png", hosts="images.test") == IMAGE
    assert world.network.connected == [(PUBLIC, 80)]


def test_next_address_is_tried_where_nobody_answers(world: World) -> None:
    world.names.addresses["images.test"] = [[PUBLIC, OTHER_PUBLIC]]
    world.network._dead = (PUBLIC,)
    world.other.answers["/x.png"] = OK
    assert world.fetch("http://images.test/x.png", hosts="images.test") == IMAGE
    world.network._dead = (PUBLIC, OTHER_PUBLIC)
    error = world.refused("http://images.test/x.png", hosts="images.test")
    assert (error.reason, error.may_pass) == ("unavailable", True)


def test_proxy_of_the_environment_does_not_see_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", world.studio.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    world.other.answers["/x.png"] = OK
    assert world.fetch("http://images.test/x.png", hosts="images.test") == IMAGE
    assert world.network.connected == [(PUBLIC, 80)]
    assert not world.studio.asked


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_of_another_host_is_followed(world: World, status: int) -> None:
    world.other.answers["/x.png"] = leads_to("http://images.test/y.png", status)
    assert world.refused("http://images.test/x.png", hosts="images.test").reason == "refused"
    assert len(world.other.asked) == 1


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "missing"), (410, "missing"), (403, "forbidden"), (401, "forbidden"), (500, "unavailable"), (304, None)],
)
def test_what_another_host_says_is_told(world: World, status: int, reason: str | None) -> None:
    world.other.answers["/x.png"] = (status, {}, b"")
    error = world.refused("http://images.test/x.png?signature=5f3c1a9b7e", hosts="images.test")
    assert error.reason == (reason or "unavailable")
    assert str(error) == f"images.test answered {status} for an image"


def test_unknown_name_is_told(world: World) -> None:
    error = world.refused("http://gone.test/x.png", hosts="gone.test")
    assert error.reason == "unavailable"
    assert str(error) == "gone.test does not give an image: its name cannot be resolved"


# -- limits ------------------------------------------------


SOURCES = [("/data/upload/1/x.png", "studio"), ("http://images.test/data/upload/1/x.png", "other")]


@pytest.mark.parametrize(("value", "server"), SOURCES)
@pytest.mark.parametrize("pause_seconds", [0.05, 30.0])
def test_slow_answer_ends_in_time(world: World, value: str, server: str, pause_seconds: float) -> None:
    world.limits = QUICK
    getattr(world, server).answers["/data/upload/1/x.png"] = without_end(b".", pause_seconds)
    began = time.monotonic()
    error = world.refused(value, hosts="images.test")
    assert (error.reason, error.may_pass) == ("slow", True)
    assert time.monotonic() - began < 5 * SECONDS


def test_a_slow_host_keeps_others_waiting_a_few_times_only(world: World) -> None:
    world.limits = QUICK
    world.other.answers["/x.png"] = without_end(b".", 30.0)
    world.other.answers["/y.png"] = (200, {}, IMAGE)
    media = world.media("images.test,evil")
    for _ in range(2 * SLOW_ALLOWED):
        with pytest.raises(ImageUnusable, match=r"images\.test did not give an image"):
            media.fetch("http://images.test/x.png", 7)
    assert len(world.other.asked) == SLOW_ALLOWED
    assert media.fetch("http://evil/y.png", 7) == IMAGE
    clock = media._api.clock
    assert isinstance(clock, FakeClock)
    clock.advance(HELD_SECONDS)
    assert media.fetch("http://images.test/y.png", 7) == IMAGE


def test_label_studio_is_asked_for_one_file_at_a_time(world: World) -> None:
    running, most = [0], [0]

    def answer(request: BaseHTTPRequestHandler) -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.05)
        running[0] -= 1
        request.send_response(200)
        request.send_header("Connection", "close")
        request.send_header("Content-Length", str(len(IMAGE)))
        request.end_headers()
        request.wfile.write(IMAGE)

    world.studio.answers["/data/upload/1/x.png"] = answer
    media = world.media()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda task_id: media.fetch("/data/upload/1/x.png", task_id), range(8)))
    assert (found, most) == ([IMAGE] * 8, [1])


@pytest.mark.parametrize(("value", "server"), SOURCES)
def test_answer_without_end_ends(world: World, value: str, server: str) -> None:
    getattr(world, server).answers["/data/upload/1/x.png"] = without_end(b"." * 10_000)
    error = world.refused(value, hosts="images.test")
    assert (error.reason, error.may_pass) == ("too_large", False)


@pytest.mark.parametrize(("value", "server"), SOURCES)
def test_packed_answer_is_not_unpacked_beyond_the_limit(world: World, value: str, server: str) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    getattr(world, server).answers["/data/upload/1/x.png"] = (200, {"Content-Encoding": "gzip"}, bomb)
    assert world.refused(value, hosts="images.test").reason == "too_large"


def test_image_of_the_bytes_that_json_is_counted_by_is_taken(world: World) -> None:
    content = b"," * 17_000_000
    world.other.answers["/x.png"] = (200, {}, content)
    limits = Media.__init__.__globals__["LIMITS"]
    assert world.media("images.test", limits=limits).fetch("http://images.test/x.png", 7) == content


def test_name_that_is_not_resolved_in_time_is_given_up(world: World) -> None:
    def never(_: str) -> list[str]:
        time.sleep(3)
        return [PUBLIC]

    world.names = never  # type: ignore[assignment]
    media = world.media("images.test", limits=QUICK)
    began = time.monotonic()
    with pytest.raises(ImageUnusable) as caught:
        media.fetch("http://images.test/x.png", 7)
    assert caught.value.reason == "slow"
    assert time.monotonic() - began < 2.5


def data_url(content: bytes, head: str = "data:image/png;base64,") -> str:
    return head + b64encode(content).decode()


@pytest.mark.parametrize(
    "value",
    [
        data_url(IMAGE),
        data_url(IMAGE, "DATA:;base64,"),
        data_url(IMAGE, "data:image/png;charset=utf-8;base64,"),
        data_url(IMAGE).rstrip("="),
        data_url(IMAGE).replace("=", "%3D").replace("+", "%2b"),
    ],
)
def test_image_in_its_address_is_decoded(world: World, value: str) -> None:
    assert world.fetch(value) == IMAGE
    assert world.is_untouched()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("data:image/png;base64,AAAA*AAA", "broken"),
        ("data:image/png;base64,\u00e4", "broken"),
        ("data:image/png;base64,A", "broken"),
        ("data:image/svg+xml,<svg/>", "not_an_image"),
        ("data:", "not_an_image"),
        ("data:" + "x" * 1_000 + ";base64,AAAA", "not_an_image"),
    ],
)
def test_other_data_is_refused(world: World, value: str, reason: str) -> None:
    assert world.refused(value).reason == reason


@pytest.mark.parametrize("n_bytes", [MAX_BYTES + 1, 75 * 1024 * 1024])
def test_data_has_a_limit(world: World, n_bytes: int) -> None:
    began = time.monotonic()
    assert world.refused("data:image/png;base64," + "A" * (n_bytes * 4 // 12 * 4 + 4)).reason == "too_large"
    assert time.monotonic() - began < 2


# -- what is said and logged --------------------------------


def test_signatures_and_paths_are_neither_said_nor_logged(world: World) -> None:
    secret = "SECRETPATH"  # pragma: allowlist secret
    url = f"http://images.test/{secret}.png?{SIGNED}"
    world.studio.answers["/tasks/7/resolve/"] = leads_to(url)
    with everything_logged() as log:
        said = [
            str(world.refused("s3://bucket/a.png", hosts="images.test")),
            str(world.refused("s3://bucket/a.png", hosts="other.test")),
            str(world.refused(url)),
            str(world.refused(f"http://user:{secret}@images.test/?{SIGNED}", hosts="images.test")),
        ]
        world.network._dead = (PUBLIC,)
        said.append(str(world.refused(url, hosts="images.test")))
    written = "\n".join(line for line in log.getvalue().split("\n") if " DEBUG " not in line)
    for text in (*said, written):
        assert secret not in text
        assert "5f3c1a9b7e" not in text  # pragma: allowlist secret


# -- rules, for whatever may come ---------------------------


PLACES = Places("http://studio.internal:8080/ls", "https://labels.example.org", ("images.test", "10.0.0.9:9000"))
HOSTS = ("images.test", "10.0.0.9")
TRICKY = st.text(alphabet="/\\@:.?#%&;=[]abehilmnopstuw0123456789 \t\n\u3002\uff0f\u2044", max_size=30)
PIECES = st.sampled_from(
    [
        "http://",
        "https://",
        "//",
        "/",
        "\\",
        "@",
        ":",
        "#",
        "?",
        "%2f",
        "%2e",
        "..",
        "images.test",
        "evil",
        "127.0.0.1",
        "studio.internal:8080",
        "labels.example.org",
        "/ls",
        "/data/upload/",
        "/tasks/1/resolve/",
        "s3:",
        "file:",
        "80",
    ]
)
VALUES = st.lists(PIECES | TRICKY, max_size=7).map("".join)


@given(VALUES)
def test_only_what_is_allowed_is_ever_found(value: str) -> None:
    try:
        found = PLACES.find(value, 7)
    except ImageUnusable:
        return
    if isinstance(found, AtHost):
        parts = urlsplit(found.url)
        assert parts.hostname == found.host in HOSTS
        assert parts.username is None
        assert (parts.scheme, parts.port) in {("http", 80), ("https", 443), ("http", 9000), ("https", 9000)}
    elif isinstance(found, AtStudio):
        path = urlsplit(f"http://x/{found.path}").path
        assert path.startswith(
            ("/data/upload/", "/data/local-files/", "/tasks/", "/projects/", "/static/", "/storage-")
        )
        assert ".." not in path.split("/")
        assert found.path.isascii()
        assert found.path.isprintable()


@given(st.ip_addresses())
def test_addresses_are_public_or_not_however_they_are_written(address: object) -> None:
    found = ip_address(str(address))
    if found.version == 4:
        assert is_public(found) <= found.is_global
        for form in (f"::ffff:{found}", f"64:ff9b::{found}"):
            assert is_public(ip_address(form)) == is_public(found)
            assert may_be_named(ip_address(form)) == may_be_named(found)
    if is_public(found):
        assert may_be_named(found)


@pytest.mark.parametrize("address", [PUBLIC, "2606:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"])
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))


# -- keys, settings -----------------------------------------


def test_settings_reach_the_client(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AL_MEDIA_HOSTS", f"127.0.0.1:{world.other.port}")
    monkeypatch.setenv("AL_LABEL_STUDIO_PUBLIC_URL", "https://labels.example.org")
    settings = read_settings(model_dir=tmp_path, label_studio_url=world.studio.url, label_studio_api_key=TOKEN)
    studio = make_studio(settings)
    assert studio is not None
    world.studio.answers["/data/upload/1/x.png"] = world.other.answers["/x.png"] = OK
    assert studio.media.fetch("https://labels.example.org/data/upload/1/x.png", 7) == IMAGE
    assert studio.media.fetch(f"{world.other.url}/x.png", 7) == IMAGE
    with pytest.raises(ImageUnusable):
        studio.media.fetch(f"{world.studio.url}/x.png", 7)
    assert "authorization" not in world.other.asked[0].headers
    studio.media.close()
    studio._api._http.close()


def test_one_file_of_a_storage_has_one_key() -> None:
    uri = "s3://bucket/folder/\u00e4 b.png"
    listed = resolving(uri)
    assert media_key(uri) == media_key(listed) == media_key(f"https://labels.example.org{listed}") == uri
    assert media_key("/tasks/9/presign/?fileuri=" + listed.partition("=")[2]) == uri


@pytest.mark.parametrize(
    "value",
    [
        "/data/upload/1/x.png",
        "/tasks/9/resolve/?fileuri=*",
        "/tasks/9/resolve/?fileuri=",
        "http://[/tasks/9/resolve/?fileuri=x",
        "http://images.test/x?fileuri=czM6Ly9i",
        "/data/upload/1/" + "fileuri=" * 5_000,
    ],
)
def test_other_values_are_their_own_keys(value: str) -> None:
    assert media_key(value) == value


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ("", ()),
        ("A.example, b.example:8443", ("a.example", "b.example:8443")),
        ("10.0.0.9:9000", ("10.0.0.9:9000",)),
        ("[FD00:0::9]:9000 [::1]", ("[fd00::9]:9000", "::1")),
        ("minio,\n s3.eu-west-1.amazonaws.com", ("minio", "s3.eu-west-1.amazonaws.com")),
    ],
)
def test_named_hosts_are_read(given: str, hosts: tuple[str, ...]) -> None:
    assert read_hosts(given) == hosts
    assert read_hosts(read_settings(media_hosts=given or None).media_hosts or "") == hosts


@pytest.mark.parametrize(
    "given",
    [
        "*",
        "*.example",
        "https://a.example",
        "a.example/x",
        "u:p@a.example",
        "a.example:0",
        "a:70000",
        "\u00e4.de",
        "[a]",
        "a..b",
        "-a.example",
        "::1",
        "a.example;b.example",
    ],
)
def test_other_hosts_are_refused_at_the_start(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AL_MEDIA_HOSTS", given)
    with pytest.raises(InvalidSettings, match="AL_MEDIA_HOSTS: must be names of hosts"):
        read_settings()
