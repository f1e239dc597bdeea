"""Where the keys of an installation are found: a file of the home folder, or a reference that several processes share."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from controlplane.clock import Clock
from controlplane.errors import KeyMissingError, SettingsError, TrueupError
from controlplane.sealing.ring import MAGIC, Ring
from controlplane.settings import Settings, resolve_secret

NAME = "seal-keys.json"


class Keyring(Protocol):
    """What gives the keys as they are now."""

    def ring(self) -> Ring:
        """Return them. Raises KeyMissingError where there are none."""
        ...


class NoKeys:
    """Stands where a process was given none: what is personal can then be neither kept nor opened, and nothing else is hindered."""

    def ring(self) -> Ring:
        """Raise KeyMissingError."""
        raise KeyMissingError("this process was given no keys, so nothing personal can be kept or opened by it")


def knows(keys: Keyring, head: bytes) -> bool:
    """Say whether an envelope with this beginning (its first HEAD bytes) is one that more keys would not help with."""
    if not head.startswith(MAGIC):
        return True
    try:
        ring = keys.ring()
    except KeyMissingError:
        return False
    return head[len(MAGIC) :].decode("ascii", errors="replace") in {*ring.destroyed, *(key.id for key in ring.keys)}


class Keys:
    """The keys that the settings name, read anew whenever they changed. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._read: tuple[object, Ring] | None = None

    @property
    def path(self) -> Path | None:
        """The file that they lie in; None where the environment holds them."""
        reference = self._settings.seal_keys
        if not reference:
            return self._settings.home / NAME
        kind, _, name = reference.partition(":")
        return self._settings.secrets / name if kind == "file" else None

    @property
    def where(self) -> str:
        """How people call the place."""
        reference = self._settings.seal_keys
        return f"TRUEUP_SEAL_KEYS={reference}" if reference else str(self._settings.home / NAME)

    def ring(self) -> Ring:
        """Return the keys. Raises KeyMissingError naming the place."""
        with self._lock:
            version = self._version()
            if self._read is None or self._read[0] != version:
                self._read = (version, self._load())
            return self._read[1]

    def _version(self) -> object:
        path = self.path
        if path is None:
            return os.environ.get(self._settings.seal_keys.partition(":")[2])
        try:
            found = path.stat()
        except OSError as error:
            raise self._missing(str(error.strerror)) from None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self) -> Ring:
        try:
            path = self.path
            if path is not None:
                return Ring.read(path.read_bytes(), self.where)
            told = resolve_secret("the ring of keys", self._settings.seal_keys, self._settings)
            return Ring.read(told, self.where)
        except OSError as error:
            raise self._missing(str(error.strerror)) from None
        except TrueupError as error:
            raise KeyMissingError(str(error)) from None

    def _missing(self, why: str) -> KeyMissingError:
        return KeyMissingError(
            f"{self.where}: the keys of the installation cannot be read ({why}); put them there, or name where they are in "
            "TRUEUP_SEAL_KEYS. Until then nothing personal is taken in or opened"
        )

    # --- what the plane that owns the home folder, and `trueup keys`, do ---

    def make(self, clock: Clock) -> bool:
        """Make keys where the home folder has none and no reference is set; say whether they were made."""
        path = self.path
        if self._settings.seal_keys or path is None or path.exists():
            return False
        with self._draft(path, Ring.new(clock.now())) as draft:
            try:
                os.link(draft, path)
            except FileExistsError:  # another process made them meanwhile, and may have sealed something
                return False
        return True

    def put(self, ring: Ring) -> None:
        """Write the keys, whole or not at all, readable by their owner only. Raises SettingsError."""
        path = self.path
        if path is None:
            raise SettingsError(
                f"{self.where}: a variable of the environment cannot be written to; print the new keys with `--print`, and "
                "put them where the variable is set"
            )
        with self._draft(path, ring) as draft:
            draft.replace(path)

    @contextmanager
    def _draft(self, path: Path, ring: Ring) -> Iterator[Path]:
        """Give a whole file of the keys beside their place, of this process alone; it is gone afterwards. Raises SettingsError."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
            try:
                with os.fdopen(number, "w") as file:  # mkstemp lets its owner only read it
                    file.write(ring.text)
                    file.flush()
                    os.fsync(file.fileno())
                yield Path(name)
            finally:
                Path(name).unlink(missing_ok=True)
        except OSError as error:
            raise SettingsError(
                f"{path} cannot be written ({error.strerror}); correct its owner or its mode"
            ) from error
