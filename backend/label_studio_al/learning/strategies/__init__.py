"""Which tasks to ask next: every query strategy, by its name.

Start at `pick(name).choose(query)`. All point in one direction: informativeness, high = ask first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from label_studio_al.learning import draws
from label_studio_al.learning.beliefs import Measure
from label_studio_al.learning.rows import squared_norms
from label_studio_al.learning.strategies.committee import consensus_entropy, fit_committee, kl_divergence, vote_entropy
from label_studio_al.learning.strategies.diversity import k_center, k_means, typiclust
from label_studio_al.learning.strategies.expected import expected_error_reduction, expected_gradient_length
from label_studio_al.learning.strategies.hybrid import badge, cluster_margin, contrastive, density, gradient_errors
from label_studio_al.learning.strategies.query import (
    Query,
    Ranking,
    by_order,
    by_position,
    by_value,
    highest,
    most_informative,
)
from label_studio_al.learning.strategies.uncertainty import entropy, least_confidence, margin
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest

__all__ = [
    "MEASURES",
    "STRATEGIES",
    "Measure",
    "Query",
    "Ranking",
    "Strategy",
    "by_position",
    "entropy",
    "highest",
    "least_confidence",
    "margin",
    "most_informative",
    "pick",
]

N_MEMBERS = 5


@dataclass(frozen=True)
class Strategy:
    """A way to choose tasks.

    needs_model: whether it asks a trained classifier, so tasks of 2 labels must be labelled before.
    measure: informativeness from probabilities alone, for the strategies that need nothing else. needs_one_decision:
    whether it works only where a task has one label. needs_decisions: whether it compares tasks by what the same
    decisions on them say, or trains on these. needs_refit: whether it trains models beside the classifier.
    """

    name: str
    summary: str
    source: str
    needs_model: bool
    rank: Callable[[Query], Ranking]
    measure: Measure | None = None
    needs_one_decision: bool = False
    needs_decisions: bool = False
    needs_refit: bool = False

    def unsuitable(self, *, has_one_class: bool, marks: bool, refits: bool) -> str | None:
        """Why it cannot work where an answer is no single class, or marks spans, or the learner does not refit.

        None where it can.
        """
        if self.needs_one_decision and not has_one_class:
            return f"{self.name} works where a task has one label"
        if self.needs_decisions and marks:
            return f"{self.name} works where the same labels are decided on for each task, not where spans are marked"
        if self.needs_refit and not refits:
            return f"{self.name} trains models of some of the labels, which this project's learner cannot"
        return None

    def choose(self, query: Query) -> Ranking:
        """The tasks to ask, most informative first. Raises InvalidRequest without a model where one is needed."""
        if self.needs_model:
            query.require_model(self.name)
        has_one_class = not query.beside and query.labelled.coding.has_one_class
        marks = any(one.labelled.coding.marks is not None for one in query.questions)
        if unsuitable := self.unsuitable(has_one_class=has_one_class, marks=marks, refits=True):
            raise InvalidRequest(unsuitable)
        if not query.n or not query.n_tasks:
            return Ranking(np.zeros(0, dtype=np.int64), np.zeros(0))
        return self.rank(query)


def pick(name: str) -> Strategy:
    """The strategy of that name. Raises InvalidRequest, which names all, where there is none."""
    try:
        return STRATEGIES[name]
    except KeyError:
        raise InvalidRequest(f"strategy must be one of {', '.join(STRATEGIES)}, not {name!r}") from None


def _by_measure(measure: Measure) -> Callable[[Query], Ranking]:
    return lambda query: by_value(query.measured(measure), query)


def _by_committee(measure: Measure) -> Callable[[Query], Ranking]:
    def value_of(query: Query) -> Array:
        members = fit_committee(query.fit, query.labelled, N_MEMBERS, query.seed)
        beliefs = [member.believe(query.X) for member in members]
        return beliefs[0].gather(measure(np.stack([one.centred.rows for one in beliefs])))

    return lambda query: by_value(query.gather(value_of), query)


def _in_order(choose: Callable[[Query], Array]) -> Callable[[Query], Ranking]:
    return lambda query: by_order(choose(query))


def _random(query: Query) -> Ranking:
    return by_order(draws.first(query.keys, query.n, query.seed, draws.RANDOM))


def _k_center(query: Query) -> Ranking:
    return by_order(k_center(query.Z, query.Z_labelled, query.keys, query.n, query.seed))


def _expected_gradient_length(query: Query) -> Ranking:
    def value_of(one: Query) -> Array:
        beliefs = one.beliefs
        norms = np.repeat(squared_norms(one.X), beliefs.proba.shape[1])
        return beliefs.gather(expected_gradient_length(beliefs.rows, norms))

    return by_value(query.gather(value_of), query)


def _badge(query: Query) -> Ranking:
    errors = np.hstack([gradient_errors(one.beliefs) for one in query.questions])
    return by_order(badge(errors, query.X, query.keys, query.n, query.seed))


def _contrastive(query: Query) -> Ranking:
    def value_of(one: Query) -> Array:
        return contrastive(one.beliefs.wide, one.Z, one.beliefs_labelled.wide, one.Z_labelled)

    return by_value(query.gather(value_of), query)


def _density_weighted_margin(query: Query) -> Ranking:
    return by_value(query.measured(margin) * density(query.Z), query)


_ALL = (
    Strategy("random", "Tasks drawn at random.", "Settles 2009, the baseline", False, _random),
    Strategy(
        "least_confidence",
        "Tasks whose most probable label is the least probable.",
        "Lewis and Gale 1994",
        True,
        _by_measure(least_confidence),
        least_confidence,
    ),
    Strategy(
        "margin",
        "Tasks whose two most probable labels are the closest.",
        "Scheffer et al. 2001",
        True,
        _by_measure(margin),
        margin,
    ),
    Strategy(
        "entropy",
        "Tasks whose probabilities are the most spread over all labels.",
        "Shannon 1948; Settles 2009",
        True,
        _by_measure(entropy),
        entropy,
    ),
    Strategy(
        "k_center",
        "Tasks the farthest from everything labelled so far.",
        "Sener and Savarese 2018 (CoreSet)",
        False,
        _k_center,
    ),
    Strategy(
        "k_means",
        "The central task of each group of similar tasks that has no label yet.",
        "Zhdanov 2019",
        False,
        _in_order(k_means),
    ),
    Strategy(
        "typiclust",
        "The most typical task of each group of similar tasks that has no label yet.",
        "Hacohen et al. 2022 (TypiClust)",
        False,
        _in_order(typiclust),
    ),
    Strategy(
        "vote_entropy",
        "Tasks on which a committee of models votes for the most different labels.",
        "Engelson and Dagan 1996",
        True,
        _by_committee(vote_entropy),
        needs_decisions=True,
        needs_refit=True,
    ),
    Strategy(
        "consensus_entropy",
        "Tasks on which a committee of models is unsure on average.",
        "McCallum and Nigam 1998",
        True,
        _by_committee(consensus_entropy),
        needs_decisions=True,
        needs_refit=True,
    ),
    Strategy(
        "kl_divergence",
        "Tasks on which the models of a committee contradict their mean.",
        "McCallum and Nigam 1998",
        True,
        _by_committee(kl_divergence),
        needs_decisions=True,
        needs_refit=True,
    ),
    Strategy(
        "expected_gradient_length",
        "Tasks whose label would change the model most.",
        "Settles and Craven 2008",
        True,
        _expected_gradient_length,
        needs_decisions=True,
    ),
    Strategy(
        "expected_error_reduction",
        "Tasks whose label would make the model surest of all the others.",
        "Roy and McCallum 2001",
        True,
        _in_order(expected_error_reduction),
        needs_one_decision=True,
        needs_refit=True,
    ),
    Strategy(
        "cluster_margin",
        "Uncertain tasks of as many different groups as a batch has room for.",
        "Citovsky et al. 2021",
        True,
        _in_order(cluster_margin),
    ),
    Strategy(
        "badge",
        "Tasks that would change the model much, each in another direction.",
        "Ash et al. 2020 (BADGE)",
        True,
        _badge,
        needs_decisions=True,
    ),
    Strategy(
        "contrastive",
        "Tasks that the model answers differently from the labelled tasks most like them.",
        "Margatina et al. 2021 (CAL)",
        True,
        _contrastive,
        needs_decisions=True,
    ),
    Strategy(
        "density_weighted_margin",
        "Uncertain tasks that are like many others.",
        "Settles and Craven 2008",
        True,
        _density_weighted_margin,
    ),
)
STRATEGIES: dict[str, Strategy] = {strategy.name: strategy for strategy in _ALL}
MEASURES: dict[str, Measure] = {strategy.name: strategy.measure for strategy in _ALL if strategy.measure is not None}
