"""Stored times that decide, whatever the machine's clock is set to."""

from __future__ import annotations

import pytest

from label_studio_al.runtime.clock import SKEW_SECONDS, Clock, has_passed, is_due

NOW, DAY = 1_800_000_000.0, 86_400.0


@pytest.mark.parametrize(
    ("seconds_ahead", "is_it"),
    [(-DAY, True), (0.0, True), (1.0, False), (300.0, False), (300.0 + SKEW_SECONDS, False), (DAY, True)],
)
def test_deadline_is_due_once_it_has_come_or_if_nobody_can_have_meant_it(seconds_ahead: float, is_it: bool) -> None:
    assert is_due(NOW + seconds_ahead, 300.0, NOW) is is_it


@pytest.mark.parametrize(
    ("seconds_ago", "has_it"),
    [(300.0, True), (299.0, False), (0.0, False), (-SKEW_SECONDS, False), (-2 * SKEW_SECONDS, True), (-DAY, True)],
)
def test_time_that_lies_ahead_was_long_ago_unless_clocks_differ_a_little(seconds_ago: float, has_it: bool) -> None:
    assert has_passed(300.0, NOW - seconds_ago, NOW) is has_it


def test_what_never_was_is_long_ago() -> None:
    assert has_passed(300.0, None, NOW)


def test_machine_s_own_clocks() -> None:
    clock = Clock()
    began, now = clock.elapsed(), clock.now()
    clock.sleep(0.0)
    assert clock.elapsed() >= began
    assert now > NOW / 2
