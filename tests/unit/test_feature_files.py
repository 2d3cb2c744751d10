"""Feature rows on disk: they grow at their end, and are made again rather than believed when torn."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from label_studio_al.learning.draws import text_hashes
from label_studio_al.learning.features import Features, TextRows
from label_studio_al.learning.types import Array
from label_studio_al.pool.files import DELETED, HAS_FEATURES, FeatureFiles, with_shared_topics
from label_studio_al.runtime.errors import FeaturesNotStored

TEXTS = ["the cat sleeps", "a dog barks", "the cat and a dog", "", "nothing of this is known", "cat cat dog"]
ALL = {"tasks", "states", "contents", "counts", "columns", "values", "scales", "embedding"}


class Lengths:
    """An encoder whose numbers can be foretold."""

    name = "lengths"
    n_dimensions = 2

    def encode(self, texts: list[str]) -> Array:
        return np.array([[len(text), 1] for text in texts], dtype=np.float32).reshape(-1, 2)


FEATURES = Features.fit(TEXTS, Lengths(), len(TEXTS))


def dense(rows: TextRows) -> Array:
    return np.hstack([rows.terms.toarray(), rows.views[1]])


def fill(files: FeatureFiles, first: int, stop: int) -> None:
    """Add one row a text; task numbers count from 0."""
    rows = FEATURES.transform(TEXTS[first:stop])
    contents = text_hashes(TEXTS[first:stop])
    files.append(range(first, stop), [HAS_FEATURES] * (stop - first), contents, rows, (stop, stop - 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "3.1795343520" / "0123456789abcdef"


@pytest.fixture
def reopen(folder: Path) -> Callable[[], FeatureFiles]:
    """As after a restart."""
    return lambda: FeatureFiles(folder, FEATURES)


def holds(files: FeatureFiles, n: int) -> None:
    assert files.tasks.tolist() == list(range(n))
    assert files.states.tolist() == [HAS_FEATURES] * n
    assert files.position == ((n, n - 1) if n else (-1, -1))
    np.testing.assert_array_equal(dense(files.rows), dense(FEATURES.transform(TEXTS[:n])))


def test_rows_are_what_the_features_gave(reopen: Callable[[], FeatureFiles]) -> None:
    files = reopen()
    holds(files, 0)
    fill(files, 0, 4)
    holds(files, 4)
    fill(files, 4, 6)
    holds(files, 6)


def test_restart_finds_the_rows(reopen: Callable[[], FeatureFiles]) -> None:
    fill(reopen(), 0, 4)
    again = reopen()
    holds(again, 4)
    fill(again, 4, 6)
    holds(reopen(), 6)


def test_rows_are_mapped_not_read(reopen: Callable[[], FeatureFiles]) -> None:
    files = reopen()
    fill(files, 0, 6)
    for array in (files.tasks, files.rows.terms.data, files.rows.terms.indices, files.rows.scales):
        assert not array.flags.owndata
        assert not array.flags.writeable


def test_arrays_that_are_in_use_survive_growth_and_removal(reopen: Callable[[], FeatureFiles]) -> None:
    files = reopen()
    fill(files, 0, 4)
    before = files.rows
    fill(files, 4, 6)
    files.remove()
    np.testing.assert_array_equal(dense(before), dense(FEATURES.transform(TEXTS[:4])))


def test_position_moves_on_without_rows(reopen: Callable[[], FeatureFiles]) -> None:
    files = reopen()
    files.append([], [], [], FEATURES.transform([]), (7, 3))
    assert reopen().position == (7, 3)


def test_states_are_kept(reopen: Callable[[], FeatureFiles]) -> None:
    files = reopen()
    files.append([5, 6], [DELETED, HAS_FEATURES], [0, 1], FEATURES.transform(["", "a cat"]), (1, 6))
    assert reopen().states.tolist() == [DELETED, HAS_FEATURES]


@pytest.mark.parametrize("name", sorted(ALL))
def test_file_that_is_cut_off_is_made_again(reopen: Callable[[], FeatureFiles], folder: Path, name: str) -> None:
    fill(reopen(), 0, 6)
    os.truncate(folder / name, (folder / name).stat().st_size - 1)
    holds(reopen(), 0)


@pytest.mark.parametrize("name", sorted(ALL))
def test_file_with_a_flipped_bit_is_made_again(
    reopen: Callable[[], FeatureFiles], folder: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    fill(reopen(), 0, 6)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    holds(reopen(), 0)
    assert "made again" in caplog.text


@pytest.mark.parametrize("name", [*sorted(ALL), "manifest.json"])
def test_file_that_is_missing_is_made_again(reopen: Callable[[], FeatureFiles], folder: Path, name: str) -> None:
    fill(reopen(), 0, 6)
    (folder / name).unlink()
    again = reopen()
    holds(again, 0)
    fill(again, 0, 6)
    holds(reopen(), 6)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"format": 1}', '{"format": 99}', "\u00e9"])
def test_manifest_that_is_not_understood_is_not_believed(
    reopen: Callable[[], FeatureFiles], folder: Path, content: str
) -> None:
    fill(reopen(), 0, 6)
    (folder / "manifest.json").write_text(content, encoding="latin-1")
    holds(reopen(), 0)


def test_what_a_killed_growth_left_behind_does_not_count(reopen: Callable[[], FeatureFiles], folder: Path) -> None:
    fill(reopen(), 0, 4)
    for name in ALL:
        with (folder / name).open("ab") as file:
            file.write(b"half of a row")
    again = reopen()
    holds(again, 4)
    fill(again, 4, 6)
    holds(reopen(), 6)


def test_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    """The kernel refuses to let files grow beyond a limit, as a full disk does."""
    program = f"""
        import resource, signal, sys
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from pathlib import Path
        from label_studio_al.runtime.errors import FeaturesNotStored
        from tests.unit.test_feature_files import FEATURES, FeatureFiles, fill, holds
        folder = Path({str(tmp_path)!r}) / "project" / "features"
        files = FeatureFiles(folder, FEATURES)
        fill(files, 0, 4)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        sys.dont_write_bytecode = True
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((folder / "values").stat().st_size + 4, limits[1]))
        try:
            fill(files, 4, 6)
        except FeaturesNotStored as exc:
            print(exc)
        holds(files, 4)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        holds(FeatureFiles(folder, FEATURES), 4)
        fill(files, 4, 6)
        holds(FeatureFiles(folder, FEATURES), 6)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("features cannot be written to ")
    assert "File too large" in done.stdout


def test_topics_are_one_file_for_all_processes(folder: Path) -> None:
    first = with_shared_topics(FEATURES, folder)
    written = (folder / "topics").stat()
    second = with_shared_topics(FEATURES, folder)
    assert not first.topics.components.flags.owndata
    assert not second.topics.components.flags.owndata
    assert (folder / "topics").stat() == written
    assert [path.name for path in folder.iterdir()] == ["topics"]
    np.testing.assert_array_equal(second.topics.components, FEATURES.topics.components)
    np.testing.assert_array_equal(dense(second.transform(TEXTS)), dense(FEATURES.transform(TEXTS)))


def test_topics_stay_where_rows_are_begun_anew(folder: Path) -> None:
    shared = with_shared_topics(FEATURES, folder)
    files = FeatureFiles(folder, shared)
    fill(files, 0, 4)
    (folder / "manifest.json").unlink()
    holds(FeatureFiles(folder, shared), 0)
    assert (folder / "topics").exists()


@pytest.mark.parametrize("content", [b"", b"torn", None])
def test_topics_that_somebody_has_changed_are_written_anew(folder: Path, content: bytes | None) -> None:
    with_shared_topics(FEATURES, folder)
    (folder / "topics").write_bytes(bytes(FEATURES.topics.components.nbytes) if content is None else content)
    shared = with_shared_topics(FEATURES, folder)
    np.testing.assert_array_equal(shared.topics.components, FEATURES.topics.components)


def test_topics_stay_in_memory_where_no_file_can_be_written(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("a file where the folder should be")
    assert with_shared_topics(FEATURES, folder) is FEATURES


def test_features_without_topics_need_no_file(folder: Path) -> None:
    without = Features.fit(["cat"], None, 1)
    assert with_shared_topics(without, folder) is without


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(FeaturesNotStored, match="Permission denied"):
        fill(FeatureFiles(tmp_path / "locked" / "project" / "features", FEATURES), 0, 1)


def test_path_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "project").write_text("in the way", encoding="ascii")
    with pytest.raises(FeaturesNotStored, match=str(tmp_path)):
        fill(FeatureFiles(tmp_path / "project" / "features", FEATURES), 0, 1)


def test_another_process_continues_where_the_first_left_off(reopen: Callable[[], FeatureFiles]) -> None:
    one, other = reopen(), reopen()
    fill(one, 0, 4)
    assert other.catch_up()
    assert not other.catch_up()
    fill(other, 4, 6)
    assert one.catch_up()
    holds(one, 6)
    holds(reopen(), 6)


def test_files_that_somebody_else_shortened_do_not_grow(reopen: Callable[[], FeatureFiles], folder: Path) -> None:
    files = reopen()
    fill(files, 0, 4)
    os.truncate(folder / "columns", 4)
    with pytest.raises(FeaturesNotStored, match="shortened"):
        fill(files, 4, 6)
    holds(reopen(), 0)


def test_old_features_of_the_project_are_removed(reopen: Callable[[], FeatureFiles], folder: Path) -> None:
    old, young = folder.with_name("old"), folder.with_name("young")
    for other in (old, young):
        other.mkdir(parents=True)
    os.utime(old, (0, 0))
    files = reopen()
    fill(files, 0, 4)
    files.remove_older_siblings()
    assert not old.exists()
    assert young.exists()
    holds(reopen(), 4)
