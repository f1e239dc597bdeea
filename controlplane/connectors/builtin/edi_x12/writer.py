"""Interchanges written: the envelope by the partner's profile, the 940 of an order, and the acknowledgement of what we took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from controlplane.connectors.builtin.edi_x12.partner import VERSIONS, Party, Profile
from controlplane.connectors.contract import Codes, Write
from controlplane.errors import BadInputError

HIGHEST = 999_999_999
"""Of a control number; then they begin anew."""
Line = tuple[str, ...]
"""A segment: its id and elements."""


def control_of(number: int, first: int = 1) -> int:
    """Return the control number that a number stands for, counted from the first: nine digits at most, never 0."""
    return (number + first - 2) % HIGHEST + 1


def interchange(
    profile: Profile, control: int, at: datetime, group: str, sets: Sequence[Sequence[Line]], tas: Sequence[Line] = ()
) -> bytes:
    """Return an interchange from us to the partner with one group of sets (ST and SE are added), or with none.

    Raises BadInputError for a value that holds a separator.
    """
    body: list[Line] = [*tas]
    if sets:
        body.append(_gs(profile, control, at, group))
        for place, lines in enumerate(sets, 1):
            st = f"{place:04d}"
            body += [("ST", lines[0][0], st), *lines[1:], ("SE", str(len(lines) + 1), st)]
        body.append(("GE", str(len(sets)), str(control)))
    body.append(("IEA", "1" if sets else "0", f"{control:09d}"))
    ends = profile.separators.segment + ("\n" if profile.newline and profile.separators.segment != "\n" else "")
    return (_isa(profile, control, at) + ends + "".join(_text(line, profile) + ends for line in body)).encode()


def _isa(profile: Profile, control: int, at: datetime) -> str:
    marks = profile.separators
    elements = (
        "ISA", "00", " " * 10, "00", " " * 10, *_padded(profile.us), *_padded(profile.partner), f"{at:%y%m%d}", f"{at:%H%M}",
        marks.repetition or "U", VERSIONS[profile.version], f"{control:09d}", "0", profile.usage, marks.component,
    )  # fmt: skip
    return marks.element.join(elements)


def _padded(party: Party) -> tuple[str, str]:
    return party.qualifier, f"{party.id:<15}"


def _gs(profile: Profile, control: int, at: datetime, group: str) -> Line:
    return (
        "GS",
        group,
        profile.us.group,
        profile.partner.group,
        f"{at:%Y%m%d}",
        f"{at:%H%M}",
        str(control),
        "X",
        profile.version,
    )


def _text(line: Line, profile: Profile) -> str:
    marks = profile.separators
    for place, value in enumerate(line):
        bad = next(
            (
                mark
                for mark in (marks.element, marks.segment, marks.component, marks.repetition)
                if mark and mark in value
            ),
            None,
        )
        if bad or not value.isprintable():
            told = (
                f"{line[0]}{place:02d} would hold {bad!r}, which separates"
                if bad
                else f"{line[0]}{place:02d} holds what is not printed"
            )
            raise BadInputError(
                f"{told}; correct the record, or the separators of the partner's profile", f"{line[0]}{place:02d}"
            )
    while line and not line[-1]:
        line = line[:-1]
    return marks.element.join(line)


# --- the warehouse shipping order ---


def order(request: Write, codes: Codes, profile: Profile) -> list[Line]:
    """Return a 940 of an `order.placed`: its type first, as `interchange` wants it. No address: the message holds none.

    Raises UnmappedError, and BadInputError for an order of several warehouses or a value that is too long.
    """
    payload = request.payload
    places = sorted({str(line["location"]) for line in payload["lines"]})
    if len(places) != 1:
        raise BadInputError(
            f"the order names {len(places)} locations, and a 940 goes to one; split the order", "location"
        )
    warehouse = codes.theirs("location", places[0])
    placed = datetime.fromisoformat(str(payload["placed_at"])).astimezone(profile.zone)
    head: list[Line] = [
        ("940",),
        ("W05", "N", _fits(str(payload["ref"]), 22, "W0502"), _fits(str(payload["native_id"])[-22:], 22, "W0503")),
        ("N1", "DE", "", "ZZ", profile.us.id),
        ("N1", "WH", "", "ZZ", _fits(warehouse, 80, "N104")),
        ("N1", "ST", "", "92", _fits(str(payload["ref"]), 80, "N104")),
        ("G62", "04", f"{placed:%Y%m%d}"),
    ]
    lines = [line for place, told in enumerate(payload["lines"], 1) for line in _line(place, told, codes, profile)]
    total = sum(int(told["quantity"]) for told in payload["lines"])
    return [*head, *lines, ("W76", str(total))]


def _line(place: int, told: Any, codes: Codes, profile: Profile) -> Iterable[Line]:
    sku = _fits(codes.theirs("sku", str(told["sku"])), 48, "W0105")
    yield "LX", str(place)
    yield "W01", str(int(told["quantity"])), codes.theirs("unit", "EA"), "", profile.sku_qualifier, sku
    yield "N9", "LI", _fits(str(told["line"]), 30, "N902")


def _fits(value: str, longest: int, element: str) -> str:
    if not value or len(value) > longest:
        told = f"{element} takes 1 to {longest} characters, and '{value[:60]}' has {len(value)}"
        raise BadInputError(f"{told}; map it to a shorter code, or correct the record", element)
    return value
