"""Two questions of five labels beside one of ten."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import replace

from benchmarks.scale.bench import Bench, sync_limit, wait_for_turn
from benchmarks.scale.scoring import scored
from benchmarks.scale.texts import Asked, TextFile
from benchmarks.scale.turns import own_seconds

RATIO = 1.3
ONE, TWO = "single:10", "two:5"
N_SCORED, N_TURNS = 5, 20


def questions_section(bench: Bench) -> None:
    """How much longer two questions take at every size, measured in turns with one question."""
    benches = []
    for kind in (ONE, TWO):
        folder = bench.folder / kind.replace(":", "-")
        benches.append(replace(bench, texts=TextFile.make(folder, len(bench.texts), Asked.parse(kind))))
    for n_tasks in bench.options.sizes:
        scores = [[1000 * scored(one, n_tasks)["ours"] for one in benches] for _ in range(N_SCORED)]
        _row(bench, "scoring the pool by margin", n_tasks, scores)
        _row(bench, "one turn, our share", n_tasks, _turns(benches, n_tasks))


def _turns(benches: list[Bench], n_tasks: int) -> list[list[float]]:
    """Milliseconds of further turns, each with one more label: of the one question, then of the two."""
    with ExitStack() as stack:
        trained = [stack.enter_context(one.trained(f"{one.texts.folder.name}-{n_tasks}", n_tasks)) for one in benches]
        n_labels = benches[0].options.n_labels(n_tasks)
        found: list[list[float]] = []
        for row in range(n_labels, n_labels + N_TURNS):
            found.append([])
            for one, (studio, backend, project_id) in zip(benches, trained, strict=True):
                studio.submit(row + 1, one.texts.result(row))
                turn = wait_for_turn(backend, project_id, row + 1, sync_limit(n_tasks))
                found[-1].append(1000 * own_seconds(turn))
    return found


def _row(bench: Bench, what: str, n_tasks: int, pairs: list[list[float]]) -> None:
    """The ratio of the medians, and the quartiles of the pairs' ratios."""
    one, two = (statistics.median(column) for column in zip(*pairs, strict=True))
    low, _, high = statistics.quantiles([second / first for first, second in pairs], n=4)
    more = f" ({two:.0f} against {one:.0f} ms, {len(pairs)} pairs, quartiles {low:.2f} to {high:.2f})"
    bench.report.at_most(f"{TWO} against {ONE}: {what}", n_tasks, two / one, RATIO, "times", more)
