"""The tokens of a pool's texts, kept in memory: they are made of the store's texts when the process begins."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from label_studio_al.learning.features import Features
from label_studio_al.learning.rows import blocks
from label_studio_al.learning.sequences.rows import Sequences
from label_studio_al.learning.sequences.units import Vocabulary
from label_studio_al.learning.types import Array
from label_studio_al.pool.files import HAS_FEATURES, FeatureFiles
from label_studio_al.questions import LabelConfig
from label_studio_al.store import Store

_TASKS_AT_ONCE = 2_000


class SequenceRows:
    """The tokens of each row of a project's feature files; none of rows without a text."""

    def __init__(self, key: str, config: LabelConfig, store: Store, features: Features) -> None:
        self._key = key
        self._config = config
        self._store = store
        self._features = features
        self._vocabularies = {name: Vocabulary(own.pool.vocabulary) for name, own in features.words.items()}
        self._tasks: Array = np.zeros(0, dtype=np.int64)
        self._found: dict[str, Sequences] = self._of([])

    def begin(self, files: FeatureFiles) -> bool:
        """Whether the first rows are those that are known: another process may have begun the files anew."""
        return np.array_equal(files.tasks[: len(self._tasks)], self._tasks)

    def of(self, files: FeatureFiles) -> Mapping[str, Sequences]:
        """Those of all rows."""
        n_known, more = len(self._tasks), list[dict[str, Sequences]]()
        for block in blocks(len(files.tasks) - n_known, _TASKS_AT_ONCE):
            rows = slice(n_known + block.start, n_known + block.stop)
            has_text = files.states[rows] == HAS_FEATURES
            tasks = files.tasks[rows].tolist()
            wanted = [task_id for task_id, has in zip(tasks, has_text.tolist(), strict=True) if has]
            texts = {one.id: self._config.text_of(one.data) or "" for one in self._store.tasks.some(self._key, wanted)}
            more.append(
                self._of([texts.get(task_id, "") if has else "" for task_id, has in zip(tasks, has_text, strict=True)])
            )
        if more:
            self._found = {name: own.followed_by([one[name] for one in more]) for name, own in self._found.items()}
            self._tasks = np.array(files.tasks)
        return self._found

    def _of(self, texts: list[str]) -> dict[str, Sequences]:
        words = self._features.words
        return {name: words[name].sequences(texts, own) for name, own in self._vocabularies.items()}
