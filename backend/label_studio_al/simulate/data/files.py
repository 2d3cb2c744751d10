"""From a file's bytes to its records, whatever program saved it."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data.tagged import SPANS, TEXT, read_tagged

TAGGED = (".conll", ".bio", ".iob")
ENDINGS = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", *TAGGED)
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_NAMES_SHOWN = 12
_NAME_CHARACTERS = 40


@dataclass(frozen=True)
class Table:
    """names: of the columns, in their order. records: where each stands in the file, and its values by name."""

    names: tuple[str, ...]
    records: list[tuple[str, Mapping[str, Any]]]
    notes: tuple[str, ...] = ()

    def listed(self) -> str:
        """The names for a sentence, as many as one can read."""
        shown = ", ".join(name[:_NAME_CHARACTERS] for name in self.names[:_NAMES_SHOWN])
        left = len(self.names) - _NAMES_SHOWN
        return f"{shown} and {left} more" if left > 0 else shown or "none"


def ending_of(path: Path) -> str:
    """Of `ENDINGS`, without the .gz behind it. Raises InvalidRequest."""
    name = path.name.lower().removesuffix(".gz")
    for ending in ENDINGS:
        if name.endswith(ending):
            return ending
    raise InvalidRequest(f"a data set is a file that ends in {', '.join(ENDINGS)} (or .gz behind it)")


def read_table(path: Path, wanted: Collection[str]) -> Table:
    """The records of a file. wanted: names of columns, by which the separator is told. Raises InvalidRequest."""
    ending = ending_of(path)
    content = read_text(path)
    if not content.strip():
        raise InvalidRequest("there are no labelled texts in it: the file is empty")
    if ending in (".csv", ".tsv", ".txt"):
        return _separated(content, {name.casefold() for name in wanted})
    if ending in TAGGED:
        return Table((TEXT, SPANS), list(read_tagged(content)))
    # Many programs save JSON lines under the name of JSON.
    is_list = ending == ".json" and content.lstrip().startswith("[")
    return _of_objects(_json_list(content) if is_list else _json_lines(content))


def read_text(path: Path) -> str:
    """What a file says, without the mark of its encoding. Raises InvalidRequest."""
    return _decoded(_content(path))


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix.lower() == ".gz" else content
    except FileNotFoundError:
        raise InvalidRequest("there is no such file") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as exc:
        raise InvalidRequest("the file is not gzipped, or corrupt") from exc
    except OSError as exc:
        raise InvalidRequest(f"the file cannot be read: {exc.strerror}") from exc


def _decoded(content: bytes) -> str:
    encoding = next((name for mark, name in _ENCODINGS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        kind = encoding.removesuffix("-sig").upper()
        raise InvalidRequest(
            f"the file is not {kind} (line {line}, byte {exc.start}), perhaps Latin-1 or Windows-1252: save it as UTF-8"
        ) from exc
    if "\0" in text:
        raise InvalidRequest("the file holds zero bytes, as UTF-16 without its mark does: save it as UTF-8")
    return text


# -- separated values -----------------------------------------------------------------------------------------


def _separated(content: str, wanted: Collection[str]) -> Table:
    """The rows below a header, separated by what finds most of the wanted names in it."""
    # A long mail has more than csv's 131,072 characters.
    csv.field_size_limit(sys.maxsize)
    headers = {separator: _header(content, separator) for separator in SEPARATORS}

    def fit(separator: str) -> tuple[int, int]:
        names = [name.strip().casefold() for name in headers[separator]]
        return len(set(names) & set(wanted)), len(names)

    separator = max(SEPARATORS, key=fit)
    header = [name.strip() for name in headers[separator]]
    _refuse_doubled(header)
    # Who puts a blank behind the separator in the header does it in front of quotes, too.
    is_spaced = any(name.startswith(" ") for name in headers[separator][1:])
    notes = [] if separator == "," else [f"columns are separated by {SEPARATORS[separator]}"]
    try:
        rows = list(_rows(content, delimiter=separator, skipinitialspace=is_spaced))
    except _QuoteError as exc:
        # Where tabs separate, quotes often are parts of the texts, with none around them.
        if separator != "\t" or '"' in content.partition("\n")[0]:
            raise InvalidRequest(str(exc)) from exc
        rows = list(_rows(content, delimiter=separator, quoting=csv.QUOTE_NONE))
        notes.append("quotes are parts of the texts, since they do not go around them")
    return Table(tuple(filter(None, header)), list(_records(header, rows[1:], SEPARATORS[separator])), tuple(notes))


class _QuoteError(Exception):
    """A quoted cell has no end, or goes on after it."""


def _header(content: str, separator: str) -> list[str]:
    lines = csv.reader(io.StringIO(content, newline=""), delimiter=separator)
    return next((cells for cells in lines if any(map(str.strip, cells))), [])


def _rows(content: str, **dialect: Any) -> Iterator[tuple[int, list[str]]]:
    """The number of each row's last line, and its cells. Empty lines are no rows."""
    # Not strict, csv takes all lines after a quote that is never closed for one cell, and does not tell.
    reader = csv.reader(io.StringIO(content, newline=""), strict=True, **dialect)
    number = 0
    try:
        for cells in reader:
            number = reader.line_num
            if any(map(str.strip, cells)):
                yield number, cells
    except csv.Error as exc:
        raise _QuoteError(
            f"line {number + 1}: a quoted text is never closed, or has a quote inside that is not doubled"
        ) from exc


def _records(
    header: list[str], rows: Iterable[tuple[int, list[str]]], separators: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, cells in rows:
        if any(map(str.strip, cells[len(header) :])):
            raise InvalidRequest(
                f"line {number} has {len(cells)} cells, the header {len(header)}: put texts with {separators} in quotes"
            )
        yield f"line {number}", {name: cell for name, cell in zip(header, cells, strict=False) if name}


def _refuse_doubled(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            raise InvalidRequest(f"two columns are named {name[:_NAME_CHARACTERS]!r}: rename one, or take it out")
        seen.add(name)


# -- JSON -----------------------------------------------------------------------------------------------------


def _json_lines(content: str) -> Iterator[tuple[str, object]]:
    # Not splitlines: JSON strings may hold U+2028 and its like.
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            yield f"line {number}", _parsed(line, f"line {number}")


def _json_list(content: str) -> Iterator[tuple[str, object]]:
    for number, item in enumerate(_parsed(content, "the file"), start=1):
        yield f"item {number}", item


def _parsed(content: str, what: str) -> Any:
    try:
        return json.loads(content, object_pairs_hook=_object)
    except InvalidRequest as exc:
        raise InvalidRequest(f"{what}: {exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"{what} is not JSON: {exc}") from exc


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        _refuse_doubled(name for name, _ in pairs)
    return found


def _of_objects(items: Iterable[tuple[str, object]]) -> Table:
    records: list[tuple[str, Mapping[str, Any]]] = []
    for place, item in items:
        if not isinstance(item, dict):
            raise InvalidRequest(f"{place} must be a JSON object, not {type(item).__name__}")
        records.append((place, item))
    return Table(tuple(dict.fromkeys(name for _, record in records for name in record)), records)
