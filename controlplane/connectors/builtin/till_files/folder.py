"""The drop folder: which files are in it, and what they hold. Nothing in it is changed."""

from __future__ import annotations

from pathlib import Path

from controlplane.connectors.contract import Context
from controlplane.connectors.folders import opened
from controlplane.errors import UnavailableError

LARGEST = 256 * 2**20
"""Bytes of the largest file that is read."""


class Folder:
    """The folder of a System; option `encoding`: of its files."""

    def __init__(self, context: Context) -> None:
        self._path, self._encoding, self._system = (
            Path(context.endpoint),
            context.options.get("encoding"),
            context.system,
        )

    def ping(self) -> None:
        """Look whether it is there. Raises UnavailableError."""
        if not self._path.is_dir():
            raise UnavailableError(f"the drop folder {self._path} is not there; create or mount it")

    def files(self, pattern: str) -> list[Path]:
        """Return its files of a pattern by name; a link is none."""
        return sorted(path for path in self._path.glob(pattern) if path.is_file() and not path.is_symlink())

    def some(self, pattern: str) -> list[Path]:
        """Return as `files` does. Raises UnavailableError where there is none yet."""
        found = self.files(pattern)
        if not found:
            raise UnavailableError(f"no store has dropped a file {pattern} into {self._path} yet")
        return found

    def read(self, path: Path) -> bytes:
        """Return what a file holds. Raises UnavailableError."""
        try:
            with opened(path) as file:
                content = file.read(LARGEST + 1)
        except OSError as error:
            raise UnavailableError(f"the till file {path.name} cannot be read: {error.strerror}") from error
        if len(content) > LARGEST:
            raise UnavailableError(
                f"the till file {path.name} is larger than {LARGEST} bytes; divide it, or take it away"
            )
        return content

    def decode(self, content: bytes) -> str:
        """Return it as text: of the encoding that is told, else UTF-8, else Latin-1. Raises UnavailableError for no encoding."""
        if self._encoding:
            try:
                return content.decode(self._encoding, errors="replace")
            except LookupError as error:
                raise UnavailableError(
                    f"there is no encoding '{self._encoding}'; correct options.encoding of {self._system}"
                ) from error
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return content.decode("latin-1")
