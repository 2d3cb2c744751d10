"""What is free goes back to the machine."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

# Blocks that are too large for Python's own allocator and too small for pages of their own; the last one stays.
SCRIPT = """
import psutil
from backend.memory import give_back
size = lambda: psutil.Process().memory_info().rss / 1e6
blocks = [bytearray(4000) for _ in range(25_000)]
del blocks[:-1]
before = size()
give_back()
print(before - size())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps it and can give it back")
def test_free_memory_between_what_is_used_is_given_back() -> None:
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 50
