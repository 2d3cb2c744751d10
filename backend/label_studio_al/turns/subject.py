"""What a turn is about: made once, and passed to each of its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from label_studio_al.learners.base import Learner
from label_studio_al.learners.registry import find_learner
from label_studio_al.pool.tasks import Pool, PoolChanges
from label_studio_al.questions import LabelConfig, Question
from label_studio_al.runtime.settings import ProjectSettings
from label_studio_al.store import Project, Version


@dataclass(frozen=True)
class Subject:
    """A project as a turn has found it.

    answers: people's, by question and task, in the order of their arrival. annotated: all tasks that have an
    annotation, skipped and automatic ones too, ascending. version: the published one. changes: what became of the
    pool's tasks.
    """

    project: Project
    config: LabelConfig
    settings: ProjectSettings
    pool: Pool
    changes: PoolChanges
    answers: Mapping[str, Mapping[int, str]]
    annotated: Sequence[int]
    version: Version | None

    @property
    def key(self) -> str:
        """The project's key."""
        return self.project.key

    @property
    def n_labelled(self) -> int:
        """How many tasks have an answer to any question."""
        return len(set().union(*self.answers.values()))

    def learner(self, question: Question) -> Learner:
        """What makes models of the answers to a question."""
        return find_learner(question.coding)

    def steering(self) -> list[Question]:
        """The questions that order the queue."""
        wanted = self.settings.steering or self.config.names
        return [question for question in self.config.questions if question.name in wanted]


@dataclass
class Progress:
    """What a turn has done so far. `steps` maps each step to its seconds; `revision` is what it has seen.

    turn: its number. started_at: when it began, for people; began: the same for measuring (`Clock.elapsed`).
    is_complete: whether nothing is left that the next turn should continue at once.
    """

    turn: int
    started_at: float
    began: float
    steps: dict[str, float] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    version: int | None = None
    n_labels: int | None = None
    revision: int | None = None
    is_complete: bool = True
