"""What a set breaks of its schema (sets.yaml), each fault with segment and element, in the words of an acknowledgement."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from controlplane.connectors.builtin.edi_x12.reader import EdiError, Place, Segment, TransactionSet

MISSING_ELEMENT, TOO_SHORT, TOO_LONG, WRONG_CHARACTER, WRONG_DATE, WRONG_TIME = "1", "4", "5", "6", "8", "9"
MISSING_SEGMENT, ELEMENT_ERRORS = "3", "8"
UNSUPPORTED, SEGMENT_ERRORS, WRONG_GROUP = "1", "5", "6"
MOST = 20
"""Faults of one set that are told; the first ones are enough to mend it."""
_PATTERNS = {
    "N": r"-?[0-9]+", "R": r"-?([0-9]+\.?[0-9]*|\.[0-9]+)(E-?[0-9]+)?",
    "DT": r"([0-9]{2})?[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])", "TM": r"([01][0-9]|2[0-3])[0-5][0-9]([0-5][0-9][0-9]{0,2})?",
}  # fmt: skip
_CODES = {"N": WRONG_CHARACTER, "R": WRONG_CHARACTER, "DT": WRONG_DATE, "TM": WRONG_TIME}


@dataclass(frozen=True, slots=True)
class Element:
    """What an element has to be like."""

    mandatory: bool
    type: str
    shortest: int
    longest: int


@dataclass(frozen=True, slots=True)
class Schema:
    """All that is known of sets and segments."""

    sets: dict[str, dict[str, Any]]
    segments: dict[str, tuple[Element, ...]]


@cache
def schema() -> Schema:
    """Return what sets.yaml says."""
    told = yaml.safe_load((Path(__file__).parent / "sets.yaml").read_text(encoding="utf-8"))
    return Schema(told["sets"], {name: tuple(map(_element, rules)) for name, rules in told["segments"].items()})


def _element(rule: str) -> Element:
    mandatory, kind, lengths = rule.split()
    shortest, _, longest = lengths.partition("-")
    return Element(mandatory == "M", kind, int(shortest), int(longest))


def faults(one: TransactionSet, group: str) -> list[EdiError]:
    """Return what is wrong with a set in a group of a type (GS01): its envelope, then its content. Empty: nothing."""
    known = schema().sets.get(one.type)
    if known is None:
        return [
            EdiError(f"the set {one.type[:10]} is not one that is read here", one.segments[0].where(1), UNSUPPORTED)
        ]
    found = list(one.flaws)
    if group != known["group"]:
        found.append(
            EdiError(
                f"a {one.type} stands in a group {known['group']}, not {group[:10]}",
                one.segments[0].where(1),
                WRONG_GROUP,
            )
        )
    if not re.fullmatch(r"[A-Za-z0-9]{4,9}", one.control):
        found.append(EdiError("ST02 takes 4 to 9 letters and digits", one.segments[0].where(2), "7"))
    return [*found, *content(one.type, one.segments[1:])][:MOST]


def content(kind: str, segments: list[Segment]) -> list[EdiError]:
    """Return what is wrong with the segments of a set of a type."""
    there = {segment.id for segment in segments}
    last = segments[-1].place if segments else Place(1)
    missing = [name for name in schema().sets[kind]["must"] if name not in there]
    found = [
        EdiError(f"the set has no {name}", Place(last.segment, 0, last.offset, name), MISSING_SEGMENT)
        for name in missing
    ]
    for segment in segments:
        if len(found) >= MOST:
            break
        found += _segment(segment)
    return found


def _segment(segment: Segment) -> list[EdiError]:
    rules = schema().segments.get(segment.id, ())
    checked = ((number, _fault(segment.at(number), rule)) for number, rule in enumerate(rules, 1))
    return [EdiError(told[0], segment.where(number), told[1]) for number, told in checked if told]


def _fault(value: str, rule: Element) -> tuple[str, str] | None:
    if not value:
        return ("a mandatory element is empty", MISSING_ELEMENT) if rule.mandatory else None
    length = len(value.lstrip("-").replace(".", "")) if rule.type in ("N", "R") else len(value)
    if length > rule.longest:
        return f"there are {length} characters, and at most {rule.longest} are taken", TOO_LONG
    if length < rule.shortest:
        return f"there are {length} characters, and at least {rule.shortest} are wanted", TOO_SHORT
    if rule.type in _PATTERNS and not re.fullmatch(_PATTERNS[rule.type], value, re.ASCII):
        kind = {"N": "whole number", "R": "number", "DT": "date", "TM": "time"}[rule.type]
        return f"'{value[:20]}' is no {kind}", _CODES[rule.type]
    return None
