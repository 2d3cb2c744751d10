"""Milliseconds of the status page, beside /health.

    python -m benchmarks.status_page [--projects 20] [--tasks 1000000] [--labels 20000]

A store as the loop leaves it: each project with a version that has learnt its labels, a full window, a measurement, a
map of as many points as there may be, and its turns. All tasks are rows. One client on one thread, the median of a
hundred requests. Needs 300 MB of disk.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlencode

from flask.testing import FlaskClient

from label_studio_al.labeling import Task
from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Measurement, NewVersion, Signer, Store, Turn, VersionQuestion
from label_studio_al.store.maps import MapHead
from label_studio_al.turns.pictures import MAX_LABELS, MAX_POINTS, SIDE
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts

LABELS = [f"label {n}" for n in range(20)]
WINDOW = 100
N_REQUESTS = 100
TASKS_AT_ONCE = 10_000
HTML = {"Accept": "text/html"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--projects", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=1_000_000, help="of all projects together")
    parser.add_argument("--labels", type=int, default=20_000, help="learnt in each project")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = read_settings(model_dir=Path(folder), label_studio_url="http://label-studio.test")
        store, signer = Store(settings.store_url), Signer("of a benchmark")
        store.migrate()
        keys = [f"{number}.1700000000" for number in range(1, options.projects + 1)]
        for key in keys:
            fill(store, key, options.tasks // options.projects, options.labels)
        client = create_app(Parts(settings, store, signer), []).test_client()
        print(f"{options.projects} projects, {options.tasks:,} tasks, {options.labels:,} labels learnt in each\n")
        print("| page | median | times /health |")
        print("| --- | --- | --- |")
        health = milliseconds(client, "/health")
        page = f"/projects/{keys[0]}"
        head = store.maps.head(keys[0])
        assert head is not None
        made_at = datetime.fromtimestamp(head.made_at, timezone.utc).isoformat(timespec="milliseconds")
        # The last one is what an open page asks for every two seconds.
        for path in ("/health", "/", "/status", page, f"{page}?{urlencode({'have': made_at})}"):
            took = milliseconds(client, path)
            shown = path.partition("=")[0].replace(keys[0], "KEY")
            print(f"| {shown} | {took:.1f} ms | {took / health:.0f} |", flush=True)
        store.close()


def fill(store: Store, key: str, n_tasks: int, n_labels: int) -> None:
    """A project in the middle of its life."""
    choices = "".join(f'<Choice value="{label}"/>' for label in LABELS)
    config = f'<View><Text name="text" value="$text"/><Choices name="topic" toName="text">{choices}</Choices></View>'
    store.projects.register(key, config, {}, time.time())
    for first in range(0, n_tasks, TASKS_AT_ONCE):
        ids = range(first, min(first + TASKS_AT_ONCE, n_tasks))
        store.updates.sync_tasks(
            key, [Task(one, {"text": f"message {one} about what went wrong today"}) for one in ids], 2**62
        )
    trained_on = {task_id: LABELS[task_id % len(LABELS)] for task_id in range(min(n_labels, n_tasks - WINDOW))}
    window = [(n_tasks - 1 - place, 1 - place / WINDOW) for place in range(WINDOW)]
    top_k = {task_id: {"topic": [(LABELS[0], 0.41), (LABELS[1], 0.39)]} for task_id, _ in window}
    questions = {"topic": VersionQuestion("", tuple(LABELS), trained_on)}
    new = NewVersion(7, time.time(), 0, "margin", questions, None, b"0" * 10**6, window, frozenset(), top_k=top_k)
    store.versions.publish(key, new, is_switched=True)
    estimate = {"value": 0.8, "low": 0.7, "high": 0.9}
    report = {
        "audit": {"n": 200, "accuracy": estimate},
        "learning_curve": [{"n_labels": 10 * 2**n, "accuracy": estimate, "n": 20} for n in range(8)],
        "random_baseline": [{"n_labels": 10 * 2**n, "accuracy": estimate, "n": 200} for n in range(5)],
        "suspects": [
            {"task_id": n, "label": "label 1", "predicted": "label 2", "probability": 0.9, "label_probability": 0.1}
            for n in range(20)
        ],
        "stop": {"stop": False, "reason": "Keep labelling."},
        "forecast": {"reason": "Cannot tell yet."},
    }
    predictions = dict.fromkeys(range(2000), LABELS[0])
    store.measurements.record(key, Measurement("topic", 7, len(trained_on), time.time(), 0.9, predictions, report))
    draw = random.Random(0)
    points = [[n, draw.randrange(SIDE), draw.randrange(SIDE), n % MAX_LABELS, 0] for n in range(MAX_POINTS)]
    about = {"question": "topic", "labels": LABELS[:MAX_LABELS], "n_tasks": n_tasks, "n_open": n_tasks - n_labels}
    picture = about | {"n_labelled": n_labels, "points": points, "grid": None}
    store.maps.record(key, MapHead(time.time(), len(points)), {}, picture)
    for _ in range(20):
        store.turns.record(key, Turn(time.time(), 1.0, "published al-7", 7, len(trained_on), {"train": 0.5}))


def milliseconds(client: FlaskClient, path: str) -> float:
    """The median of many requests."""
    headers = {} if path == "/status" else HTML
    took = []
    for _ in range(N_REQUESTS):
        began = time.perf_counter()
        answer = client.get(path, headers=headers)
        took.append(1000 * (time.perf_counter() - began))
        if answer.status_code != 200:
            raise SystemExit(f"{path} answered {answer.status_code}")
    return statistics.median(took[N_REQUESTS // 10 :])


if __name__ == "__main__":
    main()
