"""Sets as intake keeps them: JSON with every segment, what tells of a person under a name that is known to be personal.

An 846 is one record an item, so that an item without a translation keeps no other back; every other set is one record.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from controlplane.connectors.builtin.edi_x12.acks import ACKNOWLEDGING
from controlplane.connectors.builtin.edi_x12.reader import Group, Interchange, Place, Segment, TransactionSet
from controlplane.connectors.builtin.edi_x12.syntax import faults
from controlplane.connectors.contract import Record
from controlplane.connectors.records import content_key, verbatim
from controlplane.errors import BadInputError

PERSONAL: dict[str, frozenset[int] | None] = {
    "N1": frozenset({2}), "N2": None, "N3": None, "N4": None, "PER": None, "G61": None, "NTE": None, "MSG": None, "MTX": None,
    "NM1": frozenset({3, 4, 5, 6, 7}), "REF": frozenset({3}), "N9": frozenset({3}),
}  # fmt: skip
"""Segments that may tell of a person, and which of their elements; None: all."""
HIDDEN = "addressee"
"""Masked under this name by what is shipped (rules.personal)."""
LONGEST_HEAD = 100
"""Segments before the first item that are repeated in the record of each; of a longer head the set stays one record."""
UNREADABLE = "x12/unreadable"


def of_file(name: str, content: bytes, error: BadInputError) -> Record:
    """Return the record of a file that is no interchange: it waits in quarantine with place and reason."""
    body = verbatim({"refused": str(error), HIDDEN: content[:100_000].decode("utf-8", errors="replace")})
    return Record(UNREADABLE, content_key(UNREADABLE, name, body), body, {"file": name})


def of_interchange(name: str, interchange: Interchange, refused: str) -> Iterator[Record]:
    """Yield the records of an interchange. `refused`: why all of it is, empty where it is not."""
    whole = refused or (f"the interchange is refused: {interchange.flaws[0]}" if interchange.flaws else "")
    for group in interchange.groups:
        torn = f"the group is refused: {group.flaws[0]}" if group.flaws else ""
        for one in group.sets:
            yield from _of_set(name, interchange, group, one, whole or torn)
    if not any(group.sets for group in interchange.groups):
        kind = "TA1" if interchange.tas else "empty"
        body = verbatim(
            {**_envelope(interchange), "refused": whole, "segments": [_plain(one) for one in interchange.tas]}
        )
        yield Record(f"x12/{kind}", content_key(f"x12/{kind}", _identity(interchange), body), body, {"file": name})


def _of_set(name: str, interchange: Interchange, group: Group, one: TransactionSet, refused: str) -> Iterator[Record]:
    found = [] if one.type in ACKNOWLEDGING else faults(one, group.gs.at(1))
    why = refused or "; ".join(str(error) for error in found[:5])
    topic, identity = f"x12/{one.type[:3]}", f"{_identity(interchange)}/{group.gs.at(6)}/{one.control}"
    told = {**_envelope(interchange), "group": group.gs.at(6), "set": one.control, "type": one.type, "refused": why}
    for part in _parts(one) if not why else [one.segments]:
        body = verbatim({**told, "segments": [_plain(segment) for segment in part]})
        yield Record(topic, content_key(topic, identity, body), body, {"file": name})


def _parts(one: TransactionSet) -> Iterator[list[Segment]]:
    starts = [at for at, segment in enumerate(one.segments) if segment.id == "LIN"] if one.type == "846" else []
    if not starts or starts[0] > LONGEST_HEAD:
        yield one.segments
        return
    head = one.segments[: starts[0]]
    for start, end in pairwise([*starts, len(one.segments)]):
        yield [*head, *one.segments[start:end]]


def _envelope(interchange: Interchange) -> dict[str, Any]:
    isa = interchange.isa
    return {
        "sender": f"{isa.at(5)}/{isa.at(6)}",
        "interchange": isa.at(13),
        "component": interchange.separators.component,
    }


def _identity(interchange: Interchange) -> str:
    return f"{interchange.isa.at(6)}/{interchange.isa.at(13)}"


def _plain(segment: Segment) -> dict[str, Any]:
    hidden = PERSONAL.get(segment.id, frozenset())
    elements = [None if hidden is None or at in hidden else text for at, text in enumerate(segment.elements, 1)]
    apart = {str(at): text for at, text in enumerate(segment.elements, 1) if (hidden is None or at in hidden) and text}
    place = segment.place
    plain: dict[str, Any] = {"id": segment.id, "segment": place.segment, "offset": place.offset, "elements": elements}
    return {**plain, HIDDEN: apart} if apart else plain


def segments_of(record: dict[str, Any]) -> list[Segment]:
    """Return the segments of a record again. Raises BadInputError for a record that is none."""
    try:
        return [_segment(told) for told in record["segments"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInputError(
            "the record has no `segments` with `id` and `elements`; correct it, or drop it", "segments"
        ) from error


def _segment(told: dict[str, Any]) -> Segment:
    apart = told.get(HIDDEN) or {}
    elements = tuple(str(apart.get(str(at), text or "")) for at, text in enumerate(told["elements"], 1))
    return Segment(str(told["id"]), elements, Place(int(told["segment"]), 0, int(told["offset"]), str(told["id"])))


def refused_of(record: dict[str, Any]) -> None:
    """Raise BadInputError where the record says why it is refused; a person who has corrected it empties that."""
    why = record.get("refused")
    if why:
        raise BadInputError(f"{why}; have the partner send it anew, or correct it and empty `refused`", "refused")
