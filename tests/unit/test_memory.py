"""What is free goes back to the machine."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from label_studio_al.runtime.memory import let_go_of_files, map_file

# Blocks that are too large for Python's own allocator and too small for pages of their own; the last one stays.
SCRIPT = """
import psutil
from label_studio_al.runtime.memory import give_back
size = lambda: psutil.Process().memory_info().rss / 1e6
blocks = [bytearray(4000) for _ in range(25_000)]
del blocks[:-1]
before = size()
give_back()
print(before - size())
"""


def test_mapped_file_is_read_only_and_may_be_let_go_of(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(b"head" + np.arange(6, dtype="<f4").tobytes())
    numbers = map_file(path, "<f4", (3, 2), 4)
    let_go_of_files()
    assert numbers.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert not numbers.flags.writeable
    path.unlink()
    let_go_of_files()
    assert numbers.sum() == 15


@pytest.mark.parametrize("content", [b"", b"too few"])
def test_file_with_too_few_numbers_cannot_be_mapped(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"empty|smaller"):
        map_file(path, "<f4", (3, 2))


RESIDENT = """
import sys
from pathlib import Path
from label_studio_al.runtime.memory import let_go_of_files, map_file
size = lambda: next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssFile"))
numbers = map_file(Path(sys.argv[1]), "<f4", (4_000_000,))
total, before = numbers.sum(), size()
let_go_of_files()
print(before - size())
assert numbers.sum() == total
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is resident")
def test_mapped_file_is_not_resident_after_it_was_let_go_of(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    np.ones(4_000_000, dtype="<f4").tofile(path)
    command = [sys.executable, "-c", RESIDENT, str(path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 15_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps it and can give it back")
def test_free_memory_between_what_is_used_is_given_back() -> None:
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 50
