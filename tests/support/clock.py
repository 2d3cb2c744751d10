"""A clock that a test holds in its hand."""

from __future__ import annotations

from label_studio_al.runtime.clock import Clock


class FakeClock(Clock):
    """Stands still until a test, or a sleep, moves it."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start
        self._elapsed = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self._now

    def elapsed(self) -> float:
        return self._elapsed

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._elapsed += seconds
        self._now += seconds

    def put(self, seconds: float) -> None:
        """Set the clock forward, or back: no time passes."""
        self._now += seconds
