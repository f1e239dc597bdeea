"""What requests are made of: the types of their fields, and the bases of their models. Each type is checked as its schema says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from rules.policy.kinds import KINDS

KEPT = r"^[^\x00]*$"
"""Text that both databases keep."""
SAID = r"^[^\x00]*[^\x00\s][^\x00]*$"
"""The same, and not only spaces."""
LARGEST = 2**31 - 1
"""Of a whole number that is kept in a column."""
YES, NO = ("1", "true", "yes"), ("0", "false", "no")


def _whole(given: Any) -> Any:
    """1.0 is a whole number in JSON."""
    return int(given) if isinstance(given, float) and given.is_integer() and abs(given) <= LARGEST else given


Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[int, Field(ge=0, le=LARGEST), BeforeValidator(_whole)]
"""Bounded before it is made whole: bounds behind that are lost in the schema of a union."""
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=KEPT)]
Note = Annotated[str, Field(max_length=4000, pattern=KEPT)]
Reason = Annotated[str, Field(min_length=1, max_length=4000, pattern=SAID)]


def _kind(given: str) -> str:
    if given not in KINDS:
        raise ValueError(f"'{given}' is no kind of policy; there are: {', '.join(KINDS)}")
    return given


def _instant(given: Any) -> datetime:
    try:
        found = datetime.fromisoformat(given) if isinstance(given, str) and len(given) > len("2026-12-01") else None
        if found is not None and found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{given!r} is no instant with its zone; write for instance 2026-12-01T06:00:00+00:00")


def _flag(given: Any) -> bool:
    if given in (*YES, *NO):
        return given in YES
    raise ValueError(f"{given!r} is none of {', '.join((*YES, *NO))}")


Kind = Annotated[str, AfterValidator(_kind), Field(json_schema_extra={"enum": list(KINDS)})]
Instant = Annotated[
    datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time", "minLength": 11})
]
Flag = Annotated[bool, BeforeValidator(_flag), WithJsonSchema({"type": "string", "enum": [*YES, *NO]})]
Length = Annotated[
    str,
    Field(
        pattern=r"^([0-9]{1,7}[smhd])+$", max_length=40, description="a duration, for instance 90s, 5m, 1h30m or 30d"
    ),
]


class Query(BaseModel):
    """Base of what a query string may say. What is not named is refused, so that nothing is misspelt in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Body(BaseModel):
    """Base of a JSON body. Types are not bent: text that looks like a number is text."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Because(Body):
    """What takes a reason."""

    reason: Reason = Field(description="others read it in the action log")


class Noted(Body):
    """What may have a reason."""

    reason: Note = Field(default="", description="others read it in the action log")
