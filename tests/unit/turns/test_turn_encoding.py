"""Embeddings that are filled in while turns go on: of texts, and of images."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from label_studio_al import endpoint
from label_studio_al.learners.published import Models
from label_studio_al.learning.deferred import IMAGE, TEXT, Kind
from label_studio_al.learning.types import Array
from label_studio_al.pool.tasks import Pool
from label_studio_al.runtime.errors import ImageUnusable, InvalidSettings
from label_studio_al.turns.seeing import Encoders, SlowEncoder
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.bench import TEXTS, Bench, truth
from tests.support.fake_label_studio import FakeProject

IMAGES = """<View><Image name="image" value="$image"/>
<Choices name="topic" toName="image"><Choice value="animal"/><Choice value="machine"/></Choices></View>"""
BESIDE = IMAGES.replace("<Choices", '<Text name="text" value="$text"/><Choices')
SECONDS = 20.0


class Made:
    """An encoder that sees what a text or an image is about, and counts what it was given."""

    name = "made"
    n_dimensions = 4

    def __init__(self, fingerprint: str = "0123456789abcdef") -> None:
        self.fingerprint = fingerprint
        self.seen: list[str] = []

    def encode(self, items: Sequence[Any], /) -> Array:
        self.seen += items
        rows = np.full((len(items), 4), 0.1, dtype=np.float32)
        rows[:, 0] = [1.0 if truth(str(item)) == "animal" else -1.0 for item in items]
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def encoders(kind: Kind, encoder: SlowEncoder, missing: Sequence[str] = ()) -> Encoders:
    def image_of(address: str, _task_id: int) -> str:
        if address in missing:
            raise ImageUnusable("Label Studio answered 404 for an image", "missing")
        return address.removeprefix("/data/upload/")

    return Encoders({kind: encoder.name}, lambda _: encoder, image_of, str.encode)


def pool_of(bench: Bench, project: FakeProject) -> Pool:
    return bench.loop._looking.pools[project.key]


def fill_in(bench: Bench, project: FakeProject, n: int) -> None:
    """Turns until so many tasks have all their embeddings."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        bench.turn(project)
        pool = pool_of(bench, project)
        if pool.features.deferred and len(pool.live) == n:
            return
        time.sleep(0.02)
    raise AssertionError("the embeddings were not filled in")


def answered(bench: Bench, project: FakeProject, data: list[dict[str, Any]]) -> list[list[Any]]:
    """What a web process with the same files answers."""
    models = Models(bench.store, bench.signer, embeddings=bench.settings.embeddings_dir)
    version = bench.version(project)
    known = bench.store.projects.get(project.key)
    current = endpoint.Current(known.config, (version.id, version.name), models.get(project.key, version.id))
    tasks = [{"id": 10_000 + n, "data": one} for n, one in enumerate(data)]
    return [one["result"] for one in endpoint.answer(bench.store, bench.clock, current, tasks)]


def image_project(bench: Bench, label_config: str = IMAGES) -> FakeProject:
    bench.settings = bench.settings.model_copy(update={"image_encoder": "onnx:made"})
    bench.restart()
    project = bench.fake.add_project(label_config, [])
    bench.fake.add_tasks(
        project.id, [{"image": f"/data/upload/{text}", "text": f"text {n}"} for n, text in enumerate(TEXTS)]
    )
    bench.fake.connect(project.id)
    bench.store.projects.register(project.key, label_config, {}, bench.clock.now())
    return project


def label_images(bench: Bench, project: FakeProject, n: int) -> None:
    for task_id in (project.queue() or [])[:n]:
        address = project.tasks[task_id]["data"]["image"].removeprefix("/data/upload/")
        bench.hear(bench.fake.annotate(project.id, task_id, truth(address)))


# -- texts --------------------------------------------------------------------------------------------------------


def test_a_pool_is_usable_at_once_and_takes_the_better_embeddings_up_when_they_are_there(bench: Bench) -> None:
    made = Made()
    bench.encoders = encoders(TEXT, made)
    bench.restart()
    project = bench.add()
    bench.turn(project)
    assert bench.version(project).number == 1
    assert not pool_of(bench, project).features.deferred
    bench.label(project, 6)
    fill_in(bench, project, len(TEXTS))
    assert sorted(made.seen) == sorted(TEXTS)
    assert [one.encoder for one in pool_of(bench, project).features.deferred] == ["made"]
    # The next version looks at them.
    bench.label(project, 5)
    bench.turn(project)
    model = Models(bench.store, bench.signer, embeddings=bench.settings.embeddings_dir).get(
        project.key, bench.version(project).id
    )
    assert model is not None
    assert model.features.deferred
    assert list(pool_of(bench, project).features.choices()) == ["both", "tfidf", "embeddings"]


def test_nothing_is_encoded_twice_after_a_restart(bench: Bench) -> None:
    bench.encoders = encoders(TEXT, Made())
    bench.restart()
    project = bench.add()
    fill_in(bench, project, len(TEXTS))
    again = Made()
    bench.encoders = encoders(TEXT, again)
    bench.restart()
    bench.fake.add_tasks(project.id, [{"text": "a dog barks anew"}])
    bench.store.projects.want_sync(project.key)
    fill_in(bench, project, len(TEXTS) + 1)
    assert again.seen == ["a dog barks anew"]


def test_weights_that_changed_under_the_same_name_make_all_embeddings_anew(bench: Bench) -> None:
    bench.encoders = encoders(TEXT, Made())
    bench.restart()
    project = bench.add()
    fill_in(bench, project, len(TEXTS))
    other = Made("another-made-one")
    bench.encoders = encoders(TEXT, other)
    bench.restart()
    until = time.monotonic() + SECONDS
    while len(other.seen) < len(TEXTS) and time.monotonic() < until:
        bench.turn(project)
        time.sleep(0.02)
    fill_in(bench, project, len(TEXTS))
    assert [one.fingerprint for one in pool_of(bench, project).features.deferred] == ["another-made-one"]


def test_a_task_that_was_not_encoded_yet_is_answered_empty(bench: Bench) -> None:
    bench.encoders = encoders(TEXT, Made())
    bench.restart()
    project = bench.add()
    fill_in(bench, project, len(TEXTS))
    bench.label(project, 10)
    bench.turn(project)
    known, unknown = answered(bench, project, [{"text": TEXTS[0]}, {"text": "never seen before"}])
    assert known[0]["value"]["choices"] == [truth(TEXTS[0])]
    assert unknown == []


def test_an_encoder_that_cannot_be_loaded_leaves_the_static_features(bench: Bench) -> None:
    def load(_kind: Kind) -> SlowEncoder:
        raise InvalidSettings("AL_ENCODER is 'fastembed:gone', which cannot be loaded")

    bench.encoders = Encoders({TEXT: "fastembed:gone"}, load)
    bench.restart()
    project = bench.add()
    bench.publish(project, 2)
    assert bench.version(project).has_model
    assert bench.store.projects.get(project.key).error is None


def test_embeddings_of_texts_that_are_gone_are_overwritten(bench: Bench) -> None:
    bench.encoders = encoders(TEXT, Made())
    bench.restart()
    project = bench.add()
    fill_in(bench, project, len(TEXTS))
    (path,) = (bench.settings.embeddings_dir / project.key).glob("text-*4")
    before = path.read_bytes()
    gone = next(task_id for task_id, task in project.tasks.items() if task["data"]["text"] == TEXTS[0])
    bench.hear(bench.fake.delete_tasks(project.id, gone))
    bench.turn(project)
    after = path.read_bytes()
    record = len(before) // len(TEXTS)
    empty = [after[place : place + record] for place in range(0, len(after), record)].count(bytes(record))
    assert (len(after), empty) == (len(before), 1)


# -- images -------------------------------------------------------------------------------------------------------


def test_images_are_learned_and_filled_in(bench: Bench) -> None:
    bench.encoders = encoders(IMAGE, Made())
    project = image_project(bench)
    fill_in(bench, project, len(TEXTS))
    bench.turn(project)
    for _ in range(2):
        label_images(bench, project, 5)
        bench.turn(project)
    assert bench.version(project).has_model
    (found,) = answered(bench, project, [{"image": "/data/upload/a robot welds number 0"}])
    assert found[0]["value"]["choices"] == ["machine"]
    # What was pushed says the same.
    pushed = project.pushed(bench.version(project).name)
    assert pushed


def test_the_queue_of_images_waits_for_the_first_of_them(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # A turn is 10 s long for the bench's clock, whatever is embedded meanwhile.
    monkeypatch.setattr("label_studio_al.turns.encoding.FIRST_SECONDS", np.inf)
    bench.encoders = encoders(IMAGE, Made())
    project = image_project(bench)
    state = bench.turn(project)
    assert (state.version_id, state.activity.state) == (None, "embedding")
    fill_in(bench, project, len(TEXTS))
    bench.turn(project)
    assert project.queue()


def test_images_that_cannot_be_had_are_said_and_neither_asked_nor_waited_for(bench: Bench) -> None:
    bench.encoders = encoders(IMAGE, Made(), missing=[f"/data/upload/{TEXTS[0]}", f"/data/upload/{TEXTS[1]}"])
    bench.restart()
    project = image_project(bench)
    fill_in(bench, project, len(TEXTS) - 2)
    state = bench.turn(project)
    assert state.version_id is not None
    (said,) = [one for one in state.unread if one["reason"] == "no_image"]
    assert said["n"] == 2
    assert "Label Studio answered 404 for an image" in said["sentence"]
    missing = {task_id for task_id, task in project.tasks.items() if task["data"]["image"][13:] in TEXTS[:2]}
    assert not missing.intersection(project.queue() or [])


def test_an_image_that_could_not_be_had_is_asked_for_again_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("label_studio_al.turns.encoding.RETRY_SECONDS", 0.02)
    missing = [f"/data/upload/{TEXTS[0]}"]
    bench.encoders = encoders(IMAGE, Made(), missing)
    project = image_project(bench)
    fill_in(bench, project, len(TEXTS) - 1)
    assert [one["n"] for one in bench.turn(project).unread if one["reason"] == "no_image"] == [1]
    missing.clear()
    bench.clock.advance(3_601)
    fill_in(bench, project, len(TEXTS))
    assert not [one for one in bench.turn(project).unread if one["reason"] == "no_image"]


def test_texts_and_images_of_a_task_stand_side_by_side(bench: Bench) -> None:
    bench.encoders = encoders(IMAGE, Made())
    project = image_project(bench, BESIDE)
    fill_in(bench, project, len(TEXTS))
    bench.turn(project)
    for _ in range(2):
        label_images(bench, project, 5)
        bench.turn(project)
    pool = pool_of(bench, project)
    assert list(pool.features.choices()) == ["both", "texts", "images"]
    assert pool.X[:1].terms.nnz
    data = {"image": "/data/upload/a robot welds number 0", "text": f"text {TEXTS.index('a robot welds number 0')}"}
    (found,) = answered(bench, project, [data])
    assert found[0]["value"]["choices"] == ["machine"]


def test_the_encoder_of_texts_does_not_read_the_addresses_of_images(bench: Bench) -> None:
    made = Made()
    project = image_project(bench, BESIDE)
    bench.encoders = encoders(TEXT, made)
    bench.restart()
    fill_in(bench, project, len(TEXTS))
    assert sorted(made.seen) == sorted(f"text {n}" for n in range(len(TEXTS)))


@pytest.mark.parametrize("kind", [TEXT, IMAGE])
def test_what_is_embedded_is_shown_as_progress(bench: Bench, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("label_studio_al.turns.encoding.TASKS_AT_ONCE", 10)
    bench.encoders = encoders(kind, Made())
    bench.restart()
    shown: list[tuple[Any, ...]] = []
    show = bench.store.projects.show_progress
    monkeypatch.setattr(bench.store.projects, "show_progress", lambda *said: (shown.append(said), show(*said)))
    project = bench.add() if kind == TEXT else image_project(bench)
    fill_in(bench, project, len(TEXTS))
    bench.turn(project)
    assert [one[2:] for one in shown if one[1] == "embeddings"][:2] == [(10, 40), (20, 40)]
    assert bench.store.projects.get(project.key).progress is None


def test_images_without_an_encoder_are_refused_with_the_setting(bench: Bench) -> None:
    project = image_project(bench)
    bench.settings = bench.settings.model_copy(update={"image_encoder": "none"})
    bench.restart()
    state = bench.turn(project)
    assert "AL_IMAGE_ENCODER must name an encoder of images" in (state.error or "")


# -- thumbnails ---------------------------------------------------------------------------------------------------


def thumbnails(bench: Bench, project: FakeProject) -> list[str]:
    """What is kept; a thumbnail is the image's name here."""
    return sorted(path.read_text() for path in (bench.settings.embeddings_dir / project.key).glob("thumbnails/*"))


def change_settings(bench: Bench, project: FakeProject, **params: Any) -> None:
    bench.store.projects.register(project.key, IMAGES, params, bench.clock.now())
    bench.turn(project)


def test_embedded_images_have_thumbnails_until_their_tasks_are_gone(bench: Bench) -> None:
    bench.encoders = encoders(IMAGE, Made(), missing=[f"/data/upload/{TEXTS[2]}"])
    project = image_project(bench)
    fill_in(bench, project, len(TEXTS) - 1)
    assert thumbnails(bench, project) == sorted({*TEXTS} - {TEXTS[2]})
    id_of = {task["data"]["image"].removeprefix("/data/upload/"): task_id for task_id, task in project.tasks.items()}
    web = create_app(Parts(bench.settings, bench.store, bench.signer, bench.clock), []).test_client()
    answers = [web.get(f"/projects/{project.key}/thumbnails/{id_of[text]}") for text in TEXTS[1:4]]
    assert [one.data for one in answers if one.status_code == 200] == [TEXTS[1].encode(), TEXTS[3].encode()]
    deleted, changed = id_of[TEXTS[0]], id_of[TEXTS[1]]
    bench.hear(bench.fake.delete_tasks(project.id, deleted))
    bench.turn(project)
    assert thumbnails(bench, project) == sorted({*TEXTS} - {TEXTS[0], TEXTS[2]})
    bench.fake.change_data(project.id, changed, {"image": "/data/upload/the cat is another"})
    bench.turn(project, after_seconds=400)
    fill_in(bench, project, len(TEXTS) - 2)
    assert thumbnails(bench, project) == sorted({*TEXTS, "the cat is another"} - {*TEXTS[:3]})


def test_texts_have_no_thumbnails(bench: Bench) -> None:
    bench.encoders = encoders(TEXT, Made())
    bench.restart()
    project = bench.add()
    fill_in(bench, project, len(TEXTS))
    assert thumbnails(bench, project) == []


def test_thumbnails_that_are_switched_off_are_removed_and_not_made(bench: Bench) -> None:
    bench.encoders = encoders(IMAGE, Made())
    project = image_project(bench)
    fill_in(bench, project, len(TEXTS))
    change_settings(bench, project, thumbnails="off")
    assert thumbnails(bench, project) == []
    bench.fake.add_tasks(project.id, [{"image": "/data/upload/a dog is new"}])
    bench.store.projects.want_sync(project.key)
    fill_in(bench, project, len(TEXTS) + 1)
    assert thumbnails(bench, project) == []
    change_settings(bench, project)
    bench.fake.add_tasks(project.id, [{"image": "/data/upload/a dog is newer"}])
    bench.store.projects.want_sync(project.key)
    fill_in(bench, project, len(TEXTS) + 2)
    assert thumbnails(bench, project) == ["a dog is newer"]


def test_thumbnails_are_removed_also_where_images_are_not_embedded_any_more(bench: Bench) -> None:
    bench.encoders = encoders(IMAGE, Made())
    project = image_project(bench)
    fill_in(bench, project, len(TEXTS))
    bench.settings = bench.settings.model_copy(update={"image_encoder": "none"})
    bench.encoders = Encoders()
    bench.restart()
    change_settings(bench, project, thumbnails="off")
    assert thumbnails(bench, project) == []


@pytest.mark.parametrize("how", ["off", "deleted", "forgotten"])
def test_what_is_not_wanted_any_more_when_it_was_embedded_has_no_thumbnail(bench: Bench, how: str) -> None:
    is_reached, may_go_on = threading.Event(), threading.Event()

    class Waiting(Made):
        def encode(self, items: Sequence[Any], /) -> Array:
            is_reached.set()
            assert may_go_on.wait(SECONDS)
            return super().encode(items)

    made = Waiting()
    bench.encoders = encoders(IMAGE, made)
    project = image_project(bench)
    until = time.monotonic() + SECONDS
    while not is_reached.wait(0.02) and time.monotonic() < until:
        bench.turn(project)
    if how == "off":
        change_settings(bench, project, thumbnails="off")
    elif how == "deleted":
        bench.hear(bench.fake.delete_tasks(project.id, *project.tasks))
        bench.turn(project)
    else:
        bench.store.projects.forget(project.key)
    may_go_on.set()
    assert bench.encoding is not None
    bench.encoding.close()
    assert made.seen
    assert thumbnails(bench, project) == []
