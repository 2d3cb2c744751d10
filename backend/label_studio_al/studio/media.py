"""The files of tasks' images, from Label Studio and from hosts that the operator has named; nothing else is fetched."""

from __future__ import annotations

import threading
from functools import cached_property

import httpx

from label_studio_al import __version__
from label_studio_al.runtime.errors import ImageReason, ImageUnusable
from label_studio_al.runtime.hosts import Reach
from label_studio_al.studio.addresses import MAX_BYTES, AtHost, AtStudio, Places
from label_studio_al.studio.api import Api, Part
from label_studio_al.studio.outside import CheckedNetwork
from label_studio_al.studio.transport import (
    AnswerBroken,
    AnswerTooLarge,
    AnswerTooSlow,
    Limits,
    bounded_transport,
    direct_transport,
    ending_after,
    tls_advice,
)

LIMITS = Limits(read_seconds=20.0, seconds=20.0, n_bytes=MAX_BYTES, n_values=MAX_BYTES)
# A host that did not give so many images in a row in time keeps no others waiting: it is left alone for some seconds.
SLOW_ALLOWED, HELD_SECONDS = 3, 60.0
_REASONS: dict[int, ImageReason] = {401: "forbidden", 403: "forbidden", 404: "missing", 410: "missing"}
_HEADERS = {"Accept": "*/*", "User-Agent": f"label-studio-active-learning/{__version__}"}


class Media(Part):
    """Files that tasks name. Our token goes to Label Studio at LABEL_STUDIO_URL only; nothing is kept."""

    def __init__(
        self,
        api: Api,
        reach: Reach | None = None,
        *,
        inside: httpx.BaseTransport | None = None,
        outside: httpx.BaseTransport | None = None,
    ) -> None:
        """inside: to Label Studio. outside: to other hosts; checks their addresses."""
        super().__init__(api)
        self._reach = reach or Reach()
        self._places = Places(api.url, self._reach.public_url, self._reach.hosts)
        self._given = inside, outside
        # Four at a time made Submit wait three times as long.
        self._one_at_a_time = threading.Lock()
        self._lock = threading.Lock()
        # Of each host that was too slow, how often in a row, and until when it is not asked.
        self._slow: dict[str, tuple[int, float]] = {}

    def fetch(self, value: object, task_id: int) -> bytes:
        """The file that a value of a task names, whatever is in it: 30 MB and 20 seconds at most.

        Raises ImageUnusable, and StudioUnreachable or StudioRefused where it is not the image's fault.
        """
        place = self._places.find(value, task_id)
        if isinstance(place, bytes):
            return place
        if isinstance(place, AtHost):
            with ending_after(LIMITS.seconds):
                return self._from_host(place)
        with self._one_at_a_time, ending_after(LIMITS.seconds):
            return self._from_studio(place)

    def close(self) -> None:
        """Close all connections."""
        for name in ("_inside", "_outside"):
            if name in self.__dict__:
                self.__dict__[name].close()

    def _from_studio(self, place: AtStudio) -> bytes:
        try:
            answer = self._api.file(place.path, self._inside)
        except (AnswerTooLarge, AnswerTooSlow, AnswerBroken) as exc:
            raise _unusable("Label Studio", exc) from exc
        if answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR and place.path.startswith("data/upload/"):
            # Measured on 1.23.2.
            raise ImageUnusable("Label Studio has no such file (it answered 500)", "missing")
        if not (place.leads_on and answer.has_redirect_location):
            return _content("Label Studio", answer)
        # What a storage signed for whoever has the address, so without our token.
        target = self._places.absolute(answer.headers["Location"])
        if isinstance(target, AtStudio):
            raise ImageUnusable("Label Studio leads from an image to itself, which is not followed", "refused")
        return self._from_host(target)

    def _from_host(self, place: AtHost) -> bytes:
        with self._lock:
            _, held_until = self._slow.get(place.host, (0, 0.0))
        if self._api.clock.elapsed() < held_until:
            raise _slow(place.host)
        try:
            answer = self._outside.handle_request(httpx.Request("GET", place.url, headers=_HEADERS))
        except (httpx.TransportError, httpx.InvalidURL) as exc:
            error = _unusable(place.host, exc)
            if error.reason == "slow":
                self._note_slow(place.host)
            raise error from exc
        with self._lock:
            self._slow.pop(place.host, None)
        return _content(place.host, answer)

    def _note_slow(self, host: str) -> None:
        with self._lock:
            n_slow = self._slow.get(host, (0, 0.0))[0] + 1
            is_held = n_slow >= SLOW_ALLOWED
            self._slow[host] = n_slow, self._api.clock.elapsed() + HELD_SECONDS if is_held else 0.0

    @cached_property
    def _inside(self) -> httpx.BaseTransport:
        return self._given[0] or bounded_transport(LIMITS, self._reach.ca_bundle)

    @cached_property
    def _outside(self) -> httpx.BaseTransport:
        return self._given[1] or direct_transport(CheckedNetwork(), LIMITS, self._reach.ca_bundle)


def _content(host: str, answer: httpx.Response) -> bytes:
    status = answer.status_code
    if status == httpx.codes.OK:
        return answer.content
    if answer.has_redirect_location:
        raise ImageUnusable(f"{host} leads from an image to another address, which is not followed", "refused")
    raise ImageUnusable(f"{host} answered {status} for an image", _REASONS.get(status, "unavailable"))


def _slow(host: str) -> ImageUnusable:
    return ImageUnusable(f"{host} did not give an image in {LIMITS.seconds:g} s", "slow")


def _unusable(host: str, exc: Exception) -> ImageUnusable:
    if isinstance(exc, AnswerTooLarge):
        return ImageUnusable(f"{host} has an image of more than {MAX_BYTES // 2**20} MB", "too_large")
    if isinstance(exc, httpx.TimeoutException):
        return _slow(host)
    why = tls_advice(str(exc)) or str(exc).partition("\n")[0]
    return ImageUnusable(f"{host} does not give an image: {why}", "unavailable")
