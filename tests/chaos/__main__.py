"""Runs schedules, several at once, and says which did not converge."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

import click

from tests.chaos.run import Outcome, run
from tests.chaos.schedule import Schedule, at_each_step, draw
from tests.support.postgres import Postgres


def run_alone(schedule: Schedule) -> Outcome:
    """One schedule, on a server of its own."""
    postgres = Postgres() if schedule.database == "postgresql" else None
    try:
        return run(schedule, postgres)
    finally:
        if postgres is not None:
            postgres.close()


def outcomes(schedules: list[Schedule], at_once: int) -> Iterator[Outcome]:
    """The outcomes as they come."""
    with ProcessPoolExecutor(at_once) as pool:
        for done in as_completed([pool.submit(run_alone, schedule) for schedule in schedules]):
            yield done.result()


@click.command()
@click.option("--seed", "seeds", type=int, multiple=True, help="Only these schedules.")
@click.option("--schedules", default=200, show_default=True, help="How many schedules.")
@click.option("--first-seed", default=0, show_default=True)
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
@click.option("--at-once", default=2, show_default=True, help="Schedules that run side by side.")
@click.option("--log", "with_log", is_flag=True, help="Also print the log of what failed.")
def main(seeds: tuple[int, ...], schedules: int, first_seed: int, database: str, at_once: int, with_log: bool) -> None:
    """Label under faults and see whether everything converges."""
    drawn = [draw(seed, database) for seed in seeds or range(first_seed, first_seed + schedules)]
    wanted = drawn if seeds else [at_each_step("before", database), at_each_step("after", database), *drawn]
    done: list[Outcome] = []
    for outcome in outcomes(wanted, at_once):
        done.append(outcome)
        click.echo(outcome)
        if with_log and not outcome.has_converged:
            click.echo(outcome.log)
    failed = sorted(outcome.schedule.seed for outcome in done if not outcome.has_converged)
    click.echo(
        f"{len(done) - len(failed)} of {len(done)} schedules converged on {database}; "
        f"{sum(outcome.n_labels for outcome in done)} labels; "
        f"slowest Submit {max(outcome.slowest_submit for outcome in done):.2f} s, "
        f"slowest convergence {max(outcome.converged_seconds for outcome in done):.1f} s"
        + (f"; failing seeds: {failed}" if failed else "")
    )
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
