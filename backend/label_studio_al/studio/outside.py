"""Connections to hosts other than Label Studio: to public addresses only, and to the very address that was checked."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from queue import Empty, SimpleQueue
from typing import Any

import httpcore

from label_studio_al.runtime.errors import ImageUnusable
from label_studio_al.runtime.hosts import as_address

# A name has rarely more of them, and each may cost its part of the time.
ADDRESSES_TRIED = 4

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_6TO4 = IPv6Network("2002::/16")
# What networks without IPv4 make of IPv4 addresses (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is an address of the public Internet, and so is the IPv4 address that it may stand for."""
    inner = _inner(address)
    if isinstance(inner, IPv6Address):
        return inner in _GLOBAL_UNICAST and inner.is_global and inner not in _6TO4
    return inner.is_global and not (inner.is_multicast or inner.is_reserved)


def may_be_named(address: IPv4Address | IPv6Address) -> bool:
    """Whether an operator may name it by its numbers: private and loopback, never link-local (metadata), multicast."""
    inner = _inner(address)
    return not (inner.is_link_local or inner.is_multicast or inner.is_unspecified) and (
        is_public(inner) or inner.is_private or inner.is_loopback
    )


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(address.packed[-4:])
    return address


def resolve(name: str) -> list[str]:
    """The addresses of a name. Raises OSError."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class CheckedNetwork(httpcore.NetworkBackend):
    """Connects to a name's public addresses only. Resolves a name for each connection, and connects to what it found.

    A host that is given by its numbers was named so by the operator, and may be private. Raises ImageUnusable.
    """

    def __init__(
        self,
        resolve: Callable[[str], Sequence[str]] = resolve,
        network: httpcore.NetworkBackend | None = None,
    ) -> None:
        """network: makes the connections, to addresses in numbers."""
        self._resolve = resolve
        self._network = network or httpcore.SyncBackend()

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any) -> Any:
        """A connection to one of the host's addresses, within `timeout` seconds, the name's resolution included."""
        assert timeout is not None
        ends_at = time.monotonic() + timeout
        addresses = self._allowed(host, timeout)[:ADDRESSES_TRIED]
        for n_left in range(len(addresses), 0, -1):
            seconds = max(0.001, (ends_at - time.monotonic()) / n_left)
            try:
                return self._network.connect_tcp(addresses[-n_left], port, seconds, *args, **kwargs)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if n_left == 1:
                    raise
        raise AssertionError("a host has an address")

    def _allowed(self, host: str, timeout: float) -> list[str]:
        named = as_address(host)
        if named is not None:
            if not may_be_named(named):
                raise ImageUnusable(f"{host} is an address from which no image is fetched", "refused")
            return [host]
        found = [as_address(one) for one in self._resolved(host, timeout)]
        public = [str(one) for one in found if one is not None and is_public(one)]
        if not public:
            raise ImageUnusable(
                f"{host} has no public address: images are fetched from a private one only where AL_MEDIA_HOSTS and "
                "the image's address give it in numbers",
                "refused",
            )
        return public

    def _resolved(self, name: str, timeout: float) -> Sequence[str]:
        """Its addresses. The system's resolver knows no limit, so it is left behind where it takes too long."""
        answers: SimpleQueue[Sequence[str] | Exception] = SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._resolve(name))
            except (OSError, UnicodeError) as exc:
                answers.put(exc)

        threading.Thread(target=ask, name="resolver", daemon=True).start()
        try:
            answer = answers.get(timeout=timeout)
        except Empty:
            raise httpcore.ConnectTimeout("its name was not resolved in time") from None
        if isinstance(answer, Exception):
            raise httpcore.ConnectError("its name cannot be resolved") from answer
        return answer
