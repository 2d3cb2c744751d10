"""Whether the end is that of a run without faults."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from label_studio_al.labeling.identity import VERSION_PREFIX
from label_studio_al.questions import answers, parse_config
from label_studio_al.store import Store
from label_studio_al.turns.policy import TOP_UP_SHARE, WINDOW_AT_LEAST
from tests.chaos.people import People
from tests.chaos.server import StudioServer
from tests.support.fake_label_studio import FakeProject
from tests.support.versions import asked


def differences(server: StudioServer, project: FakeProject, store: Store) -> list[str]:
    """What is not as it must be; empty if all is."""
    with server.lock:
        theirs = _theirs(server, project)
    ours = store.projects.find(project.key)
    if ours is None:
        return ["the project is not known"]
    version = store.versions.find(ours.version_id)
    if version is None:
        return ["there is no version"]
    annotations = store.annotations.all(project.key)
    window = store.windows.pushed(version.id)
    pushed = theirs["predictions"].get(version.name, Counter())
    open_tasks = theirs["tasks"].keys() - {one for one, _ in theirs["annotations"].values()}
    n_left = len(open_tasks & pushed.keys())
    expected = {
        "tasks": (store.tasks.ids(project.key), sorted(theirs["tasks"])),
        "annotations": ({one.id: (one.task_id, _label(one.result)) for one in annotations}, theirs["annotations"]),
        "learnt": (asked(version).trained_on, answers(annotations, parse_config(ours.label_config))["topic"]),
        "project's version": (project.model_version, version.name),
        "connection": ({one["title"] for one in server.fake.connections.values()}, {version.name}),
        "predictions of the window": (dict(pushed), dict.fromkeys(theirs["tasks"].keys() & window, 1)),
        "older predictions": ([name for name in theirs["predictions"] if name != version.name], []),
        "window's size": (n_left >= min(TOP_UP_SHARE * WINDOW_AT_LEAST, len(open_tasks)), True),
        "sampling": (project.sampling, "Uncertainty sampling"),
        "error": (ours.error, None),
    }
    return [
        f"{name}: {_short(was, must)} instead of {_short(must, was)}"
        for name, (was, must) in expected.items()
        if was != must
    ]


def _short(one: Any, other: Any) -> str:
    """What one has and the other has not, where both are collections."""
    if isinstance(one, dict) and isinstance(other, dict):
        return repr({key: value for key, value in one.items() if other.get(key) != value})
    if isinstance(one, list) and isinstance(other, list):
        return repr([item for item in one if item not in other])
    return repr(one)


def wrongs(
    people: People, store: Store, project: FakeProject, log: str, secrets: tuple[str, ...], *, knows_time: bool
) -> list[str]:
    """What went wrong on the way. knows_time: whether the turns' times are those at which they were taken."""
    found = list(dict.fromkeys(people.seen.wrongs))
    turns = sorted(store.turns.newest(project.key, 200), key=lambda turn: turn.started_at) if knows_time else []
    for before, after in pairwise(turns):
        if before.started_at + before.seconds > after.started_at + 0.001:
            found.append(f"two turns at once, at {before.started_at} and {after.started_at}")
    found += [f"the log holds a secret ({secret[:12]}...)" for secret in secrets if secret in log]
    return found


def _theirs(server: StudioServer, project: FakeProject) -> dict[str, Any]:
    predictions: dict[str, Counter[int]] = {}
    for one in project.predictions.values():
        if one["model_version"].startswith(VERSION_PREFIX):
            predictions.setdefault(one["model_version"], Counter())[one["task"]] += 1
    annotations = {one["id"]: (one["task"], _label(one["result"])) for one in project.annotations.values()}
    return {"tasks": dict(project.tasks), "annotations": annotations, "predictions": predictions}


def _label(result: list[Any]) -> str | None:
    return result[0]["value"]["choices"][0] if result else None
