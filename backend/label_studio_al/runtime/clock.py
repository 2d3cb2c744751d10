"""Time, passed in so that tests can hold it.

The machine's clock may be set back or forward by a day at any moment, and nothing may depend on it. So `now` is only
for times that are shown and stored. Durations within a process use `elapsed`, changes in Label Studio use Label
Studio's own times, and where a stored time decides, `is_due` or `has_passed` checks it.
"""

from __future__ import annotations

import time

# Clocks of several machines differ by less. A time further ahead was written by a clock that has been set back since.
SKEW_SECONDS = 60.0


class Clock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since 1970, as far as the machine knows: for stamps."""
        return time.time()

    def elapsed(self) -> float:
        """Seconds since some moment, the same for the whole process, whatever the clock is set to."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def is_due(at: float, longest_wait: float, now: float) -> bool:
    """Whether a stored deadline has come. One that lies further ahead than any is ever set, counts as come."""
    return not 0.0 < at - now <= longest_wait + SKEW_SECONDS


def has_passed(seconds: float, since: float | None, now: float) -> bool:
    """Whether so many seconds have passed since a stored time. None, and a time that lies ahead, count as long ago."""
    return since is None or is_due(since + seconds, seconds, now)
