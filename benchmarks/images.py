"""How fast a pool of images is embedded in the background, beside the bare encoder, and when the queue is ordered.

    python -m benchmarks.images FOLDER --encoder onnx:FOLDER [--images 10000]

Images are made from those of the folder by crops and flips. The pool is embedded by the worker's own thread, from
files, while turns run every five seconds; the bare loop encodes decoded images of the same kind in batches of 32. So
many images a second of the clock, one after the other on an idle machine; memory is the process's, resident.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from threadpoolctl import threadpool_limits

from benchmarks.label_efficiency import line
from label_studio_al.learners.encoders import load_image_encoder
from label_studio_al.learning.deferred import IMAGE, Deferred
from label_studio_al.pool.embeddings import EmbeddingFile
from label_studio_al.pool.pictures import decode, thumbnail
from label_studio_al.runtime.settings import Settings
from label_studio_al.store import Signer, Store
from label_studio_al.turns.seeing import Encoders
from tests.support.bench import Bench
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import FakeLabelStudio

CONFIG = """<View><Image name="image" value="$image"/><Choices name="kind" toName="image">
<Choice value="a"/><Choice value="b"/></Choices></View>"""
TURN_SECONDS = 5.0
POLL_SECONDS = 0.1
BATCH = 32
N_BARE = 800


class _RealClock(FakeClock):
    """Moves by itself."""

    def now(self) -> float:
        return time.time()

    def elapsed(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def varied(content: bytes, random: np.random.Generator) -> bytes:
    """Another image of the same kind: a crop, perhaps flipped."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    width, height = image.size
    left, top = (int(random.integers(0, max(1, side // 8))) for side in (width, height))
    image = image.crop((left, top, left + width * 7 // 8, top + height * 7 // 8))
    if random.random() < 1 / 2:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    found = io.BytesIO()
    image.save(found, "JPEG", quality=90)
    return found.getvalue()


def make_images(source: Path, folder: Path, n: int) -> list[Path]:
    """So many files."""
    files = sorted(path for path in source.rglob("*.jpg"))
    random, made = np.random.default_rng(0), []
    for number in range(n):
        path = folder / f"{number}.jpg"
        path.write_bytes(varied(files[number % len(files)].read_bytes(), random))
        made.append(path)
    return made


def bare(encoder: Any, files: list[Path]) -> float:
    """Images a second of the encoder alone."""
    images = [decode(path.read_bytes()) for path in files[:N_BARE]]
    encoder.encode(images[:BATCH])
    began = time.perf_counter()
    for first in range(0, len(images), BATCH):
        encoder.encode(images[first : first + BATCH])
    return len(images) / (time.perf_counter() - began)


def filled(encoder: Any, files: list[Path], folder: Path, name: str) -> tuple[float, float, float]:
    """Images a second in the background, seconds to the first order, and the highest memory in MB."""
    settings = Settings(model_dir=folder, encoder="none", image_encoder=name)
    store = Store(settings.store_url)
    store.migrate()
    encoders = Encoders({IMAGE: name}, lambda _: encoder, lambda path, _: decode(Path(path).read_bytes()), thumbnail)
    bench = Bench(FakeLabelStudio(), store, Signer("a key"), _RealClock(), settings, encoders=encoders)
    project = bench.fake.add_project(CONFIG, [])
    bench.fake.add_tasks(project.id, [{"image": str(path)} for path in files])
    bench.fake.connect(project.id)
    store.projects.register(project.key, CONFIG, {}, bench.clock.now())
    deferred = Deferred(IMAGE, encoder.name, encoder.fingerprint, encoder.n_dimensions)
    file = EmbeddingFile(settings.embeddings_dir / project.key, deferred)
    process, highest, first, turn_at, n_before = psutil.Process(), 0.0, 0.0, 0.0, 0
    began = time.perf_counter()
    while n_before < len(files) or not first:
        now = time.perf_counter() - began
        if now >= turn_at:
            bench.loop.take_turn(project.key)
            turn_at = now + (TURN_SECONDS if n_before else 1.0)
            if store.projects.get(project.key).version_id is not None and not first:
                first = time.perf_counter() - began
        highest = max(highest, process.memory_info().rss / 2**20)
        file.catch_up()
        if len(file) and not n_before:
            n_first, first_at = len(file), time.perf_counter()
        if len(file) == len(files) > n_before:
            last_at = time.perf_counter()
        n_before = len(file)
        time.sleep(POLL_SECONDS)
    assert bench.encoding
    bench.encoding.close()
    store.close()
    return (len(files) - n_first) / (last_at - first_at), first, highest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--images", type=int, default=10_000)
    options = parser.parse_args()
    encoder = load_image_encoder(options.encoder)
    with threadpool_limits(1), tempfile.TemporaryDirectory() as name:
        (Path(name) / "images").mkdir()
        files = make_images(options.source, Path(name) / "images", options.images)
        alone = bare(encoder, files)
        rate, first, highest = filled(encoder, files, Path(name), options.encoder)
        again = bare(encoder, files)
    print(line(["images", "bare, before and after", "in the background", "share", "first order", "memory"]))
    print(line(["---"] * 6))
    of_bare = (alone + again) / 2
    cells = [
        f"{options.images:,}",
        f"{alone:.0f}, {again:.0f} a second",
        f"{rate:.0f} a second",
        f"{rate / of_bare:.0%}",
    ]
    print(line([*cells, f"{first:.0f} s", f"{highest:.0f} MB"]))


if __name__ == "__main__":
    main()
