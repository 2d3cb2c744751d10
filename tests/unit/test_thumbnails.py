"""Thumbnails on the disk, and images by the names of their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from label_studio_al.labeling.media import file_name
from label_studio_al.learning.texts import joined
from label_studio_al.pool.thumbnails import Thumbnails
from label_studio_al.questions import parse_config
from label_studio_al.runtime.errors import FeaturesNotStored
from tests.support.build import config_xml

LAST = 2**64 - 1


def contents(*of: int) -> np.ndarray:
    return np.array(of, dtype=np.uint64)


def test_thumbnails_are_kept_by_content_until_they_are_not_wanted(tmp_path: Path) -> None:
    kept = Thumbnails(tmp_path)
    assert (kept.has(7), kept.read(7)) == (False, None)
    kept.keep_only(contents(7))
    kept.add(contents(7, LAST), [b"seven", b"last"])
    kept.add(contents(7), [b"seven again"])
    again = Thumbnails(tmp_path)
    assert (again.has(7), again.read(7), again.read(LAST)) == (True, b"seven again", b"last")
    again.keep_only(contents(LAST, 3))
    assert (kept.read(7), kept.read(LAST)) == (None, b"last")
    kept.add(contents(8), [b"eight"])
    kept.remove(contents(8, 9))
    assert (kept.has(8), kept.has(LAST)) == (False, True)
    kept.remove_all()
    kept.remove_all()
    assert list(tmp_path.iterdir()) == []


def test_thumbnails_do_not_bring_a_forgotten_project_s_folder_back(tmp_path: Path) -> None:
    with pytest.raises(FeaturesNotStored, match="thumbnails cannot be written to"):
        Thumbnails(tmp_path / "gone").add(contents(1), [b"one"])
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_or_removed_behind_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_bytes(b"of somebody else")
    folder = tmp_path / "thumbnails"
    folder.mkdir()
    (folder / f"{7:016x}.jpg").symlink_to(elsewhere / "file")
    (folder / f"{8:016x}.jpg").symlink_to(elsewhere / "file")
    kept = Thumbnails(tmp_path)
    kept.add(contents(7), [b"seven"])
    kept.keep_only(contents(7))
    assert (kept.read(7), kept.read(8)) == (b"seven", None)
    kept.remove_all()
    folder.symlink_to(elsewhere)
    with pytest.raises(FeaturesNotStored):
        kept.remove_all()
    assert (elsewhere / "file").read_bytes() == b"of somebody else"


def test_files_of_others_beside_thumbnails_are_left_alone(tmp_path: Path) -> None:
    kept = Thumbnails(tmp_path)
    kept.add(contents(7), [b"seven"])
    (tmp_path / "thumbnails" / "notes.jpg").write_bytes(b"mine")
    kept.keep_only(contents())
    assert [path.name for path in (tmp_path / "thumbnails").iterdir()] == ["notes.jpg"]


def test_what_a_full_disk_cut_short_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, file: object) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()  # type: ignore[attr-defined]

        def write(self, content: bytes) -> None:
            self.file.write(content[:3])  # type: ignore[attr-defined]
            raise OSError(28, "No space left on device")

    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: Full(opened(self, mode)))
    kept = Thumbnails(tmp_path)
    with pytest.raises(FeaturesNotStored, match="No space left on device"):
        kept.add(contents(7), [b"seven"])
    assert not kept.has(7)


# -- names of files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/upload/1/ab12cd34-cat.jpg", "ab12cd34-cat.jpg"),
        ("/data/local-files/?d=pets/a%20cat.jpg", "a cat.jpg"),
        ("/storage-data/uploaded/?filepath=upload/1/cat.png", "cat.png"),
        ("s3://bucket/pets/cat.jpg", "cat.jpg"),
        ("https://user:secret@h.example/a/cat.jpg?Signature=secret#secret", "cat.jpg"),  # pragma: allowlist secret
        ("https://host.example/pets%2Fcat.jpg", "cat.jpg"),
        ("https://host.example/secret/?token=secret.jpg", "image"),
        ("https://host.example/secret", "image"),
        ("/tasks/3/resolve/?fileuri=c2VjcmV0", "image"),
        ("data:image/png;base64,c2VjcmV0.cat", "image"),
        ("https://[::1/cat.jpg?secret", "image"),
        ("cat.jpg", "cat.jpg"),
    ],
)
def test_an_image_is_named_by_its_file(address: str, name: str) -> None:
    assert file_name(address) == name


@pytest.mark.parametrize(
    "control",
    [
        '<Choices name="c" toName="i"><Choice value="A"/><Choice value="B"/></Choices>',
        '<Pairwise name="p" toName="a,b"/>',
    ],
)
def test_texts_beside_images_stay_as_they_are(control: str) -> None:
    objects = '<Text name="a" value="$a"/><Text name="b" value="$b"/><Image name="i" value="$i"/>'
    config = parse_config(f"<View>{objects}{control}</View>")
    data = {"a": "what is a/b.c?", "b": "", "i": "/data/upload/1/cat.jpg?token=secret"}
    assert config.shown_of(data) == joined(["what is a/b.c?", "", "cat.jpg"])
    assert config.shown_of({"a": "a text", "other": 1}) == joined(["a text", "", ""])
    assert config.shown_of({"other": 1}) == ""


def test_texts_alone_are_shown_as_they_are() -> None:
    config = parse_config(config_xml())
    assert config.shown_of({"text": "/data/upload/1/cat.jpg?d=1"}) == "/data/upload/1/cat.jpg?d=1"
    assert config.shown_of({}) == ""
