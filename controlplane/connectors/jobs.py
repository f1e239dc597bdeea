"""Work that a system takes on and does later: submitted once, looked at until it is over, fetched then.

"2xx" to a submission means queued. A submission without an answer is never repeated here: its error (UnknownOutcomeError) goes up, and
whoever asked reads back. A job is known by its handle, which may be kept and waited for again after a restart.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from controlplane.clock import Clock
from controlplane.connectors.http import Answer
from controlplane.errors import ConnectorError, RejectedError, ThrottledError, UnavailableError, UnknownOutcomeError

LONGEST_PAUSE = 30.0
"""Seconds between two looks at most, unless the system asks for more."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How a job stands."""

    state: Literal["running", "done", "failed"]
    detail: str = ""
    """What the system says of it; why it failed."""
    result: Any = None
    """With `done`: where its result is, or the result itself."""
    wait: float | None = None
    """Seconds that the system asks to wait before the next look."""


class JobRunningError(UnavailableError):
    """A job of a read was not over in time. `handle` tells it; waiting for it goes on from there, and nothing is submitted anew."""

    def __init__(self, message: str, handle: str) -> None:
        super().__init__(message)
        self.handle = handle


class JobDoubtError(UnknownOutcomeError):
    """A job of a write was not over in time: whether it takes effect is not known. Read back; `handle` tells the job."""

    def __init__(self, message: str, handle: str) -> None:
        super().__init__(message)
        self.handle = handle


def submitted(submit: Callable[[], Answer], handle_of: Callable[[Answer], str | None]) -> str:
    """Submit once and return the job's handle. Raises what `submit` raises; an answer without a handle breaks the contract."""
    answer = submit()
    return handle_of(answer) or answer.fail("took on a job and did not say which one")


def awaited(
    look: Callable[[str], Progress], handle: str, clock: Clock, *, writes: bool, longest: float, pause: float = 1.0
) -> Any:
    """Look at a job until it is over, at growing pauses; return its result. Seconds are the clock's.

    A look that fails for now is repeated. Raises RejectedError when the job failed, JobRunningError (of a read) or JobDoubtError (of a
    write) when it is not over after `longest`, and whatever else `look` raises.
    """
    began, told = clock.stopwatch(), "it is running"
    while True:
        found, wait = _looked(look, handle, pause)
        told = found.detail or told
        if found.state == "done":
            return found.result
        if found.state == "failed":
            raise RejectedError(f"the job {handle} failed: {found.detail or 'the system does not say why'}")
        if clock.stopwatch() - began + wait > longest:
            kind = JobDoubtError if writes else JobRunningError
            raise kind(f"the job {handle} is not over after {longest:g} s ({told}); it may still be", handle)
        clock.wait(threading.Event(), wait)
        pause = min(pause * 2, LONGEST_PAUSE)


def _looked(look: Callable[[str], Progress], handle: str, pause: float) -> tuple[Progress, float]:
    try:
        found = look(handle)
        return found, pause if found.wait is None else found.wait
    except (ThrottledError, UnavailableError) as error:
        return Progress("running", _short(error)), pause if error.retry_after is None else error.retry_after


def _short(error: ConnectorError) -> str:
    return f"it cannot be looked at now: {error}"
