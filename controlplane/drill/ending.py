"""How a drill ends before its time: at a signal it stops offering writes, puts back what is off, and then ends."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """What the process was told. The first signal ends the measuring; none ends the putting back."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told
        self._asked: int | None = None
        self._holding = False

    def hold(self) -> None:
        """From now on signals are noted only."""
        self._holding = True

    def leave(self) -> None:
        """End the process if it was told to while it could not. Raises SystemExit."""
        if self._asked is not None:
            sys.exit(128 + self._asked)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        self._asked = self._asked or number
        if self._holding:
            self._told("putting back what is off first; kill -9 leaves that to the next drill")
            return
        self._holding = True
        sys.exit(128 + number)


@contextmanager
def ending(told: Callable[[str], None]) -> Iterator[Ending]:
    """Hear the signals meanwhile. Beside the main thread of a process nothing is heard."""
    one = Ending(told)
    if threading.current_thread() is not threading.main_thread():
        yield one
        return
    before = {number: signal.signal(number, one._heard) for number in SIGNALS}
    try:
        yield one
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
