"""Why a task is asked, in a sentence for the people who look at the queue."""

from __future__ import annotations

from collections.abc import Sequence

from label_studio_al.learning.asking import COVERAGE, MIXED, RANDOM

DRAWN = "drawn at random to measure the model"
CHECK = "a check of the automatic labels: the prediction is not shown"
# Of both kinds of a mixed order, what the model hesitates about is asked for that.
HESITATES_UP_TO = 0.3
# What an order looks for beside, or instead of, what the model hesitates about.
_UNLIKE = "unlike what is labelled so far"
_WITHOUT_GUESSES = {
    RANDOM: "drawn at random",
    COVERAGE: _UNLIKE,
    "k_center": _UNLIKE,
    "k_means": "in the middle of a group of similar tasks without a label",
    "typiclust": "typical of a group of similar tasks without a label",
}
_WITH_GUESSES = {
    "vote_entropy": "several models disagree",
    "consensus_entropy": "several models are unsure",
    "kl_divergence": "several models disagree",
    "expected_gradient_length": "its label may change the model a lot",
    "expected_error_reduction": "its label may make the model more certain of others",
    "badge": "its label may change the model a lot",
    "contrastive": "predicted differently from similar labelled tasks",
    "density_weighted_margin": "similar to many other tasks",
}


def why_asked(order: str, is_audit: bool, top_k: Sequence[tuple[str, float]]) -> str:
    """The reason in words. order: the version's `ranked_by`; top_k: its most probable answers, the best first.

    Where there is one only, nothing stands against it: spans of a text, for example.
    """
    if is_audit:
        return DRAWN if order != RANDOM else _WITHOUT_GUESSES[RANDOM]
    if order in _WITHOUT_GUESSES:
        return _WITHOUT_GUESSES[order]
    if not top_k:
        return "chosen before there was a model"
    if order == MIXED and hesitation(top_k) > HESITATES_UP_TO:
        return _UNLIKE
    hesitates = f"between {_shown(top_k[0])} and {_shown(top_k[1])}" if len(top_k) > 1 else _sure(top_k[0])
    return f"{_WITH_GUESSES[order]}: {hesitates}" if order in _WITH_GUESSES else hesitates


def hesitation(top_k: Sequence[tuple[str, float]]) -> float:
    """By how much the best answer is more probable than the next one, or than anything else: 0 is a tie."""
    (_, best), *others = top_k[:2]
    return best - (others[0][1] if others else 1 - best)


def _sure(guess: tuple[str, float]) -> str:
    return f"the model is {guess[1]:.2f} sure of what it marks: {guess[0]}"


def _shown(guess: tuple[str, float]) -> str:
    return f"\N{LEFT DOUBLE QUOTATION MARK}{guess[0]}\N{RIGHT DOUBLE QUOTATION MARK} {guess[1]:.2f}"
