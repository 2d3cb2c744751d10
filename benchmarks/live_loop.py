"""The live loop, measured in a real Label Studio beside a backend that does nothing.

    make bench            # or: python -m benchmarks.live_loop [--tasks 10000] [--quick]

Starts a Label Studio of its own (SQLite, no Redis), this backend and the no-op backend on free loopback ports,
and prints a table. Takes about 15 minutes with 10,000 tasks on two cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import httpx
import psutil

from benchmarks.texts import LABELS, make_texts
from label_studio_al.cli.local import FAST_IMPORT, LocalLabelStudio, Login, environment_path, free_port, install
from label_studio_al.labeling import project_key
from label_studio_al.runtime.settings import Settings
from label_studio_al.studio import WEBHOOK_HEADER, webhook_secret
from label_studio_al.wiring import webhook_keys
from tests.support.backend_process import BackendProcess
from tests.support.studio import Annotator, Served, Truth, choice, is_lowest, until

LOGIN = Login(email="admin@example.com", password="password-123", token="0123456789abcdef" * 2 + "01234567")
THINKING_SECONDS = 1.0
OWN_STEPS = ("features", "labels", "train", "rank", "record")


class Bench:
    def __init__(self, studio: LocalLabelStudio, backend: BackendProcess, noop_url: str, n_tasks: int) -> None:
        self.studio = studio
        self.backend = backend
        self.noop_url = noop_url
        self.n_tasks = n_tasks
        self.truth = Truth(studio.data_dir)
        self.admin = Annotator(studio.url, token=LOGIN.token)
        self.colleague = Annotator.sign_up(studio.url, "colleague@example.com")
        texts, labels = make_texts(n_tasks, seed=1)
        self.texts = texts
        self.gold = dict(zip(texts, labels, strict=True))
        self.rows: list[tuple[str, str, str]] = []

    def row(self, what: str, aim: str, measured: str) -> None:
        self.rows.append((what, aim, measured))
        print(f"| {what} | {aim} | {measured} |", flush=True)

    def project(self, title: str) -> int:
        project_id = self.admin.create_project(title, LABELS)
        for start in range(0, self.n_tasks, 5_000):
            self.admin.import_texts(project_id, self.texts[start : start + 5_000])
        return project_id

    def label(self, annotator: Annotator, served: Served) -> float:
        return annotator.submit(served.task_id, self.gold[served.text])

    def quiet(self, project_id: int) -> dict:
        """Wait until no turn runs or is about to."""

        def look() -> dict | None:
            state = self.backend.project(project_id)
            is_quiet = state["activity"].startswith("waiting") and not state["error"]
            return state if is_quiet and self.truth.version(project_id) == state["version"]["name"] else None

        state = until(look, "the project is quiet", 300)
        time.sleep(0.25)
        return state

    # -- the measurements -------------------------------------------------------------------------------------

    def first_sync(self) -> int:
        project_id = self.project("order and freshness")
        began = time.time()
        self.backend.connect(project_id, "--set", "retrain_growth=0")
        self.quiet(project_id)
        self.row("from connecting to the first order of the queue", "10 s", f"{time.time() - began:.1f} s")
        rss, pss = memory(self.backend)
        self.row("memory of web and worker then", "500 MB", f"{rss:.0f} MB resident, {pss:.0f} MB counting shared once")
        return project_id

    def order(self, project_id: int, n: int) -> None:
        people = {self.admin: self.truth.user_id(LOGIN.email)}
        hits, served = self._order(project_id, people, n)
        self.row("one annotator: tasks served with the lowest score", "200 of 200", f"{hits} of {served}")
        people[self.colleague] = self.truth.user_id("colleague@example.com")
        hits, served = self._order(project_id, people, n)
        self.row("two annotators at once", "200 of 200", f"{hits} of {served}")

    def _order(self, project_id: int, people: dict[Annotator, int], n: int) -> tuple[int, int]:
        hits: list[bool] = []
        looking = threading.Lock()

        def work(annotator: Annotator) -> None:
            for _ in range(n // len(people)):
                with looking:  # or the other one's lock comes between the look and the call
                    before = self.truth.queue(project_id, people[annotator])
                    served = annotator.next(project_id)
                    after = self.truth.queue(project_id, people[annotator])
                hits.append(is_lowest(served.task_id, before, after))
                if not hits[-1]:
                    print("not the lowest:", served, before[0], after[0], file=sys.stderr)
                self.label(annotator, served)

        threads = [threading.Thread(target=work, args=[annotator]) for annotator in people]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(hits), len(hits)

    def freshness(self, project_id: int, n: int) -> None:
        total, own, shown = [], [], 0
        for _ in range(6):  # enough labels for a model, so that every further one makes a turn due
            self.label(self.admin, self.admin.next(project_id))
        n_labels = self.truth.labels(project_id)
        until(lambda: self.backend.project(project_id)["version"]["n_labels"] == n_labels, "the labels are learnt")
        for _ in range(n):
            version = self.quiet(project_id)["version"]["name"]
            served = self.admin.next(project_id)
            began = time.time()
            self.label(self.admin, served)
            submitted = time.time()
            # Looked at in the database, since a page that asks for `next` all the time would slow the turn down.
            until(lambda old=version: self.truth.version(project_id) != old, "the next version")
            fresh = self.admin.next(project_id)
            total.append(time.time() - began)
            turn = self.quiet(project_id)["turns"][0]
            shown += fresh.version == self.truth.version(project_id)
            delay = datetime.fromisoformat(turn["started_at"]).timestamp() - submitted
            own.append(max(0.0, delay) + sum(turn["steps"].get(step, 0.0) for step in OWN_STEPS))
        self.row(
            "Submit to the first `next` under the new version, median", "1.5 s", f"{statistics.median(total):.2f} s"
        )
        self.row("of that our own share, median", "0.3 s", f"{statistics.median(own):.2f} s")
        self.row("tasks served with a prediction of the new version", "all", f"{shown} of {n}")

    def latency(self, n: int) -> None:
        ours, theirs = self.project("latency, ours"), self.project("latency, no-op")
        self.backend.connect(ours, "--set", "retrain_growth=0")
        connection = {"url": self.noop_url, "project": theirs, "title": "noop"}
        self.admin.call("POST", "/api/ml/", connection)
        self.admin.call("PATCH", f"/api/projects/{theirs}/", {"sampling": "Uncertainty sampling"})
        kinds = ("noop", "idle", "busy", "noop steady", "steady", "noop next", "next")
        times: dict[str, list[float]] = {name: [] for name in kinds}
        self.quiet(ours)
        for _ in range(n):
            # Block by block, so that the machine's noise meets all of them.
            self.quiet(ours)
            for _ in range(3):
                served = self.admin.next(theirs)
                times["noop next"].append(served.seconds)
                times["noop"].append(self.label(self.admin, served))
            served = self.admin.next(ours)
            times["next"].append(served.seconds)
            times["idle"].append(self.label(self.admin, served))
            for pause in (0.05, 0.2):
                # The turn that the Submit before has made due is running now.
                served = self.admin.next(ours)
                time.sleep(pause)
                times["busy"].append(self.label(self.admin, served))
            for name, project_id in (("noop steady", theirs), ("steady", ours)):
                for _ in range(3):
                    served = self.admin.next(project_id)
                    time.sleep(THINKING_SECONDS)
                    times[name].append(self.label(self.admin, served))
        for name, other, what in (
            ("idle", "noop", "no turn running"),
            ("busy", "noop", "0.05 and 0.2 s after the Submit before, whose turn is running"),
            ("steady", "noop steady", f"{THINKING_SECONDS:.0f} s for each task, every label making a turn"),
        ):
            mid, high = median_and_95(times[name])
            base, base_95 = median_and_95(times[other])
            self.row(
                f"Submit beside that with the no-op backend, {what}",
                "1.2 x median, 1.5 x at 95 %",
                f"{mid / base:.2f} x, {high / base_95:.2f} x ({mid:.0f} and {high:.0f} ms; no-op: {base:.0f}, "
                f"{base_95:.0f})",
            )
        mid, high = median_and_95(times["next"])
        base, base_95 = median_and_95(times["noop next"])
        self.row(
            "Next slower than with the no-op backend",
            "20 ms median",
            f"{mid - base:+.0f} ms (no-op: {base:.0f}; at 95 %: {high - base_95:+.0f})",
        )

    def counters(self) -> None:
        wrong, annotated = self.truth.miscounted()
        self.row("annotated tasks whose annotations Label Studio has miscounted", "0", f"{wrong} of {annotated}")
        refused = sum("[ERROR]" in line and "database is locked" in line for line in self.studio.log_path.open())
        self.row("requests of anybody that met another's write in SQLite", "-", f"{refused}")

    def burst(self, project_id: int, n: int, seconds: float) -> None:
        state = self.quiet(project_id)
        project = self.admin.call("GET", f"/api/projects/{project_id}/")
        labelled = {row[0] for row in self.truth.ask("SELECT task_id FROM task_completion")}
        ids = [task for task in self.admin.task_ids(project_id) if task not in labelled][:n]
        key = webhook_keys(Settings(model_dir=self.backend.folder))[0]
        secret = webhook_secret(key, project_key(project_id, project["created_at"]))
        known, began, slowest = len(state["turns"]), time.perf_counter(), 0.0
        newest = state["turns"][0]["started_at"]
        with httpx.Client(base_url=self.backend.url, headers={WEBHOOK_HEADER: secret}, timeout=10) as client:
            for place, task in enumerate(ids):
                time.sleep(max(0.0, began + place * seconds / n - time.perf_counter()))
                annotation = {
                    "id": 10**9 + place,
                    "task": task,
                    "result": choice(LABELS[place % 4]),
                    "was_cancelled": False,
                    "updated_at": "2026-01-01T00:00:00.000000Z",
                }
                body = {"action": "ANNOTATION_CREATED", "annotation": annotation, "project": project}
                sent = time.perf_counter()
                client.post("/webhook", json=body).raise_for_status()
                slowest = max(slowest, time.perf_counter() - sent)
        took = time.perf_counter() - began
        wanted = state["version"]["n_labels"] + len(ids)
        until(lambda: self.backend.project(project_id)["version"]["n_labels"] == wanted, f"{wanted} labels learnt", 60)
        turns = [turn for turn in self.backend.project(project_id)["turns"] if turn["started_at"] > newest]
        n_trained = sum("published" in turn["outcome"] for turn in turns)
        self.row(
            f"{n} webhooks in {took:.0f} s",
            "at most 3 turns, no label lost",
            f"{n_trained} turns, {wanted - state['version']['n_labels']} of {n} labels learnt, "
            f"slowest answer {1000 * slowest:.0f} ms",
        )
        assert known


def median_and_95(seconds: Sequence[float]) -> tuple[float, float]:
    """In milliseconds."""
    ordered = sorted(seconds)
    return 1000 * statistics.median(ordered), 1000 * ordered[int(0.95 * (len(ordered) - 1))]


def memory(backend: BackendProcess) -> tuple[float, float]:
    """Resident and proportional megabytes of `serve` and its children."""
    assert backend.process
    serve = psutil.Process(backend.process.pid)
    infos = [process.memory_full_info() for process in (serve, *serve.children(recursive=True))]
    return sum(info.rss for info in infos) / 1e6, sum(info.pss for info in infos) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument(
        "--sections", default="order,freshness,latency,burst", help="which measurements, after the sync"
    )
    parser.add_argument(
        "--fast-import",
        action="store_true",
        help="start Label Studio with its own faster way of importing predictions (a feature flag of its)",
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions, to try the script")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args()
    share = 10 if options.quick else 1
    install(environment_path(), lambda line: print(line, file=sys.stderr))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        noop_port = free_port()
        noop = subprocess.Popen([sys.executable, "-m", "benchmarks.noop_backend", str(noop_port)])
        studio = LocalLabelStudio(environment_path(), folder / "data", free_port(), LOGIN, folder / "server.log")
        backend = BackendProcess(folder / "backend", studio.url, LOGIN.token, LOG_LEVEL="INFO", AL_SYNC_SECONDS="3600")
        try:
            with studio:
                flags = FAST_IMPORT if options.fast_import else {}
                studio.start(lambda line: print(line, file=sys.stderr), flags)
                backend.start()
                bench = Bench(studio, backend, f"http://127.0.0.1:{noop_port}", options.tasks)
                print("| what | aim | measured |\n| --- | --- | --- |")
                project_id = bench.first_sync()
                measurements = {
                    "order": lambda: bench.order(project_id, 200 // share),
                    "freshness": lambda: bench.freshness(project_id, 20 // share),
                    "latency": lambda: bench.latency(30 // share),
                    "burst": lambda: bench.burst(project_id, 1_000 // share, 10.0 / share),
                }
                for name in options.sections.split(","):
                    measurements[name]()
                bench.counters()
                backend.stop()
        except BaseException:
            print(backend.log()[-3000:], file=sys.stderr)
            raise
        finally:
            backend.stop()
            noop.terminate()
            noop.wait()
        if options.json:
            options.json.write_text(json.dumps(bench.rows, indent=1))


if __name__ == "__main__":
    main()
