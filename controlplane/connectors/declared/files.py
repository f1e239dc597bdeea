"""Declared files: each one of a folder is read once, whole, when it is no longer being written, and stays where it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from controlplane.connectors import markup
from controlplane.connectors.contract import Context
from controlplane.connectors.declared.manifest import FilesRead, Read
from controlplane.connectors.declared.reading import BROKEN, PLACE
from controlplane.connectors.declared.source import Cursor, Rows, Source
from controlplane.connectors.drops import folders_of
from controlplane.connectors.http import LARGEST, Answer
from controlplane.connectors.records import loads
from controlplane.errors import SettingsError, UnreadableError


class FilesSource(Source):
    """A folder: of this machine, at an SFTP server, in a bucket."""

    def __init__(self, context: Context, options: Mapping[str, Any]) -> None:
        super().__init__(context, options)
        self._folders = folders_of(context)

    def ping(self) -> None:
        """Look whether the folder is there."""
        self._folders.entries("")

    def pages(self, read: Read, since: str | None) -> Iterator[tuple[Rows, Answer]]:
        """Yield the records of the last file by name: what a snapshot is taken from."""
        read = _files_read(read)
        names = list(self._names(read))
        for rows, answer in self._records(read, names[-1]) if names else ():
            broken = next((row for row in rows if BROKEN in row), None)
            if broken:
                answer.fail(f"has in {broken[PLACE]} what cannot be read: {broken[BROKEN]}")
            yield rows, answer

    def polled(self, read: Read, cursor: Cursor | None) -> Iterator[tuple[Rows, Answer, Cursor]]:
        """Yield the records of each file that was not read yet. One whose size is not that of the last poll may still be written.

        One that cannot be read does not keep those behind it: it is told at the end, and tried again with the next poll.
        """
        read, held, sizes = _files_read(read), cursor or {}, {}
        sizes = dict(self._names(read))
        # names of files that somebody took away are forgotten, so that the cursor does not grow for ever
        done, seen = set(held.get("done", ())) & set(sizes), held.get("sizes", {})
        waiting = {name: size for name, size in sizes.items() if name not in done and seen.get(name) != size}
        broken: list[UnreadableError] = []
        for name in [one for one in sizes if one not in done and one not in waiting]:
            try:
                for rows, answer in self._records(read, (name, sizes[name])):
                    yield rows, answer, _cursor(done, waiting | {name: sizes[name]})
            except UnreadableError as error:
                broken.append(error)
                waiting[name] = sizes[name]
                continue
            done.add(name)
            yield [], self._answer(), _cursor(done, waiting)
        yield [], self._answer(), _cursor(done, waiting)
        if broken:
            raise broken[0]

    def close(self) -> None:
        """Close the connection."""
        self._folders.close()

    def _names(self, read: FilesRead) -> Iterator[tuple[str, int]]:
        """Yield name and size of the files of the pattern, in the order of their names."""
        found = {one.name: one.size for one in self._folders.entries("")}
        yield from sorted((name, size) for name, size in found.items() if fnmatchcase(name, read.pattern))

    def _records(self, read: FilesRead, file: tuple[str, int]) -> Iterator[tuple[Rows, Answer]]:
        rows = self._taken_apart(read, file[0], self._content(*file))
        while part := list(islice(rows, read.size)):
            yield part, self._answer()

    def _content(self, name: str, size: int) -> bytes:
        if size > LARGEST:
            raise UnreadableError(
                f"{self.context.system}: {name} has {size} bytes, and {LARGEST} are read; send it in parts"
            )
        return self._folders.read(name, LARGEST)

    def _taken_apart(self, read: FilesRead, name: str, content: bytes) -> Iterator[dict[str, Any]]:
        if read.form == "excel":
            yield from _of_sheet(read, name, content, self.context.system)
            return
        if read.form == "xml":  # it says its encoding itself
            for line, row in markup.records(content, read.record, f"{self.context.system}: {name}"):
                yield {PLACE: f"{name}:{line}", **row}
            return
        try:
            text = content.decode(read.encoding)
        except UnicodeDecodeError as error:
            raise UnreadableError(
                f"{self.context.system}: {name} is not {read.encoding} (byte {error.start}); correct `encoding`, or send it again"
            ) from None
        take = {"csv": _of_csv, "json_lines": _of_json_lines, "fixed": _of_fixed}[read.form]
        try:
            yield from take(read, name, text)
        except csv.Error as error:
            raise UnreadableError(f"{self.context.system}: {name} is no CSV: {error}; send it again") from None

    def _answer(self) -> Answer:
        now = self.context.clock.now()
        return Answer(200, {}, b"", now, now, wrote=False)


def _files_read(read: Read) -> FilesRead:
    assert isinstance(read, FilesRead)  # noqa: S101  # a manifest of this kind has no others
    return read


def _cursor(done: set[str], sizes: Mapping[str, int]) -> Cursor:
    return {"done": sorted(done), "sizes": dict(sizes)}


def _of_csv(read: FilesRead, name: str, text: str) -> Iterator[dict[str, Any]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=read.delimiter)
    head: list[str] = []
    for number, values in enumerate(lines, 1):
        if number == read.header:
            head = [one.strip() for one in values]
        elif head and any(one.strip() for one in values):
            yield _row(head, values, f"{name}:{lines.line_num}")


def _row(head: list[str], values: list[Any], place: str) -> dict[str, Any]:
    if len(values) != len(head):
        told = f"it has {len(values)} fields and the header {len(head)}"
        return {PLACE: place, BROKEN: told, "fields": values}
    return {PLACE: place, **dict(zip(head, values, strict=True))}


def _of_json_lines(_read: FilesRead, name: str, text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = loads(line)
        except ValueError as error:
            found = {BROKEN: f"it is no JSON: {error}", "line": line[:2000]}
        yield {
            PLACE: f"{name}:{number}",
            **(found if isinstance(found, dict) else {BROKEN: "it is no object", "line": line[:2000]}),
        }


def _of_fixed(read: FilesRead, name: str, text: str) -> Iterator[dict[str, Any]]:
    width = max(one.at + one.length - 1 for one in read.columns)
    for number, line in enumerate(text.splitlines(), 1):
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
            PLACE: f"{name}:{number}",
            **{one.name: line[one.at - 1 : one.at - 1 + one.length].strip() for one in read.columns},
        }


def _of_sheet(read: FilesRead, name: str, content: bytes, system: str) -> Iterator[dict[str, Any]]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise SettingsError("spreadsheets take the extra `trueup[files]`; install it") from None
    try:
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheet = book[read.sheet] if read.sheet else book.worksheets[0]
    except KeyError:
        raise UnreadableError(f"{system}: {name} has no sheet '{read.sheet}'; correct `sheet`") from None
    except Exception as error:  # the library raises whatever a broken archive makes it stumble over
        raise UnreadableError(f"{system}: {name} is no spreadsheet that can be read: {error}; send it again") from error
    head: list[str] = []
    for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
        if number == read.header:
            head = ["" if one is None else str(one).strip() for one in values]
        elif head and any(one not in (None, "") for one in values):
            yield _row(head, [_cell(one) for one in values], f"{name}:{number}")


def _cell(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value if isinstance(value, str | int | float | None) else str(value)
