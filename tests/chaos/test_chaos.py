"""Whatever fails, it ends as if nothing had failed. The long run: `make chaos`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos.run import Outcome, run
from tests.chaos.schedule import (
    LABELLING_SECONDS,
    PROCESS_FAULTS,
    STORAGE_FAULTS,
    STUDIO_FAULTS,
    Schedule,
    at_each_step,
    draw,
)
from tests.chaos.server import API_FAULTS, WEBHOOK_FAULTS
from tests.chaos.worker import STEPS
from tests.support.postgres import Postgres

# Chosen so that few hold most kinds of faults; `make chaos` runs hundreds of others.
SQLITE_SEEDS = (37, 58, 111, 138)
# None that stops the server: that would take the other schedules' databases away, too.
POSTGRESQL_SEEDS = (2, 24)
AT_EACH_STEP = at_each_step("after", "sqlite")
AT_ONCE = 3


@pytest.fixture(scope="module")
def outcomes(postgres: Postgres) -> Iterator[dict[str, Outcome]]:
    """All schedules, several at once: most of their time they wait."""
    schedules = [
        # The longest first.
        AT_EACH_STEP,
        *[draw(seed, "sqlite") for seed in SQLITE_SEEDS],
        *[draw(seed, "postgresql") for seed in POSTGRESQL_SEEDS],
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = pool.map(lambda one: run(one, None if one.database == "sqlite" else postgres), schedules)
        yield {name(outcome.schedule): outcome for outcome in done}


def name(schedule: Schedule) -> str:
    return f"{schedule.database} {schedule.seed}"


def test_all_schedules_converge_without_a_slow_submit_or_an_unordered_queue(outcomes: dict[str, Outcome]) -> None:
    failed = [f"{outcome}\n{outcome.log[-5000:]}" for outcome in outcomes.values() if not outcome.has_converged]
    assert not failed, "\n\n".join(failed)
    assert len({fault.name for outcome in outcomes.values() for fault in outcome.schedule.faults}) >= 30


def test_a_turn_was_killed_after_every_step(outcomes: dict[str, Outcome]) -> None:
    assert outcomes[name(AT_EACH_STEP)].n_kills == len(STEPS)


def test_a_seed_gives_the_same_schedule_and_many_give_every_fault() -> None:
    assert draw(17, "sqlite") == draw(17, "sqlite")
    drawn = [draw(seed, database) for seed in range(200) for database in ("sqlite", "postgresql")]
    names = {fault.name for schedule in drawn for fault in schedule.faults}
    assert names == {*API_FAULTS, *WEBHOOK_FAULTS, *PROCESS_FAULTS, *STUDIO_FAULTS, *STORAGE_FAULTS}
    assert all(fault.at_seconds < LABELLING_SECONDS for schedule in drawn for fault in schedule.faults)
