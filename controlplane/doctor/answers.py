"""What a check answers: how it stands, what was seen, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from controlplane.errors import TrueupError


class Status(StrEnum):
    """How something stands."""

    OK = "ok"
    WARNING = "warning"
    """It works, and somebody should know; or it could not be looked at because of something else that is told."""
    WRONG = "wrong"
    """It does not work, or will not when it is needed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing that was looked at."""

    check: str
    status: Status
    detail: str
    remedy: str = ""
    """What to do; empty only when there is nothing to do."""
    about: str = ""
    """Which one, where a check looks at several: a system, a file."""


class NotLookedError(TrueupError):
    """The check leans on something that cannot be looked at; what is wrong with that is another check's answer."""


def ok(check: str, detail: str, about: str = "") -> Answer:
    """Answer that all is well."""
    return Answer(check, Status.OK, detail, about=about)


def warning(check: str, detail: str, remedy: str, about: str = "") -> Answer:
    """Answer that somebody should know of something."""
    return Answer(check, Status.WARNING, detail, remedy, about)


def wrong(check: str, detail: str, remedy: str, about: str = "") -> Answer:
    """Answer that something does not work."""
    return Answer(check, Status.WRONG, detail, remedy, about)


def softened(answer: Answer) -> Answer:
    """Return the answer as a warning at most: for what is only natural while no plane runs."""
    return replace(answer, status=Status.WARNING) if answer.status is Status.WRONG else answer


def worst(answers: Iterable[Answer]) -> Status:
    """Return the worst status among the answers; ok when there is none."""
    found = {answer.status for answer in answers}
    return next((status for status in (Status.WRONG, Status.WARNING) if status in found), Status.OK)
