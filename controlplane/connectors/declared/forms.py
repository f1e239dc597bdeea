"""How the records of a file are taken apart, in each form of it: CSV, JSON Lines, fixed columns, spreadsheets, XML.

A record that cannot be read waits for a person by itself. What spoils the whole file raises UnreadableError after the records before it.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from itertools import count
from typing import Any

from controlplane.connectors import markup
from controlplane.connectors.declared.manifest import FilesRead
from controlplane.connectors.declared.reading import BROKEN, PLACE
from controlplane.connectors.envelope import constant, pairs
from controlplane.connectors.http import LARGEST
from controlplane.connectors.records import loads
from controlplane.errors import BadInputError, SettingsError, UnreadableError

UNPACKED = 8 * LARGEST
"""Bytes that a spreadsheet may unpack to."""
_LINE = re.compile(r"\r\n|\n|\r")
"""What ends a line. Others that Unicode has (U+2028, U+0085) stand within texts."""
Records = Iterator[dict[str, Any]]


class _FileError(Exception):
    """What is wrong with a whole file, to be said after its name."""


def taken_apart(read: FilesRead, name: str, content: bytes, system: str) -> Records:
    """Yield the records of a file. Raises UnreadableError naming the system and the file."""
    if read.form == "xml":  # it says its encoding itself
        for line, row in markup.records(content, read.record, f"{system}: {name}"):
            yield {**row, PLACE: f"{name}:{line}"}
        return
    try:
        if read.form == "excel":
            yield from _of_sheet(read, name, content)
        else:
            take = {"csv": _of_csv, "json_lines": _of_json_lines, "fixed": _of_fixed}[read.form]
            yield from take(read, name, _text(read, content))
    except _FileError as error:
        raise UnreadableError(f"{system}: {name} {error}") from error


def _text(read: FilesRead, content: bytes) -> str:
    try:
        return content.decode(read.encoding)
    except UnicodeDecodeError as error:
        told = f"is not {read.encoding} (byte {error.start}); correct `encoding`, or send it again"
        raise _FileError(told) from None


class _Lines:
    """The lines of a text; `held` are those that the record at hand is made of so far."""

    def __init__(self, text: str) -> None:
        self._lines, self.held = io.StringIO(text, newline=""), list[str]()

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.held.append(line)
            yield line


def _of_csv(read: FilesRead, name: str, text: str) -> Records:
    """A quote that is never closed takes all that follows for one field: that is no record, but a file that is broken."""
    lines = _Lines(text)
    rows, head = csv.reader(lines, delimiter=read.delimiter, strict=True), list[str]()
    for number in count(1):
        lines.held.clear()
        try:
            values = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            began = rows.line_num - len(lines.held) + 1
            if not head or len(lines.held) > 1 or "limit" in str(error):
                raise _FileError(f"is no CSV from line {began} on: {error}; send it again") from None
            told = f"it is no CSV: {error}"
            yield {PLACE: f"{name}:{began}", BROKEN: told, "line": lines.held[0][:2000]}
            continue
        if number == read.header:
            head = _header(values)
        elif head and any(one.strip() for one in values):
            yield _row(head, values, f"{name}:{rows.line_num}")


def _header(values: Sequence[Any]) -> list[str]:
    names = ["" if one is None else str(one).strip() for one in values]
    twice = next((one for one in names if one and names.count(one) > 1), None)
    if twice:
        raise _FileError(
            f"has two columns '{twice}', and which one is meant cannot be known; call one of them otherwise"
        )
    return names


def _row(head: list[str], values: list[Any], place: str) -> dict[str, Any]:
    if len(values) != len(head):
        told = f"it has {len(values)} fields and the header {len(head)}"
        return {PLACE: place, BROKEN: told, "fields": values}
    return {**dict(zip(head, values, strict=True)), PLACE: place}


def _of_json_lines(_read: FilesRead, name: str, text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_LINE.split(text), 1):
        if not line.strip():
            continue
        found: Any
        try:
            found = loads(line, object_pairs_hook=pairs, parse_constant=constant)
        except (ValueError, BadInputError) as error:
            found = {BROKEN: f"it is no JSON: {error}", "line": line[:2000]}
        told = found if isinstance(found, dict) else {BROKEN: "it is no object", "line": line[:2000]}
        yield {**told, PLACE: f"{name}:{number}"}


def _of_fixed(read: FilesRead, name: str, text: str) -> Iterator[dict[str, Any]]:
    width = max(one.at + one.length - 1 for one in read.columns)
    for number, line in enumerate(_LINE.split(text), 1):
        if not line.strip():
            continue
        if len(line.rstrip()) > width:
            yield {
                PLACE: f"{name}:{number}",
                BROKEN: f"it has {len(line.rstrip())} characters, and the columns end at {width}",
                "line": line,
            }
            continue
        yield {
            **{one.name: line[one.at - 1 : one.at - 1 + one.length].strip() for one in read.columns},
            PLACE: f"{name}:{number}",
        }


def _of_sheet(read: FilesRead, name: str, content: bytes) -> Records:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise SettingsError("spreadsheets take the extra `trueup[files]`; install it") from None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(one.file_size for one in archive.infolist())
        if size > UNPACKED:
            raise _FileError(f"unpacks to {size} bytes, and {UNPACKED} are read; send it in parts")
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheet = book[read.sheet] if read.sheet else book.worksheets[0]
        yield from _of_rows(read, name, sheet.iter_rows(values_only=True))
    except _FileError:
        raise
    except KeyError as error:
        if read.sheet and read.sheet in str(error):
            raise _FileError(f"has no sheet '{read.sheet}'; correct `sheet`") from None
        raise _FileError(f"is no spreadsheet that can be read: {error}; send it again") from error
    except Exception as error:  # the library raises whatever a broken archive makes it stumble over
        raise _FileError(f"is no spreadsheet that can be read: {error}; send it again") from error


def _of_rows(read: FilesRead, name: str, rows: Iterator[tuple[Any, ...]]) -> Records:
    head: list[str] = []
    for number, values in enumerate(rows, 1):
        if number == read.header:
            head = _header(values)
        elif head and any(one not in (None, "") for one in values):
            yield _row(head, [_cell(one) for one in values], f"{name}:{number}")


def _cell(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value if isinstance(value, str | int | float | None) else str(value)
