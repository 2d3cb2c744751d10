"""Names of hosts with their ports, written in one way: `name`, `name:port`, `10.0.0.9:9000`, `[fd00::9]:9000`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from pydantic_core import PydanticCustomError

_HOST = re.compile(r"([a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?|\[[0-9a-f:.]{2,45}\])(?::(\d{1,5}))?")
RULE = (
    "must be names of hosts, or names and ports, with commas between them: ASCII letters, digits, dots and hyphens, "
    "no addresses of pages, users or wildcards"
)


@dataclass(frozen=True)
class Reach:
    """Where images are fetched. hosts: as `read_hosts` gives them. public_url: Label Studio's, as browsers reach it.

    ca_bundle: see `tls_context`.
    """

    hosts: tuple[str, ...] = ()
    public_url: str | None = None
    ca_bundle: Path | None = None


def read_host(given: str) -> tuple[str, int | None] | None:
    """Name and port of `name:port`, the name in small letters, an IP address as it is written in short.

    None for anything else: users, names that are not ASCII, ports beyond 65535, whatever browsers make a host of.
    """
    found = _HOST.fullmatch(given.lower()) if given.isascii() else None
    if found is None or ".." in found[1]:
        return None
    port = None if found[2] is None else int(found[2])
    if port is not None and not 1 <= port <= 65_535:
        return None
    literal = as_address(found[1].strip("[]"))
    if found[1].startswith("[") and not isinstance(literal, IPv6Address):
        return None
    return found[1] if literal is None else str(literal), port


def as_address(name: str) -> IPv4Address | IPv6Address | None:
    """The IP address that a name is; None for names."""
    try:
        return ip_address(name)
    except ValueError:
        return None


def read_hosts(given: str) -> tuple[str, ...]:
    """Each of the hosts in a list as `place` writes it. Raises ValueError."""
    found = [read_host(one) for one in re.split(r"[\s,]+", given) if one]
    if None in found:
        raise ValueError(RULE)
    return tuple(place(*one) for one in found if one is not None)


def place(name: str, port: int | None) -> str:
    """A host of `read_host` in one word."""
    return name if port is None else f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def check_hosts(given: str | None) -> str | None:
    """For a setting: the same text, if hosts are in it."""
    try:
        read_hosts(given or "")
    except ValueError as exc:
        raise PydanticCustomError("hosts", RULE) from exc
    return given
