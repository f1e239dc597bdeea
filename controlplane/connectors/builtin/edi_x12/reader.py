"""X12 read into interchanges, groups and sets. Every flaw has a place; what is wrong with one set stays with that set.

The separators are those of the ISA itself. Real files bring a byte-order mark, indentation, line ends after or instead of a
terminator, lines wrapped at 80 characters, and no terminator at the very end: all of that is read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from controlplane.errors import BadInputError

LARGEST = 16 * 2**20
"""Bytes of the largest file that is read."""
MOST_SEGMENTS = 500_000
MOST_FLAWS = 100
"""Strays of one group or interchange that are noted; the first ones are enough."""
ISA_LENGTH = 106
WIDTHS = (2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1, 1)
"""Characters of ISA01 to ISA16."""
BINARY = frozenset({"BIN", "BDS"})
_ID = re.compile(r"[A-Z][A-Z0-9]{1,2}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file: segment and element are counted from 1, the offset in characters from 0."""

    segment: int
    element: int = 0
    offset: int = 0
    id: str = ""

    def __str__(self) -> str:
        element = f", element {self.id}{self.element:02d}" if self.element else ""
        return f"segment {self.segment} ({self.id or 'none'}){element}, character {self.offset}"


class EdiError(BadInputError):
    """A file, or a part of it, breaks X12 at a place. `code` is what the acknowledgement says of it, where it has a word for it."""

    def __init__(self, message: str, place: Place, code: str = "") -> None:
        super().__init__(f"{place}: {message}", f"{place.id}{place.element:02d}" if place.element else place.id)
        self.place, self.code = place, code


@dataclass(frozen=True, slots=True)
class Separators:
    """The characters between elements, components, repetitions (empty before 00402) and segments."""

    element: str = "*"
    component: str = ">"
    repetition: str = ""
    segment: str = "~"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment; `at(1)` is its first element, empty where there is none."""

    id: str
    elements: tuple[str, ...]
    place: Place

    def at(self, number: int) -> str:
        """Return an element, without the blanks around it."""
        return self.elements[number - 1].strip() if 0 < number <= len(self.elements) else ""

    def where(self, number: int = 0) -> Place:
        """Return the place of an element."""
        return Place(self.place.segment, number, self.place.offset, self.id)


@dataclass(slots=True)
class TransactionSet:
    """ST to SE, both included."""

    segments: list[Segment]
    flaws: list[EdiError] = field(default_factory=list)

    @property
    def type(self) -> str:
        """ST01: 940, 997 …"""
        return self.segments[0].at(1)

    @property
    def control(self) -> str:
        """ST02."""
        return self.segments[0].at(2)


@dataclass(slots=True)
class Group:
    """GS to GE."""

    gs: Segment
    sets: list[TransactionSet] = field(default_factory=list)
    flaws: list[EdiError] = field(default_factory=list)
    claimed: str = ""
    """GE01: how many sets the sender says there are."""


@dataclass(slots=True)
class Interchange:
    """ISA to IEA."""

    isa: Segment
    separators: Separators
    groups: list[Group] = field(default_factory=list)
    tas: list[Segment] = field(default_factory=list)
    """TA1: what the other side says of interchanges of ours."""
    flaws: list[EdiError] = field(default_factory=list)
    digest: str = ""
    """Of its text: the same interchange sent again has the same."""


def read(content: bytes) -> list[Interchange]:
    """Return the interchanges of a file.

    Raises EdiError for what is none, or breaks off so that it cannot be told apart; all else is noted as a flaw where it stands.
    """
    if len(content) > LARGEST:
        raise EdiError(f"the file has {len(content)} bytes, and at most {LARGEST} are read; split it", Place(0))
    text = decoded(content)
    found: list[Interchange] = []
    start = _skip(text, 0)
    while start < len(text):
        separators, text = _separators(text, start)
        interchange, end = _interchange(text, start, separators)
        interchange.digest = hashlib.sha256(text[start:end].encode()).hexdigest()[:24]
        found.append(interchange)
        start = _skip(text, end)
    if not found:
        raise EdiError("the file is empty; an interchange begins with ISA", Place(1))
    return found


def decoded(content: bytes) -> str:
    """Return the text of a file: UTF-8 with or without byte-order mark, else Latin-1."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _skip(text: str, start: int) -> int:
    while start < len(text) and (text[start].isspace() or text[start] in "\x00\x1a\ufeff"):
        start += 1
    return start


def _separators(text: str, start: int) -> tuple[Separators, str]:
    """Return the separators that the ISA at `start` declares, and the text without line ends that cut it to pieces."""
    if text[start : start + 3] != "ISA":
        raise EdiError(f"'{text[start : start + 3]}' begins no interchange; it begins with ISA", Place(1, 0, start))
    head = text[start : start + ISA_LENGTH]
    if re.search(r"[\r\n]", head[:-1]):  # wrapped at a fixed width
        text = text[:start] + re.sub(r"[\r\n]", "", text[start:])
    head = text[start : start + ISA_LENGTH]
    if len(head) < ISA_LENGTH:
        raise EdiError(f"the ISA has {len(head)} characters and not {ISA_LENGTH}", Place(1, 0, start, "ISA"))
    element, at = head[3], 3
    if element.isalnum() or element.isspace():
        raise EdiError(f"'{element}' separates no elements", Place(1, 0, start, "ISA"))
    for number, width in enumerate(WIDTHS, 1):
        if head[at] != element:
            raise EdiError(f"there is no separator in front of ISA{number:02d}", Place(1, number, start + at, "ISA"))
        at += width + 1
    component, terminator = head[104], head[105]
    if element in (component, terminator) or terminator.isalnum():
        raise EdiError(f"'{terminator}' ends no segment", Place(1, 16, start + 105, "ISA"))
    if terminator == "\r":
        text, terminator = text[:start] + text[start:].replace("\r\n", "\n").replace("\r", "\n"), "\n"
    repeats = head[82] if not head[82].isalnum() and not head[82].isspace() else ""
    return Separators(element, component, repeats, terminator), text


def _segments(text: str, start: int, separators: Separators) -> Iterator[tuple[Segment, int]]:
    """Yield the segments of an interchange, each with where the next begins."""
    number, at = 1, start + ISA_LENGTH
    isa = text[start + 4 : at - 1]
    yield Segment("ISA", tuple(isa.split(separators.element, 15)), Place(1, 0, start, "ISA")), at
    while (at := _skip(text, at) if separators.segment != "\n" else _blank(text, at)) < len(text):
        number += 1
        if number > MOST_SEGMENTS:
            raise EdiError(f"there are more than {MOST_SEGMENTS} segments; split the file", Place(number, 0, at))
        end = _end(text, at, separators, number)
        elements = text[at:end].split(separators.element)
        name = elements[0].strip()
        yield Segment(name, tuple(elements[1:]), Place(number, 0, at, name[:3])), end + 1
        at = end + 1


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\n\x00\x1a":
        at += 1
    return at


def _end(text: str, at: int, separators: Separators, number: int) -> int:
    """Return where a segment ends. One that carries bytes says how many; the last of a file may lack its terminator."""
    name, _, rest = text[at : at + 24].partition(separators.element)
    if name in BINARY:
        length, found, _ = rest.partition(separators.element)
        if not found or not length.isascii() or not length.isdecimal():
            raise EdiError(f"'{length[:10]}' is no number of bytes", Place(number, 1, at, name), "6")
        after = at + len(name) + len(length) + 2 + int(length)
        if text[after : after + 1] != separators.segment:
            raise EdiError(f"after {length} bytes the segment does not end", Place(number, 2, at, name), "5")
        return after
    found_at = text.find(separators.segment, at)
    if found_at >= 0:
        return found_at
    if text[at : at + 4] != f"IEA{separators.element}":
        raise EdiError("the file breaks off: the segment has no end", Place(number, 0, at, name[:3].strip()))
    return len(text.rstrip())


def _interchange(text: str, start: int, separators: Separators) -> tuple[Interchange, int]:
    """Read one interchange; return it and where it ends."""
    interchange: Interchange | None = None
    group: Group | None = None
    current: TransactionSet | None = None
    end = start
    for segment, end in _segments(text, start, separators):
        if interchange is None:
            interchange = Interchange(segment, separators)
        elif segment.id == "IEA":
            _close_interchange(interchange, group, current, segment)
            return interchange, end
        elif segment.id == "ISA":
            raise EdiError("an interchange begins before the one in front of it ends with IEA", segment.place)
        else:
            group, current = _within(interchange, group, current, segment)
    raise EdiError("the file breaks off: the interchange has no IEA", Place(0, 0, end, ""))


def _within(
    interchange: Interchange, group: Group | None, current: TransactionSet | None, segment: Segment
) -> tuple[Group | None, TransactionSet | None]:
    """Put a segment where it belongs; return the group and the set that are open behind it."""
    match segment.id:
        case "GS":
            _unclosed(group, current)
            interchange.groups.append(Group(segment))
            return interchange.groups[-1], None
        case "GE" if group is not None:
            _close_group(group, current, segment)
            return None, None
        case "ST" if group is not None:
            _unclosed(None, current)
            group.sets.append(TransactionSet([segment]))
            return group, group.sets[-1]
        case "SE" if current is not None:
            current.segments.append(segment)
            _close_set(current, segment)
            return group, None
        case "TA1" if group is None:
            interchange.tas.append(segment)
        case _ if current is not None:
            current.segments.append(segment)
        case _ if group is not None:
            _note(group.flaws, EdiError(f"'{segment.id[:20]}' stands in no set", segment.place, "1"))
        case "ISB" | "ISE" | "TA3":
            pass  # services of the interchange that say nothing of its content
        case _:
            _note(interchange.flaws, EdiError(f"'{segment.id[:20]}' stands in no group", segment.place, "022"))
    return group, current


def _note(flaws: list[EdiError], flaw: EdiError) -> None:
    if len(flaws) < MOST_FLAWS:
        flaws.append(flaw)


def _unclosed(group: Group | None, current: TransactionSet | None) -> None:
    if current is not None:
        current.flaws.append(EdiError("the set has no SE", current.segments[-1].place, "2"))
    if group is not None:
        group.flaws.append(EdiError("the group has no GE", group.gs.place, "3"))


def _close_set(current: TransactionSet, se: Segment) -> None:
    if se.at(2) != current.control:
        told = f"ST02 is '{current.control[:20]}' and SE02 '{se.at(2)[:20]}'"
        current.flaws.append(EdiError(told, se.where(2), "3"))
    if _number(se.at(1)) != len(current.segments):
        told = f"SE01 counts '{se.at(1)[:20]}' segments, and there are {len(current.segments)}"
        current.flaws.append(EdiError(told, se.where(1), "4"))


def _close_group(group: Group, current: TransactionSet | None, ge: Segment) -> None:
    _unclosed(None, current)
    group.claimed = ge.at(1)
    if not _same(ge.at(2), group.gs.at(6)):
        told = f"GS06 is '{group.gs.at(6)[:20]}' and GE02 '{ge.at(2)[:40]}'"
        group.flaws.append(EdiError(told, ge.where(2), "4"))
    if _number(ge.at(1)) != len(group.sets):
        told = f"GE01 counts '{ge.at(1)[:20]}' sets, and there are {len(group.sets)}"
        group.flaws.append(EdiError(told, ge.where(1), "5"))


def _close_interchange(
    interchange: Interchange, group: Group | None, current: TransactionSet | None, iea: Segment
) -> None:
    _unclosed(group, current)
    if not _same(iea.at(2), interchange.isa.at(13)):
        told = f"ISA13 is '{interchange.isa.at(13)}' and IEA02 '{iea.at(2)[:20]}'"
        interchange.flaws.append(EdiError(told, iea.where(2), "001"))
    # of an interchange that holds nothing but TA1 some count the TA1
    counts = {len(interchange.groups)} | ({len(interchange.tas)} if not interchange.groups else set())
    if _number(iea.at(1)) not in counts:
        told = f"IEA01 counts '{iea.at(1)[:20]}' groups, and there are {len(interchange.groups)}"
        interchange.flaws.append(EdiError(told, iea.where(1), "021"))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else None


def _same(one: str, other: str) -> bool:
    """Control numbers of envelopes are numbers: leading zeros say nothing."""
    return one == other or (_number(one) is not None and _number(one) == _number(other))
