"""Images that cannot be had or read, among others, in the live loop: with what really fetches, decodes and encodes."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from label_studio_al.learners.encoders import load_image_encoder
from label_studio_al.learning.deferred import IMAGE
from label_studio_al.pool.pictures import decode
from label_studio_al.runtime.hosts import Reach
from label_studio_al.store import Project
from label_studio_al.studio.api import Api
from label_studio_al.studio.media import Media
from label_studio_al.turns.seeing import Encoders
from tests.support.bench import Bench
from tests.support.fake_label_studio import TOKEN, URL, FakeProject
from tests.support.onnx_models import image_folder

CONFIG = """<View><Image name="image" value="$image"/>
<Choices name="topic" toName="image"><Choice value="red"/><Choice value="blue"/></Choices></View>"""
BESIDE = CONFIG.replace("<Choices", '<Text name="text" value="$text"/><Choices')
N_GOOD = 24
SECONDS = 20.0


def png(n: int) -> bytes:
    """Red or blue."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (200 + n, 0, 0) if n % 2 else (0, 0, 200 + n)).save(file, "PNG")
    return file.getvalue()


def huge() -> bytes:
    """A PNG that says that it has 20,000 x 20,000 pixels."""
    head = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    pieces = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in pieces
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


FILES = {f"/data/upload/1/{n}.png": png(n) for n in range(N_GOOD)}
ODD = {
    "/data/upload/1/gone.png": "Label Studio answered 404 for an image",
    "/data/upload/1/huge.png": "an image may have 50 million pixels, not 20000 x 20000",
    "/data/upload/1/text.jpg": "the file is no image",
    "/data/upload/1/drawing.svg": "an SVG is a drawing's source and not read",
    "https://elsewhere.example/x.png": "images of elsewhere.example are not fetched: name it in AL_MEDIA_HOSTS",
    "https://slow.example/x.png": "slow.example did not give an image in 20 s",
    "file:///etc/passwd": "an image's address must begin with",
}
FILES |= {
    "/data/upload/1/huge.png": huge(),
    "/data/upload/1/text.jpg": b"only words",
    "/data/upload/1/drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
}


class World:
    """What is asked of Label Studio and of others."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def inside(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        content = FILES.get(request.url.path)
        return httpx.Response(404) if content is None else httpx.Response(200, content=content)

    def outside(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        if str(request.url) in FILES:
            return httpx.Response(200, content=FILES[str(request.url)])
        raise httpx.ReadTimeout("nothing came", request=request)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def project(bench: Bench, world: World, tmp_path: Path) -> Callable[..., FakeProject]:
    """A connected project with these tasks, whose images are fetched, decoded and encoded."""
    encoder = load_image_encoder(f"onnx:{image_folder(tmp_path / 'encoder', {'size': 8})}", None, 1)
    media = Media(
        Api(URL, TOKEN, bench.fake.client(), bench.clock),
        Reach(("slow.example",)),
        inside=httpx.MockTransport(world.inside),
        outside=httpx.MockTransport(world.outside),
    )
    bench.encoders = Encoders(
        {IMAGE: encoder.name}, lambda _: encoder, lambda address, task_id: decode(media.fetch(address, task_id))
    )
    bench.settings = bench.settings.model_copy(update={"image_encoder": encoder.name})
    bench.restart()

    def make(tasks: list[dict[str, Any]], label_config: str = CONFIG) -> FakeProject:
        made = bench.fake.add_project(label_config, [])
        bench.fake.add_tasks(made.id, tasks)
        bench.fake.connect(made.id)
        bench.store.projects.register(made.key, label_config, {}, bench.clock.now())
        return made

    return make


def settle(bench: Bench, project: FakeProject, n: int, after_seconds: float = 1.0) -> Project:
    """Turns until so many tasks can be asked, and none waits for its image."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        bench.turn(project, after_seconds)
        works = bench.encoding._work if bench.encoding is not None else {}
        pool = bench.loop._looking.pools[project.key]
        if pool.features.deferred and len(pool.live) == n and not any(work.tasks for work in works.values()):
            return bench.turn(project, after_seconds)
        time.sleep(0.02)
    raise AssertionError(f"{len(bench.loop._looking.pools[project.key].live)} of {n} tasks can be asked")


def label(bench: Bench, project: FakeProject, n: int) -> None:
    for task_id in (project.queue() or [])[:n]:
        image = project.tasks[task_id]["data"]["image"]
        bench.hear(bench.fake.annotate(project.id, task_id, "red" if int(image[15:-4]) % 2 else "blue"))


def test_the_others_go_on_and_the_reason_is_said(
    bench: Bench, world: World, project: Callable[..., FakeProject]
) -> None:
    odd: list[object] = [*ODD, None, 7, "  ", ["/data/upload/1/0.png"]]
    good = [f"/data/upload/1/{n}.png" for n in range(N_GOOD)]
    made = project(
        [{"image": one} for pair in zip(good, odd, strict=False) for one in pair]
        + [{"image": one} for one in good[len(odd) :]]
    )
    state = settle(bench, made, N_GOOD)
    assert state.error is None
    reasons = {one["reason"]: one for one in state.unread}
    assert {name: one["n"] for name, one in reasons.items()} == {"no_text": 4, "no_image": len(ODD)}
    assert bench.encoding is not None
    said = bench.encoding.failures(made.key)
    by_address = {made.tasks[task_id]["data"]["image"]: why for task_id, why in said.items()}
    assert by_address.keys() == ODD.keys()
    assert [address for address, why in ODD.items() if why not in by_address[address]] == []
    for _ in range(2):
        label(bench, made, 5)
        bench.turn(made)
    assert bench.version(made).has_model
    odd_ids = {task_id for task_id, task in made.tasks.items() if task["data"]["image"] not in good}
    assert not odd_ids.intersection(made.queue() or [])
    # None of it is asked for again and again.
    assert len(world.asked) == len(set(world.asked))
    assert not [one for one in world.asked if "elsewhere" in one]


@pytest.mark.parametrize(
    ("address", "seconds"), [("/data/upload/1/gone.png", 3_600), ("https://slow.example/x.png", 300)]
)
def test_images_are_asked_for_again_later(
    bench: Bench,
    world: World,
    project: Callable[..., FakeProject],
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    seconds: float,
) -> None:
    monkeypatch.setattr("label_studio_al.turns.encoding.RETRY_SECONDS", 0.02)
    made = project([{"image": f"/data/upload/1/{n}.png"} for n in range(N_GOOD)] + [{"image": address}])
    settle(bench, made, N_GOOD, after_seconds=0.1)
    monkeypatch.setitem(FILES, address, png(7))
    label(bench, made, 2)
    bench.turn(made, after_seconds=seconds / 2)
    assert world.asked.count(address) == 1
    bench.turn(made, after_seconds=seconds / 2)
    state = settle(bench, made, N_GOOD + 1, after_seconds=0.1)
    assert (world.asked.count(address), state.unread) == (2, [])


def test_a_corrected_address_is_asked_for_at_once(
    bench: Bench, world: World, project: Callable[..., FakeProject]
) -> None:
    good = [f"/data/upload/1/{n}.png" for n in range(N_GOOD)]
    made = project([{"image": one} for one in [*good[1:], "/data/upload/1/gone.png", "/data/upload/1/text.jpg"]])
    assert settle(bench, made, N_GOOD - 1).unread[0]["n"] == 2
    *_, wrong, useless = made.tasks
    bench.fake.change_data(made.id, wrong, {"image": good[0]})
    bench.store.projects.want_sync(made.key)
    bench.hear(bench.fake.delete_tasks(made.id, useless))
    state = settle(bench, made, N_GOOD)
    assert (state.unread, world.asked.count(good[0])) == ([], 1)


def test_an_image_that_takes_all_memory_stops_no_others(bench: Bench, project: Callable[..., FakeProject]) -> None:
    made = project([{"image": f"/data/upload/1/{n}.png"} for n in range(N_GOOD)])
    assert bench.encoders is not None
    image_of = bench.encoders.image_of
    assert image_of is not None

    def starved(address: str, task_id: int) -> Any:
        if address.endswith("/3.png"):
            raise MemoryError
        return image_of(address, task_id)

    bench.encoders = replace(bench.encoders, image_of=starved)
    bench.restart()
    (unread,) = settle(bench, made, N_GOOD - 1).unread
    assert "it needs more memory than there is" in unread["sentence"]


def test_what_many_tasks_show_is_fetched_once(
    bench: Bench, world: World, project: Callable[..., FakeProject], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("label_studio_al.turns.encoding.TASKS_AT_ONCE", 1)
    made = project([{"image": f"/data/upload/1/{n % 2}.png"} for n in range(N_GOOD)])
    settle(bench, made, N_GOOD)
    # The next one is fetched while one is embedded.
    assert len(world.asked) <= 4


def test_tasks_whose_image_is_missing_are_asked_by_their_texts(
    bench: Bench, project: Callable[..., FakeProject]
) -> None:
    addresses = [f"/data/upload/1/{n}.png" if n % 3 else None for n in range(N_GOOD)]
    addresses[1:3] = ["/data/upload/1/gone.png", "https://elsewhere.example/x.png"]
    tasks = [{"image": one, "text": f"a {'red' if n % 2 else 'blue'} thing {n}"} for n, one in enumerate(addresses)]
    made = project(tasks, BESIDE)
    state = settle(bench, made, N_GOOD)
    assert state.error is None
    (unread,) = state.unread
    assert (unread["reason"], unread["n"]) == ("no_image", 10)
    assert "their texts alone are looked at" in unread["sentence"]
    asked = []
    for _ in range(2):
        asked += (made.queue() or [])[:8]
        for task_id in asked[-8:]:
            text = made.tasks[task_id]["data"]["text"]
            bench.hear(bench.fake.annotate(made.id, task_id, text.split()[1]))
        bench.turn(made)
    assert bench.version(made).has_model
    assert {made.tasks[task_id]["data"]["image"] in FILES for task_id in asked} == {True, False}
