"""Images of tasks that are fetched ahead."""

from __future__ import annotations

import threading
import time

import pytest

from label_studio_al.learning.deferred import IMAGE
from label_studio_al.learning.images import WithImages
from label_studio_al.turns.seeing import PAUSE_SHARE, Encoders, Fetching

SECONDS = 0.01


class Over(threading.Event):
    """Notes how long was waited for it, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        return False


def slowly(address: str, _task_id: int) -> str:
    time.sleep(SECONDS)
    return address


@pytest.mark.parametrize(("is_idle", "n_pauses"), [(True, 0), (False, 2)])
def test_label_studio_is_asked_for_images_less_often_while_people_label(is_idle: bool, n_pauses: int) -> None:
    over = Over()
    with Fetching(Encoders(image_of=slowly), lambda: is_idle, over) as fetching:
        shown = fetching.shown(IMAGE, WithImages((True,)), {1: "/a.png", 2: "/b.png"}, has_thumbnails=False)
        assert [one.seen() for one in shown] == [([("/a.png", b"")], None), ([("/b.png", b"")], None)]
    assert len(over.waited) == n_pauses
    assert all(waited >= PAUSE_SHARE * SECONDS for waited in over.waited)
