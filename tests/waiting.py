"""Wait for what other threads and processes do; how long it takes decides nothing, only whether it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable

from controlplane.clock import SystemClock

AT_MOST = 90.0
"""Seconds after which it counts as not coming."""


def until(come: Callable[[], object], what: str, at_most: float = AT_MOST) -> None:
    """Return once the condition holds. Fails naming what did not come."""
    clock, pause = SystemClock(), threading.Event()
    began = clock.stopwatch()
    while not come():
        assert clock.stopwatch() - began < at_most, f"{what} did not come within {at_most:.0f} s"
        clock.wait(pause, 0.05)
