"""Memory that is free in this process, given back to the machine."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Let the C library hand the pages that it holds free to the kernel; nothing where it cannot (no glibc).

    What a training used is freed in pieces between others, and glibc keeps them: after some hundred trainings the
    process would be larger by several times of what it holds (measured: 25 MB in 830 labels, 1.4 MB of them in use).
    Costs some milliseconds.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
