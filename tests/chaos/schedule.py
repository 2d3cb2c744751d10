"""What goes wrong, and when: drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.chaos.server import API_FAULTS, WEBHOOK_FAULTS
from tests.chaos.worker import STEPS

LABELLING_SECONDS = 6.0
PROCESS_FAULTS = (
    "kill web",
    "kill worker",
    "kill both",
    "kill serve",
    "stop worker",
    "end worker",
    "kill at a step",
    "clock back",
    "clock forward",
)
# What becomes of Label Studio.
STUDIO_FAULTS = ("backup restored", "its clock back", "its clock forward")
CLOCK_SECONDS = {"back": -86_400.0, "forward": 86_400.0}
STORAGE_FAULTS = (
    "disk full",
    "database locked",
    "read-only",
    "database stopped",
    "torn model",
    "torn features",
    "torn feature files",
    "torn journal",
    "torn database",
    "jobs deleted",
)
# Which faults a database cannot have.
NOT_SQLITE = ("read-only", "database stopped")
NOT_POSTGRESQL = ("torn journal", "torn database")


@dataclass(frozen=True)
class Fault:
    """kind: api, webhook, process, studio or storage. step: where a turn is killed."""

    at_seconds: float
    seconds: float
    kind: str
    name: str
    step: str = ""

    def __str__(self) -> str:
        where = f" {self.step}" if self.step else ""
        return f"{self.at_seconds:.1f} s: {self.kind} {self.name}{where} ({self.seconds:.1f} s)"


@dataclass(frozen=True)
class Schedule:
    """One run."""

    seed: int
    database: str
    n_tasks: int
    n_annotators: int
    faults: tuple[Fault, ...]
    # Where turns are killed one after the other, each when the one before has been made up for.
    steps: tuple[str, ...] = ()

    def __str__(self) -> str:
        faults = "; ".join([*map(str, self.faults), *self.steps])
        people = f"{self.n_tasks} tasks, {self.n_annotators} annotators"
        return f"seed {self.seed} on {self.database}: {people}: {faults}"


def at_each_step(when: str, database: str) -> Schedule:
    """Kills at all steps of a turn, one after the other. when: "before" or "after"."""
    return Schedule(1000 + (when == "after"), database, 400, 1, (), tuple(f"{when} {step}" for step in STEPS))


def draw(seed: int, database: str) -> Schedule:
    """The schedule of a seed."""
    rng = random.Random(f"{database} {seed}")
    faults = [_fault(rng, database) for _ in range(rng.randint(2, 6))]
    return Schedule(
        seed=seed,
        database=database,
        n_tasks=rng.randint(120, 250),
        n_annotators=rng.randint(1, 3),
        faults=tuple(sorted(faults, key=lambda fault: fault.at_seconds)),
    )


def _fault(rng: random.Random, database: str) -> Fault:
    kind = rng.choice(("api", "webhook", "process", "process", "studio", "storage"))
    impossible = NOT_SQLITE if database == "sqlite" else NOT_POSTGRESQL
    names = {
        "api": API_FAULTS,
        "webhook": WEBHOOK_FAULTS,
        "process": PROCESS_FAULTS,
        "studio": STUDIO_FAULTS,
        "storage": tuple(name for name in STORAGE_FAULTS if name not in impossible),
    }[kind]
    name = rng.choice(names)
    step = f"{rng.choice(('before', 'after'))} {rng.choice(STEPS)}" if name == "kill at a step" else ""
    return Fault(rng.uniform(0.0, LABELLING_SECONDS - 1), rng.uniform(0.3, 3.0), kind, name, step)
