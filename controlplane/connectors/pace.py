"""Our own limit of requests to a system."""

from __future__ import annotations

import threading

from controlplane.connectors.contract import Context
from controlplane.errors import ThrottledError


class Pace:
    """Spaces requests evenly, in seconds of the clock; safe to use from several threads."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._next = 0.0

    def step(self) -> None:
        """Wait for the next free place. Raises ThrottledError when that is further away than a request may take."""
        if self._context.rate is None:
            return
        with self._lock:
            now = self._context.clock.stopwatch()
            wait = max(0.0, self._next - now)
            if wait > self._context.timeout:
                raise ThrottledError(
                    f"our own limit of {self._context.rate} requests/s for {self._context.system}", wait
                )
            self._next = max(now, self._next) + 1 / self._context.rate
        if wait:
            self._context.clock.wait(threading.Event(), wait)
