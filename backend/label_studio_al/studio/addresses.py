"""What a task's image field holds, and where that may be fetched."""

from __future__ import annotations

import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from label_studio_al.labeling.media import MAX_ADDRESS_CHARACTERS, RESOLVING, is_of_a_storage
from label_studio_al.runtime.errors import ImageUnusable
from label_studio_al.runtime.hosts import place, read_host

MAX_STUDIO_CHARACTERS = 4_000
MAX_BYTES = 30 * 1024 * 1024

# Blanks and letters of all languages stand in addresses; these, which browsers drop or turn around, do not.
_ODD = re.compile(r"[\x00-\x1f\x7f\\]")
_ABSOLUTE = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?", re.IGNORECASE | re.ASCII)
# The only paths at which Label Studio is asked with our token: others may do something.
_FILES = re.compile(r"/(?:data/upload/.+|data/local-files/?|static/.+|storage-data/uploaded/?)", re.DOTALL)
_PROXYING = re.compile(r"/projects/\d{1,19}/file-proxy/?", re.ASCII)
_KEPT: Final = "%/:=&?~+!$,;'@()*[]"
_PORTS = {"http": 80, "https": 443}
_QUOTED = {"%2B": "+", "%2b": "+", "%2F": "/", "%2f": "/", "%3D": "=", "%3d": "="}
_DATA = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)


@dataclass(frozen=True)
class AtStudio:
    """A file at Label Studio. path: below LABEL_STUDIO_URL. leads_on: whether it may lead to a storage."""

    path: str
    leads_on: bool = False


@dataclass(frozen=True)
class AtHost:
    """A file at another host that the operator has named."""

    url: str
    host: str


class Places:
    """Where images may be fetched: at Label Studio, and at named hosts."""

    def __init__(self, studio_url: str, public_url: str | None, hosts: Iterable[str]) -> None:
        """public_url: of the same Label Studio, as browsers reach it. hosts: as `read_hosts` gives them."""
        self._studios = [_origin(url) for url in (studio_url, public_url) if url]
        self._hosts = frozenset(hosts)

    def find(self, value: object, task_id: int) -> AtStudio | AtHost | bytes:
        """Where a value of a task leads; the content itself of a `data:` address. Raises ImageUnusable."""
        if not isinstance(value, str):
            raise ImageUnusable("an image's address must be a text", "refused")
        if value[:5].lower() == "data:":
            return _content(value)
        address = _checked(value)
        if address.startswith("/"):
            return self._at_studio(address)
        if is_of_a_storage(address):
            packed = urlsafe_b64encode(value.encode(errors="replace")).decode()
            return AtStudio(_short(f"tasks/{task_id}/resolve/?fileuri={packed}", MAX_STUDIO_CHARACTERS), True)
        return self.absolute(address)

    def absolute(self, address: str) -> AtStudio | AtHost:
        """Where an address with a host leads. Raises ImageUnusable."""
        found = _ABSOLUTE.match(_checked(address))
        host = None if found is None else read_host(found[2])
        if found is None or host is None:
            raise ImageUnusable(
                "an image's address must begin with /, http://, https://, data:, s3://, gs:// or azure-blob://, hold a "
                "host's name in ASCII, and no user or password",
                "refused",
            )
        scheme, name, port = found[1].lower(), host[0], host[1] or _PORTS[found[1].lower()]
        path = (found[3] or "/") + (found[4] or "")
        for at, below in self._studios:
            if at == (scheme, name, port) and path.startswith(f"{below}/"):
                try:
                    return self._at_studio(path)
                except ImageUnusable:
                    break
        is_usual = port == _PORTS[scheme]
        if place(name, port) not in self._hosts and not (is_usual and name in self._hosts):
            shown = name if is_usual else place(name, port)
            raise ImageUnusable(
                f"images of {shown[:80]} are not fetched: name it in AL_MEDIA_HOSTS, or, if that is Label Studio "
                "itself, give its address in AL_LABEL_STUDIO_PUBLIC_URL",
                "refused",
            )
        return AtHost(_short(f"{scheme}://{place(name, port)}{_quoted(path)}", MAX_ADDRESS_CHARACTERS), name)

    def _at_studio(self, address: str) -> AtStudio:
        """address: path and query, below the root of a server at which Label Studio is."""
        path, mark, query = address.partition("#")[0].partition("?")
        for _, below in self._studios:
            if below and path.startswith(f"{below}/"):
                path = path[len(below) :]
                break
        leads_on = RESOLVING.fullmatch(path) is not None
        is_file = leads_on or _FILES.fullmatch(path) or _PROXYING.fullmatch(path)
        if not is_file or _climbs(path):
            raise ImageUnusable(
                "at Label Studio images are fetched from /data/upload/, /data/local-files/ and its storages only",
                "refused",
            )
        if not path.startswith(("/data/upload/", "/static/")):
            path = path.rstrip("/") + "/"
        return AtStudio(_short(_quoted(path[1:] + mark + query), MAX_STUDIO_CHARACTERS), leads_on)


def _checked(address: str) -> str:
    _short(address, MAX_ADDRESS_CHARACTERS)
    if _ODD.search(address) or address.startswith("//"):
        raise ImageUnusable(
            "an image's address may hold no backslash or control character, and not begin with //", "refused"
        )
    return address


def _short(address: str, at_most: int) -> str:
    if len(address) > at_most:
        raise ImageUnusable(f"an image's address may have {at_most} characters", "refused")
    return address


def _origin(url: str) -> tuple[tuple[str, str, int], str]:
    """Scheme, host and port of Label Studio, and the path below which it is, without a slash at its end."""
    parts = urlsplit(url)
    host = read_host(parts.netloc) or (parts.hostname or "", parts.port)
    return (parts.scheme, host[0], host[1] or _PORTS[parts.scheme]), parts.path.rstrip("/")


def _climbs(path: str) -> bool:
    """Whether a path, however often it is unquoted on its way, may leave where it begins."""
    while (once := unquote(path)) != path:
        path = once
    return bool(_ODD.search(path)) or any(part in (".", "..") for part in path.split("/"))


def _quoted(address: str) -> str:
    return quote(address, safe=_KEPT, errors="replace")


def _content(value: str) -> bytes:
    head = _DATA.match(value)
    if head is None:
        raise ImageUnusable("a data: address must hold an image in base64", "not_an_image")
    # Four letters for three bytes, and some of them quoted.
    if len(value) > 2 * MAX_BYTES:
        raise _too_large()
    text = value[head.end() :]
    for quoted, sign in _QUOTED.items():
        text = text.replace(quoted, sign)
    text = text.rstrip("=")
    try:
        content = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as exc:
        raise ImageUnusable("a data: address must hold an image in base64", "broken") from exc
    if len(content) > MAX_BYTES:
        raise _too_large()
    return content


def _too_large() -> ImageUnusable:
    return ImageUnusable(f"an image may have {MAX_BYTES // 2**20} MB", "too_large")
