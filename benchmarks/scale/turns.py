"""One turn, the first sync, memory and restart, at each size of the pool."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.big_label_studio import RunningStudio
from benchmarks.scale.bench import (
    Bench,
    Options,
    connect,
    cpu_seconds,
    is_published,
    megabytes,
    predict_body,
    project_of,
    spawn,
    sync_limit,
    wait,
    wait_for_turn,
    wait_until_started,
    watching_memory,
)
from benchmarks.scale.calls import CallFailedError, Connection
from benchmarks.scale.texts import Asked
from tests.support.backend_process import BackendProcess

# Steps that wait for Label Studio, and those that nobody waits for; all others are our share of a turn.
NOT_OURS = ("sync", "push", "switch", "rest", "prune", "rename", "measure", "map")
N_TURNS = 5
PLOT_SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)

TURN_SECONDS = {10_000: 0.2, 100_000: 0.6, 1_000_000: 3.0}
MULTIPLE_CHOICE_TURN_SECONDS = {100_000: 1.0, 1_000_000: 3.0}
SPANS_TURN_SECONDS = {10_000: 2.0, 100_000: 12.0}
SYNC_SECONDS = {10_000: 2.0, 100_000: 15.0, 1_000_000: 150.0}
MEGABYTES = {10_000: 400.0, 100_000: 700.0, 1_000_000: 2_500.0}
# More than choices take.
SPANS_MEGABYTES = 300.0
RESTART_SECONDS = {10_000: 3.0, 100_000: 3.0, 1_000_000: 5.0}


def limit(limits: Mapping[int, float], n_tasks: int) -> float | None:
    """The aim at a size: that of the next larger size of the table."""
    return next((limits[size] for size in sorted(limits) if size >= n_tasks), None)


def turn_aims(asked: Asked) -> Mapping[int, float]:
    """Seconds of a turn by size, for what is asked."""
    if asked.is_of_spans:
        return SPANS_TURN_SECONDS
    return MULTIPLE_CHOICE_TURN_SECONDS if asked.is_multiple else TURN_SECONDS


def own_seconds(turn: Mapping[str, Any]) -> float:
    """Our share of a turn, from its steps in /status."""
    return sum(seconds for step, seconds in turn["steps"].items() if step not in NOT_OURS)


def turn_section(bench: Bench) -> None:
    """Every size, and for the plot those between."""
    sizes = set(bench.options.sizes)
    if bench.options.plot:
        sizes |= {size for size in PLOT_SIZES if size <= max(bench.options.sizes)}
    seconds: dict[int, float] = {}
    try:
        for n_tasks in sorted(sizes):
            seconds[n_tasks] = _one_size(bench, n_tasks)
    finally:
        if len(seconds) > 1:
            exponent, factor = np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)
            bench.report.row("turn time grows with the pool's size to the power of", None, "", f"{exponent:.2f}")
            if bench.options.plot:
                draw(seconds, float(exponent), float(np.exp(factor)), bench.options)


def _one_size(bench: Bench, n_tasks: int) -> float:
    """All rows of a size. Gives our share of a turn in seconds, the median."""
    with bench.studio() as studio, bench.running_backend(studio, f"turn-{n_tasks}") as backend:
        project_id = studio.make_project(n_tasks)
        with watching_memory(backend) as seen:
            _first_sync(bench, studio, backend, project_id, n_tasks)
            n_labels = bench.options.n_labels(n_tasks)
            studio.import_labels(project_id, n_labels)
            first = wait_for_turn(backend, project_id, n_labels, sync_limit(n_tasks))
            seconds = _turns(bench, studio, backend, project_id, n_tasks, n_labels, first)
        aim = limit(MEGABYTES, n_tasks)
        if aim and bench.texts.asked.is_of_spans:
            aim += SPANS_MEGABYTES
        now = megabytes(backend)
        each = " + ".join(f"{one:.0f}" for one in now)
        bench.report.at_most(
            "memory, web and worker, resident after the turns", n_tasks, sum(now), aim, "MB", f" ({each})"
        )
        bench.report.at_most("the same, the highest so far", n_tasks, max(seen), aim, "MB")
        _pages(bench, backend, project_of(studio, project_id)["key"], n_tasks)
        _restart(bench, studio, backend, project_id, n_tasks)
    return seconds


def _first_sync(bench: Bench, studio: RunningStudio, backend: BackendProcess, project_id: int, n_tasks: int) -> None:
    wait_until_started(backend)
    used, began = cpu_seconds(backend), time.perf_counter()
    connect(backend, studio, project_id, retrain_growth=0)
    wait(lambda: is_published(studio, project_id), "the first version", sync_limit(n_tasks))
    took, used = time.perf_counter() - began, cpu_seconds(backend) - used
    bench.report.at_most(
        "first sync and features, our share (CPU seconds)",
        n_tasks,
        used,
        limit(SYNC_SECONDS, n_tasks),
        "s",
        f" ({took:.1f} s on the clock)",
    )


def _turns(
    bench: Bench,
    studio: RunningStudio,
    backend: BackendProcess,
    project_id: int,
    n_tasks: int,
    n_labels: int,
    first: Mapping[str, Any],
) -> float:
    """Further labels, each of which makes a turn; the median of our share of them."""
    turns, used = [], []
    for row in range(n_labels, n_labels + N_TURNS):
        before = cpu_seconds(backend)
        studio.submit(row + 1, bench.texts.result(row))
        turns.append(wait_for_turn(backend, project_id, row + 1, sync_limit(n_tasks)))
        used.append(cpu_seconds(backend) - before)
    seconds = statistics.median(map(own_seconds, turns))
    bench.report.at_most(
        f"one turn, our share, {n_labels} labels (median of {N_TURNS})",
        n_tasks,
        seconds,
        limit(turn_aims(bench.texts.asked), n_tasks),
        "s",
        f" ({_steps(turns)}; {own_seconds(first):.2f} s where features and calibration are decided anew)",
    )
    for step, what in (("measure", "measuring the model"), ("map", "drawing the map")):
        longest = max(turn["steps"].get(step, 0.0) for turn in (first, *turns))
        bench.report.at_most(f"{what} after a turn, the longest", n_tasks, longest, None, "s")
    what = "processor time from Submit to its end, web and worker"
    bench.report.at_most(what, n_tasks, statistics.median(used), None, "s")
    return seconds


def _steps(turns: list[dict[str, Any]]) -> str:
    """The median of each step that is ours."""
    names = [name for name in turns[-1]["steps"] if name not in NOT_OURS]
    medians = {name: statistics.median(turn["steps"].get(name, 0.0) for turn in turns) for name in names}
    return ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in medians.items())


def _pages(bench: Bench, backend: BackendProcess, key: str, n_tasks: int) -> None:
    """What an admin looks at: the second time, when everything has been read once."""
    connection = Connection(backend.url, {"Accept": "text/html"})
    for what, path in (("the status page", f"/projects/{key}"), ("/status", "/status")):
        for _ in range(2):
            began = time.perf_counter()
            status, content = connection.send("GET", path)
            took = time.perf_counter() - began
        if status != 200:
            raise CallFailedError(f"{path} answered {status}")
        bench.report.at_most(what, n_tasks, took, None, "s", f" ({len(content) / 1000:.0f} kB)")
    connection.close()


def _restart(bench: Bench, studio: RunningStudio, backend: BackendProcess, project_id: int, n_tasks: int) -> None:
    row = next(row for row in range(n_tasks) if bench.texts.result(row))
    body = json.dumps(predict_body(project_of(studio, project_id), bench.texts.texts(row, row + 1), row + 1)).encode()
    backend.stop()
    began = time.perf_counter()
    # Not `start`, whose asking whether it is up takes half a core.
    backend.process = spawn(backend.environment, backend.folder / "backend.log", "serve", "--port", str(backend.port))
    connection = Connection(backend.url)

    def answers() -> bool:
        try:
            status, content = connection.send("POST", "/predict", body)
        except CallFailedError:
            return False
        return status == 200 and bool(json.loads(content)["results"][0]["result"])

    wait(answers, "the first /predict", 120)
    took = time.perf_counter() - began
    connection.close()
    aim = limit(RESTART_SECONDS, n_tasks)
    bench.report.at_most("restart to ready (first /predict answered)", n_tasks, took, aim, "s")
    wait_until_started(backend)
    row, before = bench.options.n_labels(n_tasks) + N_TURNS, cpu_seconds(backend)
    studio.submit(row + 1, bench.texts.result(row))
    turn = wait_for_turn(backend, project_id, row + 1, sync_limit(n_tasks))
    aim = limit(turn_aims(bench.texts.asked), n_tasks) if bench.texts.asked.is_of_spans else None
    more = f" ({cpu_seconds(backend) - before:.1f} s of processor time)"
    bench.report.at_most("the first turn after it, our share", n_tasks, own_seconds(turn), aim, "s", more)


def draw(seconds: Mapping[int, float], exponent: float, factor: float, options: Options) -> None:
    """The turn time against the pool's size, with its fit and the aims, as SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 11, "svg.fonttype": "none", "svg.hashsalt": "label-studio-al"}):
        figure = Figure(figsize=(7.5, 4.6), layout="constrained")
        axes = figure.add_subplot()
        sizes = np.array(sorted(seconds))
        axes.loglog(sizes, [seconds[size] for size in sizes], "o", color="#0072B2", label="measured")
        axes.loglog(
            sizes, factor * sizes**exponent, "-", color="#0072B2", label=f"fit: size to the power of {exponent:.2f}"
        )
        axes.loglog(list(TURN_SECONDS), list(TURN_SECONDS.values()), "x", color="#D55E00", label="aim: at most")
        axes.set_xlabel("Tasks in the pool")
        axes.set_ylabel("Seconds of one turn, our share")
        axes.set_title(f"One turn with {options.n_labelled} labels", loc="left", fontsize=12, fontweight="bold")
        axes.grid(which="major", color="#e6e6e6")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        assert options.plot
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(options.plot, format="svg", metadata={"Date": None})
