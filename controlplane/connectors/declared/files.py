"""Declared files: each one of a folder is read once, whole, when it is no longer being written, and stays where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from controlplane.connectors.contract import Context
from controlplane.connectors.declared.forms import taken_apart
from controlplane.connectors.declared.manifest import FilesRead, Read
from controlplane.connectors.declared.reading import BROKEN, PLACE
from controlplane.connectors.declared.source import Cursor, Rows, Source
from controlplane.connectors.drops import folders_of
from controlplane.connectors.http import LARGEST, Answer
from controlplane.errors import UnreadableError


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
        rows = taken_apart(read, file[0], self._content(*file), self.context.system)
        while part := list(islice(rows, read.size)):
            yield part, self._answer()

    def _content(self, name: str, size: int) -> bytes:
        if size > LARGEST:
            raise UnreadableError(
                f"{self.context.system}: {name} has {size} bytes, and {LARGEST} are read; send it in parts"
            )
        return self._folders.read(name, LARGEST)

    def _answer(self) -> Answer:
        now = self.context.clock.now()
        return Answer(200, {}, b"", now, now, wrote=False)


def _files_read(read: Read) -> FilesRead:
    assert isinstance(read, FilesRead)  # noqa: S101  # a manifest of this kind has no others
    return read


def _cursor(done: set[str], sizes: Mapping[str, int]) -> Cursor:
    return {"done": sorted(done), "sizes": dict(sizes)}
