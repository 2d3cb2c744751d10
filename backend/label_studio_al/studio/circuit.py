"""A circuit breaker for a Label Studio that does not answer.

Libraries for this (pybreaker, circuitbreaker) know neither Retry-After nor one probe among many threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone

from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.errors import StudioUnreachable

FAILURES_ALLOWED = 5
OPEN_SECONDS = 5.0
OPEN_SECONDS_AT_MOST = 10.0
# A server that asks for a longer rest is asked again all the same.
RETRY_AFTER_AT_MOST = 300.0


class Circuit:
    """Lets calls through until five in a row got no answer; then one at a time, every 5 to 10 seconds, as a probe.

    One that says how long it wants to be left alone (`StudioUnreachable.retry_after`) is left alone at once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._n_failures = 0
        self._failing_since = 0.0
        self._open_until: float | None = None
        self._is_probed = False
        self._reason = ""

    @contextmanager
    def call(self) -> Iterator[None]:
        """One call. Raises StudioUnreachable without making it while the circuit is open."""
        self._enter()
        try:
            yield
        except StudioUnreachable as exc:
            self._fail(exc)
            raise
        except BaseException:
            # Any other answer is an answer.
            self._close()
            raise
        self._close()

    def _enter(self) -> None:
        with self._lock:
            if self._open_until is None:
                return
            left = self._open_until - self._clock.elapsed()
            if left > 0 or self._is_probed:
                since = datetime.fromtimestamp(self._failing_since, timezone.utc).isoformat(timespec="seconds")
                raise StudioUnreachable(f"{self._reason} (since {since})", retry_after=max(left, 1.0))
            self._is_probed = True

    def _fail(self, exc: StudioUnreachable) -> None:
        with self._lock:
            if not self._n_failures:
                self._failing_since = self._clock.now()
            self._n_failures += 1
            self._is_probed = False
            self._reason = str(exc)
            if exc.retry_after is not None:
                self._open_until = self._clock.elapsed() + min(RETRY_AFTER_AT_MOST, exc.retry_after)
            elif self._n_failures >= FAILURES_ALLOWED:
                grown = OPEN_SECONDS * (1 + self._n_failures - FAILURES_ALLOWED)
                self._open_until = self._clock.elapsed() + min(OPEN_SECONDS_AT_MOST, grown)

    def _close(self) -> None:
        with self._lock:
            self._n_failures, self._open_until, self._is_probed = 0, None, False
