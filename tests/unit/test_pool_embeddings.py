"""The file of embeddings that are filled in later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from label_studio_al.learning.deferred import TEXT, Deferred, DeferredRows
from label_studio_al.learning.types import Array
from label_studio_al.pool.embeddings import EmbeddingFile
from label_studio_al.runtime.errors import FeaturesNotStored

MADE = Deferred(TEXT, "made", "0123456789abcdef", 3)
RECORD = 8 + 4 + 3 * 4


def vectors(*values: float) -> Array:
    return np.array([[value] * 3 for value in values], dtype=np.float32)


def filled(folder: Path, *contents: int) -> EmbeddingFile:
    file = EmbeddingFile(folder, MADE)
    with file.filling() as is_mine:
        assert is_mine
        file.append(list(contents), vectors(*contents))
    return file


def found(file: EmbeddingFile, *contents: int) -> list[float]:
    """The first value of each embedding; 0 of what is not there."""
    rows = DeferredRows.of([MADE], np.array(contents, dtype=np.uint64), [file])
    return [float(value) for value in rows.dense()[:, 0]]


def test_what_was_appended_is_found_by_its_content(tmp_path: Path) -> None:
    file = filled(tmp_path, 7, 2**63 + 5, 3)
    assert found(file, 3, 4, 2**63 + 5) == [3, 0, float(np.float32(2**63 + 5))]
    assert len(file) == 3
    assert found(EmbeddingFile(tmp_path, MADE), 7) == [7]


def test_others_see_what_was_appended_when_they_look_again(tmp_path: Path) -> None:
    reader = EmbeddingFile(tmp_path, MADE)
    filled(tmp_path, 1)
    assert found(reader, 1) == [0]
    assert reader.catch_up()
    assert found(reader, 1) == [1]
    assert not reader.catch_up()


def test_the_last_embedding_of_a_content_counts(tmp_path: Path) -> None:
    file = filled(tmp_path, 1, 2)
    with file.filling():
        file.append([1], vectors(9))
    assert found(file, 1, 2) == [9, 2]
    assert found(EmbeddingFile(tmp_path, MADE), 1, 2) == [9, 2]


@pytest.mark.parametrize("n_bytes", [1, RECORD - 1])
def test_what_a_kill_left_of_a_record_is_cut_off(tmp_path: Path, n_bytes: int) -> None:
    filled(tmp_path, 1, 2)
    (path,) = tmp_path.glob("text-*3")
    path.write_bytes(path.read_bytes()[: RECORD + n_bytes])
    file = EmbeddingFile(tmp_path, MADE)
    assert found(file, 1, 2) == [1, 0]
    with file.filling():
        file.append([3], vectors(3))
    assert found(EmbeddingFile(tmp_path, MADE), 1, 2, 3) == [1, 0, 3]
    assert path.stat().st_size == 2 * RECORD


@pytest.mark.parametrize("place", [0, 8, 12, RECORD - 1])
def test_a_record_that_was_damaged_is_as_if_it_were_not_there(tmp_path: Path, place: int) -> None:
    filled(tmp_path, 1, 2)
    (path,) = tmp_path.glob("text-*3")
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    assert found(EmbeddingFile(tmp_path, MADE), 1, 2) == [0, 2]


def test_one_process_fills_it_at_a_time(tmp_path: Path) -> None:
    one, other = EmbeddingFile(tmp_path, MADE), EmbeddingFile(tmp_path, MADE)
    with one.filling() as is_mine, other.filling() as is_others:
        assert (is_mine, is_others) == (True, False)
    with other.filling() as is_others:
        assert is_others


def test_what_is_not_kept_is_overwritten_and_may_come_back(tmp_path: Path) -> None:
    file, reader = filled(tmp_path, 1, 2, 3), EmbeddingFile(tmp_path, MADE)
    file.keep_only(np.array([2]))
    assert found(file, 1, 2, 3) == found(reader, 1, 2, 3) == [0, 2, 0]
    (path,) = tmp_path.glob("text-*3")
    assert path.read_bytes().count(bytes(RECORD)) == 2
    with file.filling():
        file.append([1], vectors(1))
    assert reader.catch_up()
    assert found(reader, 1, 2, 3) == [1, 2, 0]


def test_another_encoder_has_a_file_of_its_own(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    other = Deferred(TEXT, "made", "fedcba9876543210", 3)
    assert len(EmbeddingFile(tmp_path, other)) == 0


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    file = EmbeddingFile(tmp_path / "file", MADE)
    with pytest.raises(FeaturesNotStored, match="embeddings cannot be written to"), file.filling():
        pass
