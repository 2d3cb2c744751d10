"""A project of images with a window, and the thumbnails of some of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from label_studio_al.labeling import Task
from label_studio_al.learning.draws import text_hashes
from label_studio_al.pool.pictures import thumbnail
from label_studio_al.pool.thumbnails import Thumbnails
from label_studio_al.store import Store
from tests.support.build import KEY, event
from tests.support.versions import CONTROL, new_version

IMAGES = f"""<View><Image name="image" value="$image"/>
<Choices name="{CONTROL}" toName="image"><Choice value="A"/><Choice value="B"/></Choices></View>"""
# By task; the first ones are in the window.
ADDRESSES = {
    1: "/data/upload/3/ab12cd34-cat.jpg",
    2: "https://files.example.org/a%20dog.png?X-Amz-Signature=5ec3e7&token=5ec3e7",
    3: "s3://bucket/5ec3e7/horse",
}


def picture(colour: str = "red") -> bytes:
    """A thumbnail."""
    return thumbnail(Image.new("RGB", (300, 200), colour))


def fill(store: Store, key: str = KEY, label_config: str = IMAGES) -> Store:
    """A project of images with a version and a window."""
    store.projects.register(key, label_config, None, 0.0)
    tasks = tuple(Task(task_id, {"image": address, "text": "a text"}) for task_id, address in ADDRESSES.items())
    store.updates.hear(event("TASKS_CREATED", key, tasks=tasks), 0.0)
    window = [(1, 0.9), (2, 0.8), (3, 0.7)]
    new = new_version(4, 5.0, 0, "margin", ("A", "B"), {7: "A", 8: "B"}, None, b"a model", window, top_k={})
    store.versions.publish(key, new, is_switched=True)
    return store


def keep(folder: Path, key: str = KEY, contents: Iterable[str] = ADDRESSES.values(), colour: str = "red") -> None:
    """Thumbnails of contents, as a worker keeps them. folder: that of the embeddings."""
    (folder / key).mkdir(parents=True, exist_ok=True)
    hashes = text_hashes(list(contents))
    Thumbnails(folder / key).add(hashes, [picture(colour)] * len(hashes))
