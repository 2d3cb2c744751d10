"""Whatever fails, it ends as if nothing had failed. The long run: `make chaos`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos.run import Outcome, run
from tests.chaos.schedule import LABELLING_SECONDS, PROCESS_FAULTS, STORAGE_FAULTS, STUDIO_FAULTS, Schedule, draw
from tests.chaos.server import API_FAULTS, WEBHOOK_FAULTS
from tests.chaos.worker import STEPS
from tests.support.postgres import Postgres

# Chosen so that together they hold many kinds of faults; `make chaos` runs hundreds of others.
SQLITE_SEEDS = (3, 5, 10, 13, 17, 22)
POSTGRESQL_SEEDS = (2, 4, 9, 10)
AT_ONCE = 3


def steps_in_one_run(half: int) -> Schedule:
    """Every second of all places before and after the steps of a turn, one after the other."""
    places = [f"{when} {step}" for step in STEPS for when in ("before", "after")][half::2]
    return Schedule(1000 + half, "sqlite", 400, 1, (), tuple(places))


@pytest.fixture(scope="module")
def outcomes(postgres: Postgres) -> Iterator[dict[str, Outcome]]:
    """All schedules, several at once: most of their time they wait."""
    schedules = [
        # The longest first.
        steps_in_one_run(0),
        steps_in_one_run(1),
        *[draw(seed, "sqlite") for seed in SQLITE_SEEDS],
        *[draw(seed, "postgresql") for seed in POSTGRESQL_SEEDS if not stops_the_server(draw(seed, "postgresql"))],
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = pool.map(lambda one: run(one, None if one.database == "sqlite" else postgres), schedules)
        yield {name(outcome.schedule): outcome for outcome in done}


def name(schedule: Schedule) -> str:
    return f"{schedule.database} {schedule.seed}"


def stops_the_server(schedule: Schedule) -> bool:
    """Whether it would take the other schedules' database away, too."""
    return any(fault.name == "database stopped" for fault in schedule.faults)


def test_all_schedules_converge_without_a_slow_submit_or_an_unordered_queue(outcomes: dict[str, Outcome]) -> None:
    failed = [f"{outcome}\n{outcome.log[-5000:]}" for outcome in outcomes.values() if not outcome.has_converged]
    assert not failed, "\n\n".join(failed)
    assert len(outcomes) >= 12


def test_a_turn_was_killed_before_and_after_every_step(outcomes: dict[str, Outcome]) -> None:
    for half in (0, 1):
        outcome = outcomes[f"sqlite {1000 + half}"]
        assert outcome.n_kills == len(outcome.schedule.steps) == len(STEPS)


def test_a_seed_gives_the_same_schedule_and_many_give_every_fault() -> None:
    assert draw(17, "sqlite") == draw(17, "sqlite")
    drawn = [draw(seed, database) for seed in range(200) for database in ("sqlite", "postgresql")]
    names = {fault.name for schedule in drawn for fault in schedule.faults}
    assert names == {*API_FAULTS, *WEBHOOK_FAULTS, *PROCESS_FAULTS, *STUDIO_FAULTS, *STORAGE_FAULTS}
    assert all(fault.at_seconds < LABELLING_SECONDS for schedule in drawn for fault in schedule.faults)
