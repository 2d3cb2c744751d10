"""Tasks, annotations and events with the parts that a test cares for; the rest is as Label Studio sends it."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from label_studio_al.labeling import Annotation, Event, Task
from label_studio_al.pool.fitting import PoolMeans
from label_studio_al.pool.tasks import Pool
from label_studio_al.questions import LabelConfig, parse_config
from label_studio_al.runtime.computing import Computing
from label_studio_al.store import Signer, Store
from tests.support.background import AtOnce
from tests.support.clock import FakeClock

KEY = "3.1795343520"
OTHER_KEY = "4.1795343521"
LABELS = ("A", "B")


def config_xml(labels: tuple[str, ...] = LABELS, field: str = "text") -> str:
    """A label config that asks for one of the labels about the task's field."""
    choices = "".join(f'<Choice value="{label}"/>' for label in labels)
    return f'<View><Text name="text" value="${field}"/><Choices name="topic" toName="text">{choices}</Choices></View>'


def choice(label: str, control: str = "topic") -> dict[str, Any]:
    """A result item."""
    return {"from_name": control, "to_name": "text", "type": "choices", "value": {"choices": [label]}}


def task(task_id: int, text: str | None = None) -> Task:
    """A task with a text of its own."""
    return Task(task_id, {"text": f"text {task_id}" if text is None else text})


def annotation(
    annotation_id: int, task_id: int, label: str | None = "A", *, second: int = 0, was_cancelled: bool = False
) -> Annotation:
    """An annotation that was made `second` seconds after noon; label None is an empty result."""
    return Annotation(
        id=annotation_id,
        task_id=task_id,
        result=[] if label is None else [choice(label)],
        was_cancelled=was_cancelled,
        updated_at=f"2026-11-23T12:{second // 60:02}:{second % 60:02}.500000Z",
    )


def event(action: str = "PROJECT_UPDATED", key: str = KEY, **parts: Any) -> Event:
    """What a webhook told."""
    return Event(action=action, project_key=key, label_config=parts.pop("label_config", None), **parts)


def make_pool(
    store: Store,
    signer: Signer,
    folder: Path,
    *,
    key: str = KEY,
    config: LabelConfig | None = None,
    background: Executor | None = None,
) -> Pool:
    """A pool as after a restart of the worker, before its first `refresh`; without an encoder."""
    config = config or parse_config(config_xml())
    means = PoolMeans(
        store, signer, FakeClock(), Computing(1), background or AtOnce(), None, folder, folder / "embeddings"
    )
    return Pool(key, config, means)
