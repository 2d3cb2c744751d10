"""What tasks show, as encoders take it: texts, and images that are fetched ahead, less often while people label."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from label_studio_al.learning.deferred import IMAGE, TEXT, Kind
from label_studio_al.learning.draws import text_hashes
from label_studio_al.learning.images import WithImages
from label_studio_al.learning.rows import unit_rows
from label_studio_al.learning.texts import readable
from label_studio_al.learning.types import Array
from label_studio_al.questions import LabelConfig
from label_studio_al.runtime.errors import ImageUnusable

# So many images are fetched at the same time, and the next batch while one is encoded.
N_FETCHING = 4
# While people label, a pause of so many times what the image before it took.
PAUSE_SHARE = 5.0
PAUSE_SECONDS_AT_MOST = 2.0

Seen = tuple[Any, bytes]


class SlowEncoder(Protocol):
    """Turns texts or images into embeddings. fingerprint: of its name and weights."""

    name: str
    n_dimensions: int

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    def encode(self, items: Sequence[Any], /) -> Array:
        """Rows of unit length, zero where nothing is seen. Returns shape (n_items, n_dimensions), float32."""
        ...


@dataclass(frozen=True)
class Encoders:
    """What embeds. names: of the encoder of each kind of content, of those that are wanted.

    load: makes the encoder of a kind; raises BackendError. image_of: the image behind an address that a task (its id
    follows) shows; raises BackendError. thumbnail_of: a small JPEG of such an image.
    """

    names: Mapping[Kind, str] = field(default_factory=dict)
    load: Callable[[Kind], SlowEncoder] | None = None
    image_of: Callable[[str, int], Any] | None = None
    thumbnail_of: Callable[[Any], bytes] | None = None


@dataclass(frozen=True)
class Shown:
    """What a task shows. content: as one text, by which its embedding is known. text: what an encoder of texts reads.

    images: with their thumbnails, as far as they are fetched.
    """

    task_id: int
    content: str
    text: str = ""
    images: tuple[Future[Seen], ...] = ()

    def seen(self) -> tuple[list[Seen], ImageUnusable | None]:
        """The images once they are there; none, and why, where one of them cannot be had. Raises StudioError."""
        try:
            found = [future.result() for future in self.images]
        except ImageUnusable as exc:
            return [], exc
        except MemoryError:
            return [], ImageUnusable("it needs more memory than there is", "too_large")
        return found, None if found else ImageUnusable("it shows none", "missing")


class Fetching:
    """Reads what tasks show. To be used in a `with`, at whose end nothing more is fetched."""

    def __init__(self, encoders: Encoders, is_idle: Callable[[], bool], is_over: threading.Event) -> None:
        """is_idle: whether nobody labels. is_over: set when the process ends."""
        self._encoders = encoders
        self._is_idle = is_idle
        self._is_over = is_over
        self._threads = ThreadPoolExecutor(N_FETCHING, thread_name_prefix="images")

    def __enter__(self) -> Fetching:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def shown(self, kind: Kind, layout: Any, contents: Mapping[int, str], *, has_thumbnails: bool) -> list[Shown]:
        """What tasks show of a kind. contents: of each of them."""
        if kind == TEXT:
            read = zip(contents.items(), layout.read([*contents.values()]), strict=True)
            return [Shown(task_id, content, text) for (task_id, content), text in read]
        assert isinstance(layout, WithImages)
        see = self._unhurried if not self._is_idle() else self._image
        thumbnail_of = self._encoders.thumbnail_of if has_thumbnails else None
        return [
            Shown(
                task_id,
                content,
                images=tuple(
                    self._threads.submit(_with_thumbnail, see, thumbnail_of, address, task_id)
                    for address in layout.addresses(content)
                ),
            )
            for task_id, content in contents.items()
        ]

    def _image(self, address: str, task_id: int) -> Any:
        assert self._encoders.image_of is not None
        return self._encoders.image_of(address, task_id)

    def _unhurried(self, address: str, task_id: int) -> Any:
        """With a pause afterwards, so that people's Submit meets few requests for files."""
        began = time.monotonic()
        try:
            return self._image(address, task_id)
        finally:
            self._is_over.wait(min(PAUSE_SECONDS_AT_MOST, PAUSE_SHARE * (time.monotonic() - began)))


def _with_thumbnail(
    see: Callable[[str, int], Any], thumbnail_of: Callable[[Any], bytes] | None, address: str, task_id: int
) -> Seen:
    image = see(address, task_id)
    return image, b"" if thumbnail_of is None else thumbnail_of(image)


def embed_texts(encoder: SlowEncoder, shown: Sequence[Shown]) -> tuple[Array, Array]:
    """Hashes of the contents (see draws.text_hashes), and their embeddings."""
    return text_hashes([one.content for one in shown]), encoder.encode([readable(one.text) for one in shown])


def embed_images(
    encoder: SlowEncoder, seen: Sequence[tuple[Shown, Sequence[Seen]]]
) -> tuple[Array, Array, list[bytes]]:
    """Hashes of the contents, their embeddings (of several images their mean), and a thumbnail of each one's first."""
    of = np.repeat(np.arange(len(seen)), [len(images) for _, images in seen])
    sums = np.zeros((len(seen), encoder.n_dimensions), dtype=np.float32)
    np.add.at(sums, of, encoder.encode([image for _, images in seen for image, _ in images]))
    contents = text_hashes([one.content for one, _ in seen])
    return contents, unit_rows(sums), [images[0][1] for _, images in seen]


def shows_texts(config: LabelConfig) -> bool:
    """Whether tasks show texts, perhaps beside images."""
    layout = config.content.layout
    return not isinstance(layout, WithImages) or layout.has_texts


def kinds_of(config: LabelConfig) -> list[Kind]:
    """What of a project's tasks can be embedded, and is looked at by its models."""
    found: list[Kind] = []
    if shows_texts(config) and any(one.coding.marks is None and not one.coding.of_sides for one in config.questions):
        found.append(TEXT)
    if isinstance(config.content.layout, WithImages):
        found.append(IMAGE)
    return found
