"""HTTP to a server that may be failing or hostile: every exchange ends in time, and answers have a maximum size.

httpx limits the pause between two pieces of an answer, not the whole answer, and decompresses a piece at once, whatever
its size. Its network layer, httpcore, can be given one's own sockets: these know how long the exchange may still take.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext, SSLError
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from label_studio_al.runtime.errors import InvalidSettings
from label_studio_al.runtime.redaction import know_address

_ends_at: ContextVar[float] = ContextVar("_ends_at", default=float("inf"))
# A server that takes what it is sent little by little is looked at in between.
_WRITTEN_AT_ONCE = 16 * 1024
_NOT_KEPT = ("content-encoding", "content-length", "transfer-encoding")


class AnswerTooLarge(httpx.TransportError):
    """An answer is larger than what is taken."""


class AnswerBroken(httpx.TransportError):
    """An answer broke off after it had begun, or cannot be unpacked."""


class AnswerTooSlow(httpx.TimeoutException):
    """An exchange did not come to its end in time."""


@dataclass(frozen=True)
class Limits:
    """What an exchange may cost.

    connect_seconds: to connect. read_seconds: between two pieces of an answer. seconds: from the first to the last
    byte, the connection included, however it drips. n_bytes: of an answer, unpacked. n_values: of its JSON, which
    take up to 240 bytes of memory each, where a byte or two of text stand for them.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 60.0
    seconds: float = 180.0
    n_bytes: int = 256 * 1024 * 1024
    n_values: int = 16_000_000


LIMITS = Limits()


def bounded_client(limits: Limits = LIMITS, ca_bundle: Path | None = None) -> httpx.Client:
    """A client that keeps to limits, uses the proxy that the environment names, and follows no redirect.

    ca_bundle: see `tls_context`. Raises InvalidSettings, also where such a proxy's address is none.
    """
    timeout = httpx.Timeout(limits.read_seconds, connect=limits.connect_seconds)
    # A redirect could lead the key to another host.
    return httpx.Client(transport=bounded_transport(limits, ca_bundle), timeout=timeout, follow_redirects=False)


def bounded_transport(limits: Limits = LIMITS, ca_bundle: Path | None = None) -> Bounded:
    """The same for single exchanges: nothing is kept of one, and nothing is logged."""
    _check_proxies()
    return Bounded(_Transport(tls_context(ca_bundle)), limits)


def direct_transport(network: httpcore.NetworkBackend, limits: Limits, ca_bundle: Path | None = None) -> Bounded:
    """The same over connections that `network` makes, whatever proxies the environment names."""
    return Bounded(_Transport(tls_context(ca_bundle), network), limits)


def tls_context(ca_bundle: Path | None = None) -> SSLContext:
    """What every connection trusts: the authorities of ca_bundle (a file, or a folder as OpenSSL makes it), too.

    Without it REQUESTS_CA_BUNDLE's. SSL_CERT_FILE's take the place of the well-known ones. Raises InvalidSettings.
    """
    name, given = "AL_CA_BUNDLE", ca_bundle
    if given is None and os.environ.get("REQUESTS_CA_BUNDLE"):
        name, given = "REQUESTS_CA_BUNDLE", Path(os.environ["REQUESTS_CA_BUNDLE"])
    source: tuple[str, object] = ("SSL_CERT_FILE", os.environ.get("SSL_CERT_FILE"))
    try:
        context = httpx.create_ssl_context()
        if given is not None:
            source = (name, given)
            context.load_verify_locations(**{"capath" if given.is_dir() else "cafile": str(given)})
    except OSError as exc:
        why = exc.strerror if type(exc) is not SSLError and exc.strerror else "no certificates are in it"
        raise InvalidSettings(f"{source[0]}: {source[1]} must be a file of certificates (PEM): {why}") from exc
    return context


def tls_advice(reason: str) -> str | None:
    """What to do about an error of a connection whose other end shows a certificate that is not trusted."""
    if "CERTIFICATE_VERIFY_FAILED" not in reason:
        return None
    why = reason.partition("failed: ")[2].partition(" (_ssl")[0] or "it cannot be verified"
    return (
        f"its certificate is not trusted here ({why}): give the file of its authority in AL_CA_BUNDLE, "
        "REQUESTS_CA_BUNDLE or SSL_CERT_FILE"
    )


@contextmanager
def ending_after(seconds: float) -> Iterator[None]:
    """All exchanges of this thread in the `with` come to their end in so many seconds together."""
    token = _ends_at.set(min(_ends_at.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _ends_at.reset(token)


class Bounded(httpx.BaseTransport):
    """Another transport, within limits. Answers are read whole. Raises AnswerTooLarge, AnswerTooSlow, AnswerBroken."""

    def __init__(self, transport: httpx.BaseTransport, limits: Limits = LIMITS) -> None:
        self._transport = transport
        self._limits = limits

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its answer."""
        request.headers["Accept-Encoding"] = "gzip"
        # A request that no client made has none.
        request.extensions.setdefault(
            "timeout", httpx.Timeout(self._limits.read_seconds, connect=self._limits.connect_seconds).as_dict()
        )
        with ending_after(self._limits.seconds):
            try:
                response = self._transport.handle_request(request)
                try:
                    content = self._read_whole(response)
                finally:
                    response.close()
            except httpx.TimeoutException as exc:
                if time.monotonic() < _ends_at.get():
                    raise
                raise AnswerTooSlow(f"did not come to the end of its answer in {self._limits.seconds:g} s") from exc
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in _NOT_KEPT]
        return httpx.Response(response.status_code, headers=headers, content=content)

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def _read_whole(self, response: httpx.Response) -> bytes:
        try:
            return self._read(response)
        except (AnswerTooLarge, httpx.TimeoutException):
            raise
        except (httpx.TransportError, httpx.DecodingError) as exc:
            raise AnswerBroken(str(exc)) from exc

    def _read(self, response: httpx.Response) -> bytes:
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip"):
            raise httpx.DecodingError(f"its answer is packed as {encoding[:40]!r}, which nobody asked for")
        assert isinstance(response.stream, httpx.SyncByteStream)
        content = _joined(response.stream, encoding == "gzip", self._limits.n_bytes)
        if sum(map(content.count, (b",", b"[", b"{"))) > self._limits.n_values:
            raise AnswerTooLarge(f"gave an answer of more than {self._limits.n_values} values")
        return content


def _joined(pieces: Iterable[bytes], is_packed: bool, at_most: int) -> bytes:
    """All pieces, unpacked no further than to a byte more than `at_most`."""
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    content, n_packed = bytearray(), 0
    for piece in pieces:
        n_packed += len(piece)
        try:
            content += unpacker.decompress(piece, at_most + 1 - len(content)) if is_packed else piece
        except zlib.error as exc:
            raise httpx.DecodingError("its answer cannot be unpacked") from exc
        if len(content) > at_most:
            raise AnswerTooLarge(f"gave an answer of more than {at_most} bytes")
        if unpacker.eof:
            break
    if is_packed and n_packed and not unpacker.eof:
        raise httpx.DecodingError("its answer cannot be unpacked: it is not whole")
    return bytes(content)


class _Transport(httpx.BaseTransport):
    """httpx's own transport, with sockets that know when their exchange has to end."""

    def __init__(self, trusted: SSLContext, network: httpcore.NetworkBackend | None = None) -> None:
        """network: makes connections that no proxy may make."""
        self._is_direct = network is not None
        self._shared: dict[str, Any] = {
            "ssl_context": trusted,
            "network_backend": _Sockets(network or httpcore.SyncBackend()),
        }
        self._pools: dict[str | None, httpcore.ConnectionPool] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        at = request.url
        url = httpcore.URL(scheme=at.raw_scheme, host=at.raw_host, port=at.port, target=at.raw_path)
        wanted = httpcore.Request(
            request.method, url, headers=request.headers.raw, content=request.stream, extensions=request.extensions
        )
        with _as_httpx():
            response = self._pool_for(request.url).handle_request(wanted)
        return httpx.Response(response.status, headers=response.headers, stream=_Stream(response))

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def _pool_for(self, url: httpx.URL) -> httpcore.ConnectionPool:
        address = None if self._is_direct else _proxy_for(url)
        pool = self._pools.get(address)
        if pool is None:
            # Of two threads that make one at once, both use the first.
            pool = self._pools.setdefault(address, self._make_pool(address))
        return pool

    def _make_pool(self, proxy_address: str | None) -> httpcore.ConnectionPool:
        if proxy_address is None:
            return httpcore.ConnectionPool(**self._shared)
        proxy = httpx.Proxy(proxy_address)
        return httpcore.HTTPProxy(
            str(proxy.url), proxy_auth=proxy.raw_auth, proxy_headers=proxy.headers.raw, **self._shared
        )


class _Stream(httpx.SyncByteStream):
    """The body of an answer, as it comes."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _Sockets(httpcore.NetworkBackend):
    """Sockets of which no call lasts beyond the end of the exchange."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any) -> _Socket:
        return _Socket(self._backend.connect_tcp(host, port, _left(timeout, httpcore.ConnectTimeout), *args, **kwargs))


class _Socket(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for first in range(0, len(buffer), _WRITTEN_AT_ONCE):
            piece = buffer[first : first + _WRITTEN_AT_ONCE]
            self._stream.write(piece, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> _Socket:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Socket(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(timeout: float | None, ended: type[httpcore.TimeoutException]) -> float:
    """Seconds that a call on a socket may take. Raises `ended` where none are left."""
    left = _ends_at.get() - time.monotonic()
    if left <= 0:
        raise ended("the exchange took too long")
    return left if timeout is None else min(timeout, left)


@contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as exc:
        raise httpx.TimeoutException(str(exc)) from exc
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as exc:
        raise httpx.TransportError(str(exc)) from exc
    except httpcore.UnsupportedProtocol as exc:
        raise httpx.UnsupportedProtocol(str(exc)) from exc


def _check_proxies() -> None:
    known = getproxies()
    for scheme in known.keys() & {"http", "https", "all"}:
        know_address(known[scheme])
        try:
            httpx.Proxy(known[scheme])
        except (httpx.InvalidURL, ValueError):
            # What they say repeats parts of it, the password's too.
            raise InvalidSettings(f"{scheme.upper()}_PROXY: must be the address of a proxy, http://HOST:PORT") from None


def _proxy_for(url: httpx.URL) -> str | None:
    """What HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say."""
    known = getproxies()
    address = known.get(url.scheme) or known.get("all")
    return None if address is None or proxy_bypass(url.host) else address
