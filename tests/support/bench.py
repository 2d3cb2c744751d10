"""A loop with a real store and a small Label Studio in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from label_studio_al.labeling import read_event
from label_studio_al.runtime.computing import Computing
from label_studio_al.runtime.counting import Counts
from label_studio_al.runtime.settings import Settings
from label_studio_al.store import Project, Signer, Store, Version
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.turns.encoding import Encoding
from label_studio_al.turns.loop import Loop
from label_studio_al.turns.means import Means
from label_studio_al.turns.seeing import Encoders
from tests.support.background import AtOnce
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import TOKEN, URL, FakeLabelStudio, FakeProject

ANIMALS = ["the cat sleeps", "a dog barks", "wild horses run", "the bird sings", "a fish swims"]
MACHINES = ["the engine roars", "a robot welds", "pumps and valves", "the turbine spins", "gears that grind"]
# Every text is its own, and its first words tell its label.
TEXTS = [f"{text} number {n}" for n in range(4) for pair in zip(ANIMALS, MACHINES, strict=True) for text in pair]


def config(*labels: str, control: str = "topic") -> str:
    choices = "".join(f'<Choice value="{label}"/>' for label in labels)
    return f'<View><Text name="text" value="$text"/><Choices name="{control}" toName="text">{choices}</Choices></View>'


TWO = config("animal", "machine")


@dataclass
class Bench:
    """One Label Studio, one store, and the loop between them."""

    fake: FakeLabelStudio
    store: Store
    signer: Signer
    clock: FakeClock
    settings: Settings
    with_studio: bool = True
    counts: Counts = field(default_factory=Counts)
    encoders: Encoders | None = None
    loop: Loop = field(init=False)
    encoding: Encoding | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self, store: Store | None = None, *, with_studio: bool | None = None) -> None:
        """A new worker process: nothing in memory."""
        self.with_studio = self.with_studio if with_studio is None else with_studio
        studio = self._open_studio() if self.with_studio else None
        used = store or self.store
        if self.encoding is not None:
            self.encoding.close()
        if self.encoders is not None:
            self.encoding = Encoding(used, self.clock, self.settings.embeddings_dir, self.encoders)
        means = Means(
            used,
            studio,
            self.signer,
            self.settings,
            self.clock,
            Computing(1),
            AtOnce(),
            self.counts,
            encoding=self.encoding,
        )
        self.loop = Loop(means)

    def _open_studio(self) -> Studio:
        installation = self.store.installation
        return Studio(Api(URL, TOKEN, self.fake.client(), self.clock), installation)

    def add(self, label_config: str = TWO, texts: list[str] | None = None, **params: Any) -> FakeProject:
        """A connected project."""
        project = self.fake.add_project(label_config, TEXTS if texts is None else texts)
        self.fake.connect(project.id)
        self.store.projects.register(project.key, label_config, params, self.clock.now())
        return project

    def hear(self, webhook: dict[str, Any]) -> None:
        """A webhook arrives."""
        event = read_event(webhook)
        assert event is not None
        assert self.store.updates.hear(event, self.clock.now(), adds_only=self.with_studio) is not None

    def turn(self, project: FakeProject, after_seconds: float = 10.0) -> Project:
        """Take a turn some time later."""
        self.clock.advance(after_seconds)
        self.loop.take_turn(project.key)
        return self.store.projects.get(project.key)

    def label(
        self, project: FakeProject, n: int, label_of: Callable[[str], str | list[str]] | None = None
    ) -> list[int]:
        """Somebody labels the next n tasks of the queue. Gives the tasks."""
        asked = (project.queue() or [])[:n]
        assert len(asked) == n
        for task_id in asked:
            text = project.tasks[task_id]["data"]["text"]
            self.hear(self.fake.annotate(project.id, task_id, (label_of or truth)(text)))
        return asked

    def version(self, project: FakeProject) -> Version:
        """The published version."""
        version_id = self.store.projects.get(project.key).version_id
        assert version_id is not None
        return self.store.versions.get(version_id)

    def publish(self, project: FakeProject, n: int) -> None:
        """The first version, then n trained ones."""
        self.turn(project)
        for _ in range(n):
            self.label(project, 5)
            self.turn(project)

    def settle(self, project: FakeProject) -> Project:
        """Turns until nothing is left to do, long enough apart for retries and a sync."""
        state = self.turn(project, after_seconds=400)
        for _ in range(5):
            is_published = state.is_switched and state.is_window_pushed
            if state.error is None and is_published and not state.stale_versions:
                return state
            state = self.turn(project, after_seconds=400)
        raise AssertionError(f"the turns do not converge: {state}")


def truth(text: str) -> str:
    return "animal" if any(text.startswith(one) for one in ANIMALS) else "machine"
