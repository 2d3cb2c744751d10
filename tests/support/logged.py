"""What is logged, as it is written."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from label_studio_al.runtime import logs


@contextmanager
def everything_logged(*, is_json: bool = False) -> Iterator[io.StringIO]:
    """All lines of all levels, in the format of the log."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.LineFormatter(is_json=is_json))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)
