"""<Taxonomy>: paths in a tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any, ClassVar

import numpy as np

from label_studio_al.labeling.tags import VARIABLE, Tag, option
from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.coding import Coding
from label_studio_al.learning.evaluation import Outcome
from label_studio_al.learning.path_evaluation import PathEvaluation, evaluate_paths
from label_studio_al.learning.paths import (
    ONE_PATH,
    Paths,
    PathSets,
    answer_of,
    answers_of,
    name_of,
    names_of,
    path_of,
    walked,
)
from label_studio_al.learning.predictions import top_k
from label_studio_al.questions.base import OTHER_TYPE, UNKNOWN_LABEL, Answer, Reading
from label_studio_al.questions.choices import best_sets
from label_studio_al.questions.items import ItemsQuestion, came, check_values, json_list, refuse
from label_studio_al.runtime.errors import InvalidRequest, UnsupportedConfig

TAXONOMY = "taxonomy"
# Nobody ticks more, and Python refuses to read numbers of thousands of digits.
_DIGITS = 10


@dataclass(frozen=True)
class Taxonomy(ItemsQuestion):
    """Which paths, one at least. An answer is a list of them as one text (see learning.paths).

    labels: the paths that may be answered, as people read them. at_most: how many of them; None for any number.
    """

    at_most: int | None = None
    item_type: ClassVar[str] = TAXONOMY
    value_key: ClassVar[str] = TAXONOMY

    @property
    def coding(self) -> Coding:
        """As of the contract."""
        return ONE_PATH if self.at_most == 1 else Paths(self.at_most)

    @property
    def fingerprint(self) -> str:
        """As of the contract."""
        return "taxonomy, one path" if self.at_most == 1 else "taxonomy"

    @classmethod
    def reads(cls, control: Tag) -> bool:
        """Whether a control asks for paths."""
        return control.tag == "Taxonomy"

    @classmethod
    def of(cls, control: Tag, shown: Tag) -> Taxonomy:
        """Raises UnsupportedConfig with one sentence."""
        attributes = control.attributes
        is_dynamic = any(VARIABLE.search(name) for path in control.paths for name in path)
        if option(attributes, "apiUrl") or option(attributes, "value").startswith("$") or is_dynamic:
            raise UnsupportedConfig("the paths must stand in the label config, not come from the tasks or an address")
        refuse(control, ("perRegion", "perItem", "labeling"), "ask about the whole text")
        check_values(control)
        paths = control.paths
        if option(attributes, "leafsOnly").lower() == "true":
            inner = {path[:-1] for path in paths}
            paths = tuple(path for path in paths if path not in inner)
        if len(paths) < 2:
            raise UnsupportedConfig(f"<Taxonomy> must offer 2 paths or more, not {len(paths)}")
        said = option(attributes, "maxUsages")
        at_most = int(said) if said.isdecimal() and len(said) < _DIGITS and int(said) else None
        return cls(control.name, shown.name, tuple(map(name_of, paths)), at_most)

    def reading(self, value: object) -> Reading:
        """The paths, as far as the config offers them."""
        paths = _paths(value)
        if not paths:
            return Reading(unread=OTHER_TYPE)
        names = list(dict.fromkeys(map(name_of, paths)))
        known = [name for name in names if name in self._offered]
        unoffered = tuple(name for name in names if name not in self._offered)
        if not known:
            return Reading(None, UNKNOWN_LABEL, unoffered)
        if self.at_most is not None and len(known) > self.at_most:
            return Reading(None, OTHER_TYPE, unoffered)
        return Reading(answer_of(known), None, unoffered)

    @cached_property
    def _offered(self) -> frozenset[str]:
        return frozenset(self.labels)

    def parse(self, value: object) -> Answer:
        """A list of names is a path, a list of lists several paths; or the text of either in JSON."""
        found = json_list(value) if isinstance(value, str) else value
        paths = _paths([found] if isinstance(found, list) and any(isinstance(one, str) for one in found) else found)
        if not paths:
            raise InvalidRequest(f'must be a path in JSON (["a", "b"]), or a list of paths, not {came(value)}')
        if self.at_most is not None and len(paths) > self.at_most:
            raise InvalidRequest(f"must be {self.at_most} paths at most, not {came(value)}")
        return answer_of(map(name_of, paths))

    def write(self, answer: Answer, confidence: float) -> list[dict[str, Any]]:
        """One item with all paths, in the config's order."""
        chosen = set(names_of(answer))
        paths = [list(path_of(name)) for name in self.labels if name in chosen]
        return [self.item(paths, confidence)] if paths else []

    def best(
        self, beliefs: Beliefs, k: int, given: Sequence[Answer | None] | None = None
    ) -> list[list[tuple[Answer, float]]]:
        """As of the contract."""
        if beliefs.classes.dtype == bool:
            found = best_sets(beliefs, self.labels, PathSets(self.at_most), k, given)
            return [[pair for pair in pairs if 0 < len(names_of(pair[0])) <= (self.at_most or inf)] for pairs in found]
        is_offered = np.isin(beliefs.classes, self.labels)
        proba, names = beliefs.wide[:, is_offered], beliefs.classes[is_offered]
        if not len(names):
            return [[] for _ in range(len(beliefs))]
        first = np.zeros(proba.shape)
        first[np.arange(len(proba)), walked(proba, list(map(path_of, names.tolist())))] = 1.0
        if given is not None:
            first += 2.0 * (answers_of(names) == np.array([answer or "" for answer in given], dtype=str)[:, None])
        return [[(answer_of([name]), share) for name, share in pairs] for pairs in top_k(proba, names, k, first)]

    def figures(self, outcomes: Sequence[Outcome], labels: Sequence[str], seed: int) -> PathEvaluation:
        """As of the contract, with the top level's accuracy."""
        return evaluate_paths(outcomes, labels, seed)

    @property
    def summary(self) -> str:
        """As of the contract."""
        how_many = {None: "one or more", 1: "one"}.get(self.at_most, f"up to {self.at_most}")
        return f"{how_many} of {len(self.labels)} paths"

    def show(self, answer: Answer) -> str:
        """The paths, with commas."""
        return ", ".join(names_of(answer)) or "none of them"


def _paths(value: object) -> list[list[str]] | None:
    """Paths as Label Studio writes them; None for everything else."""
    if not isinstance(value, list) or not all(isinstance(path, list) and path for path in value):
        return None
    return value if all(isinstance(name, str) and name.strip() for path in value for name in path) else None
