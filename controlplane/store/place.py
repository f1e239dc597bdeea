"""A folder anywhere that fsspec reaches: files come to be under their name only when they are whole."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy.exc import SQLAlchemyError

from controlplane.errors import BadInputError, TrueupError, UnavailableError
from rules.policy.keeping import protocol_of

CHUNK = 2**20


class Place:
    """A folder. Every method raises UnavailableError when the file system does not do what it should."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        with told(self.uri):
            self._fs, folder = fsspec.core.url_to_fs(self.uri)
        self._folder = str(folder).rstrip("/")

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def write(self, name: str, fill: Callable[[Hashed], None]) -> tuple[int, str]:
        """Let `fill` write a file, under another name until it is whole; return its bytes and their SHA-256."""
        draft = self._path(f"{name}.tmp")
        with told(self.uri):
            self._fs.makedirs(self._folder, exist_ok=True)
            file = self._fs.open(draft, "wb")
        hashed = Hashed(file, self.uri)
        try:
            fill(hashed)
            with told(self.uri):
                _settle(file)
        finally:
            with told(self.uri):
                file.close()
        with told(self.uri):
            self._fs.mv(draft, self._path(name))
            self._settle_folders()
        return hashed.written, hashed.digest()

    def digest(self, name: str) -> tuple[int, str]:
        """Read a file through; return its bytes and their SHA-256."""
        found, length = hashlib.sha256(), 0
        with self.open(name) as file:
            while piece := file.read(CHUNK):
                found.update(piece)
                length += len(piece)
        return length, found.hexdigest()

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file for reading. Raises BadInputError when it is missing."""
        with told(self.uri):
            try:
                file = self._fs.open(self._path(name), "rb")
            except FileNotFoundError:
                raise BadInputError(f"{self.uri}/{name} is missing; take it from a back-up of the archive") from None
        with told(self.uri), file:
            yield file

    def read(self, name: str) -> bytes | None:
        """Return a small file, or None when it is not there."""
        with told(self.uri):
            self._fs.invalidate_cache()
            try:
                with self._fs.open(self._path(name), "rb") as file:
                    return bytes(file.read())
            except FileNotFoundError:
                return None

    def names(self) -> list[str]:
        """Return the names of the files in the folder, sorted; of one that is not there, none."""
        with told(self.uri):
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(self._folder, detail=True)
            except FileNotFoundError:
                return []
            return sorted(str(one["name"]).rsplit("/", 1)[-1] for one in found if one["type"] == "file")

    def remove(self) -> None:
        """Remove the folder with all that is in it; one that is not there is no fault."""
        with told(self.uri), suppress(FileNotFoundError):
            self._fs.rm(self._folder, recursive=True)

    def _settle_folders(self) -> None:
        """Where the folder is on this machine: wait until the disk has the names too, those of the folders above included."""
        if not isinstance(self._fs, LocalFileSystem):
            return
        folder = PurePosixPath(self._folder)
        for place in (folder, *list(folder.parents)[:3]):
            descriptor = os.open(place, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


class Hashed(io.RawIOBase):
    """A file that knows what was written to it."""

    def __init__(self, file: Any, uri: str) -> None:
        self._file, self._uri = file, uri
        self._hash = hashlib.sha256()
        self.written = 0

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any) -> int:
        """Write on."""
        piece = bytes(data)
        with told(self._uri):
            self._file.write(piece)
        self._hash.update(piece)
        self.written += len(piece)
        return len(piece)

    def tell(self) -> int:
        """Return how much was written."""
        return self.written

    def digest(self) -> str:
        """Return the SHA-256 of all that was written."""
        return self._hash.hexdigest()


def _settle(file: Any) -> None:
    """Wait until the disk has it: rows are deleted on the strength of this file. A remote store answers for itself."""
    file.flush()
    try:
        descriptor = file.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return
    os.fsync(descriptor)


@contextmanager
def told(uri: str) -> Iterator[None]:
    """Turn whatever a file system raises into one error that names the place; errors of our own pass."""
    try:
        yield
    except (TrueupError, SQLAlchemyError):
        raise
    except Exception as error:
        what = str(error).strip() or type(error).__name__
        raise UnavailableError(
            f"{uri} cannot be used ({what}); see that the place is there, that the plane may write to it "
            "and that its credentials stand in the plane's environment. Nothing was deleted on account of it"
        ) from error


def inside(uri: str, archives: list[str]) -> bool:
    """Say whether an address lies beneath one of the archives."""
    protocol, path = _parts(uri)
    return ".." not in path.split("/") and any(
        protocol == known and path.startswith(f"{root.rstrip('/')}/") for known, root in map(_parts, archives)
    )


def _parts(address: str) -> tuple[str, str]:
    protocol = protocol_of(address) or "file"
    return ("file" if protocol == "local" else protocol), address.partition("://")[2] or address
