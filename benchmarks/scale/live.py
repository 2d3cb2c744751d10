"""From Submit to the first `next` under the new version, in a real Label Studio: as in benchmarks.live_loop."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from benchmarks.live_loop import LOGIN
from benchmarks.live_loop import Bench as LiveBench
from benchmarks.scale.bench import ENVIRONMENT, Bench, stopping
from benchmarks.scale.report import Report
from benchmarks.scale.turns import limit
from label_studio_al.cli.local import FAST_IMPORT, LocalLabelStudio, environment_path, free_port, install
from tests.support.backend_process import BackendProcess

SECONDS = {10_000: 1.0, 100_000: 1.5}
N_LABELS = 20
NO_BACKEND = ""


class SizedBench(LiveBench):
    """Prints its rows into our report, with the aims of its size."""

    report: Report
    aims: Mapping[str, float | None]

    def row(self, what: str, aim: str, measured: str) -> None:
        """A row; the aims of the table of sizes go before those of the live loop."""
        wanted = next((value for start, value in self.aims.items() if what.startswith(start)), None)
        if wanted is None:
            self.report.row(what, self.n_tasks, "", measured)
        else:
            self.report.row(what, self.n_tasks, f"≤ {wanted:g} s", measured, float(measured.split()[0]) <= wanted)


def live_section(bench: Bench) -> None:
    """The sizes that a real Label Studio imports in minutes."""
    install(environment_path(), _say)
    for n_tasks in bench.options.sizes:
        if n_tasks <= max(SECONDS):
            _one_size(bench, n_tasks)


def _one_size(bench: Bench, n_tasks: int) -> None:
    folder = bench.folder / f"live-{n_tasks}"
    folder.mkdir()
    studio = LocalLabelStudio(environment_path(), folder / "data", free_port(), LOGIN, folder / "server.log")
    backend = BackendProcess(folder / "backend", studio.url, LOGIN.token, **ENVIRONMENT)
    with studio, stopping(backend):
        studio.start(_say, FAST_IMPORT if bench.options.has_fast_import else {})
        backend.start()
        live = SizedBench(studio, backend, NO_BACKEND, n_tasks)
        live.report, live.aims = bench.report, {"Submit to the first": limit(SECONDS, n_tasks)}
        live.freshness(live.first_sync(), N_LABELS)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
