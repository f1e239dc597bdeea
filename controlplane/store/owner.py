"""Who owns the home folder, and with it the embedded store: one process at a time."""

from __future__ import annotations

import os
from typing import Any

from controlplane.errors import SettingsError
from controlplane.settings import Settings


class only_one:  # noqa: N801 - reads as a statement where it is used
    """Holds the home folder's lock: one process owns the embedded store."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.home / "plane.lock"
        self._file: Any = None

    def __enter__(self) -> None:
        import fcntl

        self._file = self.path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            raise SettingsError(
                f"TRUEUP_HOME={self.path.parent}: a plane (process {self._file.read().strip() or 'unknown'}) runs on this "
                "folder already; stop it, or give another folder"
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def __exit__(self, *_: object) -> None:
        self._file.close()


def held(settings: Settings) -> bool:
    """Say whether a running process owns the home folder."""
    try:
        with only_one(settings):
            return False
    except SettingsError:
        return True
