"""Log lines: one a line, with what they are about, and never a secret or a task's text.

An exception's message is written only where it cannot hold a text that somebody else wrote.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from types import TracebackType

from label_studio_al.runtime.redaction import hide, know

MAX_CHARACTERS = 8_000
# Their messages hold names, addresses and sentences of ours or of libraries, but no task's text.
_SAFE = (OSError, ImportError, NameError, AttributeError)
_SAFE_PACKAGES = ("label_studio_al", "httpx", "httpcore", "sqlalchemy", "psycopg", "sqlite3")
# Not printable by Unicode's word: no-break space, soft hyphen, and what joins letters in Persian, Hindi and emoji.
_HARMLESS = "\u00a0\u00ad\u200c\u200d"

_context: ContextVar[Mapping[str, object]] = ContextVar("log_context", default={})  # noqa: B039 - never changed


@contextmanager
def context(**fields: object) -> Iterator[None]:
    """Add fields (request, project, turn, version) to every line that is logged inside of the block."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def add(**fields: object) -> None:
    """Add fields to every line that is logged until the end of the surrounding `context`."""
    _context.set({**_context.get(), **fields})


def set_up(level: str, line_format: str = "text", secrets: Iterable[str | None] = ()) -> None:
    """Write log lines to standard error, as `text` or as `json`. Libraries speak from WARNING on.

    secrets: further values that are hidden wherever they occur. Errors that nobody catches are logged, too.
    """
    know(*secrets)
    formatter = LineFormatter(is_json=line_format == "json")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("label_studio_al").setLevel(level)
    logging.captureWarnings(True)
    # A line that cannot be written (a full disk) would be printed with all that was to be said.
    logging.raiseExceptions = False
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


class LineFormatter(logging.Formatter):
    """Writes records as lines of text or JSON, without secrets."""

    def __init__(self, *, is_json: bool) -> None:
        super().__init__()
        self._is_json = is_json

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fields = {name: hide(str(value)) for name, value in _context.get().items()}
        message = hide(record.getMessage())[:MAX_CHARACTERS]
        trace = hide(trace_of(record.exc_info[1])) if record.exc_info and record.exc_info[1] else ""
        moment = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        if self._is_json:
            line = {"time": moment, "level": record.levelname, "logger": record.name, "message": message, **fields}
            return json.dumps(line | ({"exception": trace} if trace else {}))
        about = "".join(f" {name}={value}" for name, value in fields.items())
        return on_one_line(f"{moment} {record.levelname} {record.name}{about}: {message}") + (trace and f"\n{trace}")


def on_one_line(text: str) -> str:
    """Without characters that begin another line, move a terminal's cursor or turn the direction of reading."""
    return "".join(one if one.isprintable() or one in _HARMLESS else _escaped(one) for one in text)


def on_lines(text: str) -> str:
    """The same of a text whose line ends are ours."""
    return "\n".join(map(on_one_line, text.split("\n")))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def trace_of(exc: BaseException) -> str:
    """Frames and types of an exception and of what caused it, indented; messages only where they are safe."""
    lines, chain = [], [exc]
    while (cause := _cause(chain[-1])) is not None and cause not in chain:
        chain.append(cause)
    for one in reversed(chain):
        for frame in traceback.extract_tb(one.__traceback__):
            lines.append(f"  {frame.filename}:{frame.lineno} in {frame.name}")
        is_safe = isinstance(one, _SAFE) or type(one).__module__.partition(".")[0] in _SAFE_PACKAGES
        said = str(one).partition("\n")[0] if is_safe else "(message withheld: it may hold texts)"
        lines.append(on_one_line(f"  {type(one).__name__}: {said}")[:MAX_CHARACTERS])
    return "\n".join(lines)


def _cause(exc: BaseException) -> BaseException | None:
    return exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)


def _log_uncaught(kind: type[BaseException], exc: BaseException | None, trace: TracebackType | None) -> None:
    if exc is None or issubclass(kind, (KeyboardInterrupt, SystemExit)):
        return
    logging.getLogger("label_studio_al").critical("uncaught %s", kind.__name__, exc_info=(kind, exc, trace))
