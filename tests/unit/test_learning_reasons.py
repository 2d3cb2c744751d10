"""Why a task is asked."""

from __future__ import annotations

from typing import get_args

import pytest

from label_studio_al.learning.asking import COVERAGE, MIXED
from label_studio_al.learning.reasons import DRAWN, why_asked
from label_studio_al.learning.strategies import STRATEGIES
from label_studio_al.runtime.settings import ProjectSettings

CLOSE = [("A", 0.41), ("B", 0.39)]
CLEAR = [("A", 0.9), ("B", 0.1)]
BETWEEN = "between “A” 0.41 and “B” 0.39"


@pytest.mark.parametrize(
    ("order", "is_audit", "top_k", "reason"),
    [
        ("margin", False, CLOSE, BETWEEN),
        ("cluster_margin", False, CLOSE, BETWEEN),
        ("margin", True, CLOSE, DRAWN),
        ("random", True, CLOSE, "drawn at random"),
        (COVERAGE, False, CLOSE, "unlike what is labelled so far"),
        (MIXED, False, CLOSE, BETWEEN),
        (MIXED, False, CLEAR, "unlike what is labelled so far"),
        ("vote_entropy", False, CLOSE, f"several models disagree: {BETWEEN}"),
        ("margin", False, [], "chosen before there was a model"),
    ],
)
def test_reason(order: str, is_audit: bool, top_k: list[tuple[str, float]], reason: str) -> None:
    assert why_asked(order, is_audit, top_k) == reason


@pytest.mark.parametrize("order", [*STRATEGIES, COVERAGE, MIXED])
def test_every_order_has_a_reason(order: str) -> None:
    assert why_asked(order, False, CLOSE)


def test_every_strategy_of_the_settings_is_an_order() -> None:
    assert set(get_args(ProjectSettings.model_fields["strategy"].annotation)) - {"auto"} == set(STRATEGIES)
