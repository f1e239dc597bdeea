"""The verdict on one key: the one implementation, whatever engine chose the candidates.

A side either holds one usable row for the key (present), none (missing), more than one (duplicate) or a row that could
not be read (bad). Only when every side is present are values compared; anything else differs, for what cannot be read
is never counted as agreeing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from enum import StrEnum


class State(StrEnum):
    """What one side has to say about a key."""

    PRESENT = "present"
    MISSING = "missing"
    DUPLICATE = "duplicate"
    BAD = "bad"


class Kind(StrEnum):
    """How a key came out. Where several apply, the first in the order bad, duplicate, missing, value is given."""

    AGREE = "agree"
    BAD = "bad"
    DUPLICATE = "duplicate"
    MISSING = "missing"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Side:
    """One side's evidence: its state and, only when present, one exact value per compared column."""

    state: State
    values: tuple[Decimal, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The kind, and the gap by which differences are ranked (worst first); the gap never decides the kind."""

    kind: Kind
    gap: Decimal


# Wide enough that subtracting two values of 37 digits never rounds, as the default context would.
_EXACT = Context(prec=80)
_PRECEDENCE = (
    (State.BAD, Kind.BAD),
    (State.DUPLICATE, Kind.DUPLICATE),
    (State.MISSING, Kind.MISSING),
)


def state_of(rows: int, bad_rows: int) -> State:
    """The state of a side that holds `rows` rows for the key, `bad_rows` of them unreadable."""
    if bad_rows:
        return State.BAD
    if rows == 0:
        return State.MISSING
    return State.PRESENT if rows == 1 else State.DUPLICATE


def judge(sides: Sequence[Side], tolerance: Decimal) -> Verdict:
    """Judge one key over all its sides; `tolerance` is absolute and inclusive, in the unit of the values."""
    return Verdict(kind_of(sides, tolerance), gap(sides))


def kind_of(sides: Sequence[Side], tolerance: Decimal) -> Kind:
    """The kind alone; values are looked at only when every side is present."""
    states = {side.state for side in sides}
    for state, kind in _PRECEDENCE:
        if state in states:
            return kind
    return Kind.AGREE if gap(sides) <= tolerance else Kind.VALUE


def gap(sides: Sequence[Side]) -> Decimal:
    """Largest distance between two sides over all columns; a side without a usable value ranks as 0."""
    return max((_EXACT.subtract(max(c), min(c)) for c in _columns(sides)), default=Decimal(0))


def _columns(sides: Sequence[Side]) -> list[tuple[Decimal, ...]]:
    width = max((len(side.values) for side in sides), default=0)
    zeros = (Decimal(0),) * width
    return list(zip(*(side.values or zeros for side in sides), strict=True))
