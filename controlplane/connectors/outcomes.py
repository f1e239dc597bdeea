"""Errors of a conversation turned into the named outcome of a write or a read-back."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from controlplane.connectors.contract import UNMAPPED, UnmappedError, Write
from controlplane.errors import (
    BadInputError,
    ConnectorError,
    RejectedError,
    ThrottledError,
    UnknownOutcomeError,
    UnreadableError,
)
from rules.outcomes import Outcome, Result

Self = TypeVar("Self")
DEFECTIVE = "defect"
"""Key of an outcome's evidence that says that the connector failed in a way nobody foresaw, which tells nothing of the system."""

AWAITED = "awaited"
"""Key of an UNKNOWN outcome's evidence that names what the system has yet to say of a write that it holds: it is queued there, and the
system is not at fault for it. `retry_after` says when to look."""


def outcome_of(error: ConnectorError | BadInputError) -> Outcome:
    """Return what the error means for a write.

    UnreadableError is raised by reads only, so nothing took effect; a write that was answered with rubbish raises
    UnknownOutcomeError. BadInputError (a code without translation) is ours to correct: rejected.
    """
    evidence = dict(error.evidence) if isinstance(error, ConnectorError) else {}
    if isinstance(error, UnmappedError):
        return Outcome(Result.REJECTED, str(error), evidence={UNMAPPED: error.entity, "code": error.code})
    if isinstance(error, ThrottledError):
        return Outcome(Result.THROTTLED, str(error), retry_after=error.retry_after, evidence=evidence)
    if isinstance(error, RejectedError | BadInputError):
        return Outcome(Result.REJECTED, str(error), evidence=evidence)
    if isinstance(error, UnknownOutcomeError):
        return Outcome(Result.UNKNOWN, str(error), evidence=evidence)
    return Outcome(Result.UNAVAILABLE, str(error), retry_after=error.retry_after, evidence=evidence)


def answering_write(write: Callable[[Self, Write], Outcome]) -> Callable[[Self, Write], Outcome]:
    """Decorate a connector's `write`: connector errors become outcomes, defects of our own still raise."""

    @wraps(write)
    def answered(connector: Self, request: Write) -> Outcome:
        try:
            return write(connector, request)
        except (ConnectorError, BadInputError) as error:
            return outcome_of(error)

    return answered


def answering_read_back(read: Callable[[Self, Write], Outcome]) -> Callable[[Self, Write], Outcome]:
    """Decorate a connector's `read_back`: what cannot be read leaves the outcome of the write unknown, never absent."""

    @wraps(read)
    def answered(connector: Self, request: Write) -> Outcome:
        try:
            return read(connector, request)
        except (RejectedError, BadInputError, UnreadableError) as error:
            evidence: dict[str, Any] = dict(error.evidence) if isinstance(error, ConnectorError) else {}
            return Outcome(Result.UNKNOWN, f"it cannot be read back: {error}", evidence=evidence)
        except ConnectorError as error:
            return outcome_of(error)

    return answered
