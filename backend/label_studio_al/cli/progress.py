"""Progress bars on standard error, only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

# What a worker reports of a project's turn, and how people call it.
_LABELS = {"sync": "Reading tasks", "features": "Turning texts into features", "embeddings": "Embedding"}


class Bar:
    """Shows what `/status` reports as a project's `progress`, one bar after the other."""

    def __init__(self, file: TextIO | None = None) -> None:
        """file: where it is drawn.  [default: standard error]"""
        self._file = file or sys.stderr
        self._what = ""
        self._bar: ProgressBar[int] | None = None

    @property
    def is_seen(self) -> bool:
        """Whether somebody looks."""
        return self._file.isatty()

    def show(self, progress: Mapping[str, Any] | None) -> None:
        """Draw `{"what": "sync", "done": 4100, "total": 10000}`; None ends the bar."""
        if progress is None or not self.is_seen:
            self.end()
            return
        what, done, total = str(progress["what"]), int(progress["done"]), int(progress["total"])
        if self._bar is None or what != self._what or total != self._bar.length or done < self._bar.pos:
            self.end()
            self._what = what
            self._bar = click.progressbar(length=total, label=_LABELS.get(what, what), show_pos=True, file=self._file)
            self._bar.render_progress()
        self._bar.update(done - self._bar.pos)

    def end(self) -> None:
        """End the line, so that words can follow."""
        if self._bar is not None:
            self._bar.render_finish()
        self._bar = None
