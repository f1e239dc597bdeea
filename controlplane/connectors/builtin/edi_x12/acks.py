"""Acknowledgements: what we say of an interchange that is committed, and what the partner says of ours (TA1, 997, 999)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.connectors.builtin.edi_x12.reader import EdiError, Group, Interchange, Segment, TransactionSet
from controlplane.connectors.builtin.edi_x12.syntax import ELEMENT_ERRORS, SEGMENT_ERRORS, faults
from controlplane.connectors.builtin.edi_x12.writer import Line

ACKNOWLEDGING = frozenset({"997", "999"})
"""Sets that are never acknowledged."""
DUPLICATE = "025"
SEGMENT_WORDS = {
    "1": "unrecognised segment", "2": "unexpected segment", "3": "mandatory segment missing", "4": "loop occurs too often",
    "5": "segment occurs too often", "6": "segment not in the set", "7": "segment not in its place", "8": "errors in elements",
}  # fmt: skip
ELEMENT_WORDS = {
    "1": "mandatory element missing", "2": "conditional element missing", "3": "too many elements", "4": "too short", "5": "too long",
    "6": "invalid character", "7": "invalid code", "8": "invalid date", "9": "invalid time", "10": "exclusion violated",
}  # fmt: skip
SET_WORDS = {
    "1": "set not supported", "2": "no trailer", "3": "control numbers differ", "4": "wrong count of segments", "5": "segments in error",
    "6": "set not of its group", "7": "control number missing or invalid", "23": "control number not unique in its group",
}  # fmt: skip

# --- what we say ---


def told_of(interchange: Interchange, conflict: bool = False) -> dict[str, Any]:
    """Return what is to be said of an interchange, as plain values: it waits in the cursor until it is said."""
    isa = interchange.isa
    bad = DUPLICATE if conflict else next((flaw.code for flaw in interchange.flaws if flaw.code), None)
    bad = bad or ("024" if interchange.flaws else None)
    groups = [] if bad else [_group(one) for one in interchange.groups if _worth(one)]
    asked = isa.at(14) == "1"
    ta = ["R", bad] if bad else ["A", "000"] if asked else None
    key = f"{isa.at(5)}/{isa.at(6)}/{isa.at(13)}/{interchange.digest}"
    return {
        "key": key, "control": _plain(isa.at(13)), "date": _plain(isa.at(9)), "time": _plain(isa.at(10)), "ta1": ta, "groups": groups,
    }  # fmt: skip


def _plain(text: str) -> str:
    """What is echoed holds no separator of ours, whatever came."""
    return re.sub(r"[^A-Za-z0-9]", "", text)


def _worth(group: Group) -> bool:
    return group.gs.at(1) != "FA" and not (group.sets and all(one.type in ACKNOWLEDGING for one in group.sets))


def _group(group: Group) -> dict[str, Any]:
    seen: set[str] = set()
    sets = []
    for one in group.sets:
        found = faults(one, group.gs.at(1))
        sets.append(_set(one, found, again=one.control in seen))
        seen.add(one.control)
    codes = [flaw.code for flaw in group.flaws if flaw.code][:5]
    return {
        "type": _plain(group.gs.at(1))[:2], "control": _plain(group.gs.at(6))[:9], "claimed": group.claimed, "sets": sets, "codes": codes,
        "refused": bool(group.flaws),
    }  # fmt: skip


def _set(one: TransactionSet, found: Sequence[EdiError], *, again: bool) -> dict[str, Any]:
    inside = [
        error for error in found if error not in one.flaws and error.place.segment != one.segments[0].place.segment
    ]
    codes = [error.code for error in found if error not in inside and error.code]
    codes += ([SEGMENT_ERRORS] if inside else []) + (["23"] if again else [])
    first = one.segments[0].place.segment
    segments: dict[int, dict[str, Any]] = {}
    for error in inside:
        at = error.place.segment - first + 1
        noted = segments.setdefault(at, {"id": error.place.id, "at": at, "code": "", "elements": []})
        if error.place.element:
            noted["elements"].append([error.place.element, error.code])
        noted["code"] = noted["code"] or (ELEMENT_ERRORS if error.place.element else error.code)
    told = [segments[at] for at in sorted(segments)]
    return {"type": _plain(one.type)[:3], "control": _plain(one.control)[:9], "codes": codes[:5], "segments": told}


def lines_of(told: dict[str, Any]) -> tuple[list[Line], list[list[Line]]]:
    """Return the TA1 and the 997s that say it, as `writer.interchange` takes them."""
    tas: list[Line] = []
    if told["ta1"]:
        tas.append(("TA1", f"{told['control']:0>9}", told["date"], told["time"], *told["ta1"]))
    return tas, [list(_lines(group)) for group in told["groups"]]


def _lines(group: dict[str, Any]) -> Iterator[Line]:
    yield ("997",)
    yield "AK1", group["type"], group["control"]
    for one in group["sets"]:
        yield "AK2", one["type"], one["control"]
        for segment in one["segments"]:
            yield "AK3", segment["id"], str(segment["at"]), "", segment["code"]
            for element, code in segment["elements"]:
                yield "AK4", str(element), "", code
        yield "AK5", "R" if one["codes"] else "A", *one["codes"]
    good = 0 if group["refused"] else sum(not one["codes"] for one in group["sets"])
    claimed = group["claimed"] if group["claimed"].isdecimal() else str(len(group["sets"]))
    there = len(group["sets"])
    status = "A" if good == there and not group["refused"] else "P" if good else "R"
    yield "AK9", status, claimed[:6], str(there), str(good), *group["codes"]


# --- what the partner says ---


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the partner says of an interchange of ours."""

    accepted: bool
    detail: str


def verdicts(interchanges: Sequence[Interchange], group_type: str) -> dict[int, Verdict]:
    """Return what is said of our control numbers (ISA13, and GS06 of groups of a type). An interchange that is broken says nothing."""
    found: dict[int, Verdict] = {}
    for interchange in interchanges:
        if interchange.flaws:
            continue
        for ta in interchange.tas:
            if ta.at(4) == "R" and (number := _number(ta.at(1))):
                found[number] = Verdict(False, f"the interchange was refused (TA1 {ta.at(5) or 'without a reason'})")
        for group in interchange.groups:
            for one in group.sets:
                if one.type in ACKNOWLEDGING and not (group.flaws or one.flaws):
                    found.update(_of_set(one, group_type))
    return found


def _of_set(one: TransactionSet, group_type: str) -> Iterator[tuple[int, Verdict]]:
    ak1 = next((segment for segment in one.segments if segment.id == "AK1"), None)
    ak9 = next((segment for segment in one.segments if segment.id == "AK9"), None)
    number = _number(ak1.at(2)) if ak1 and ak1.at(1) == group_type else None
    if number is None or ak9 is None:
        return
    # one set an interchange is what we send: what is said of any set of the group is said of ours
    said = [segment for segment in one.segments if segment.id in ("AK5", "IK5")] or [ak9]
    refused = next((segment for segment in said if segment.at(1) not in ("A", "E")), None)
    if refused is None and ak9.at(1) in ("R", "M", "W", "X"):
        refused = ak9
    if refused is not None:
        yield (
            number,
            Verdict(False, f"the set was refused ({refused.id} {refused.at(1)}): {_why(one.segments, refused)}"),
        )
    elif any(segment.at(1) == "E" for segment in said):
        yield number, Verdict(True, f"accepted with errors: {_why(one.segments, said[0])}")
    else:
        yield number, Verdict(True, "accepted")


def _why(segments: Sequence[Segment], said: Segment) -> str:
    """Return the places that the partner names, and its reasons."""
    places: list[str] = []
    at = "the set"
    for segment in segments:
        if segment.id in ("AK3", "IK3"):
            at = f"segment {segment.at(2)} ({segment.at(1)})"
            if segment.at(4) not in ("", ELEMENT_ERRORS):
                places.append(f"{at}: {_worded(SEGMENT_WORDS, segment.at(4))}")
        elif segment.id in ("AK4", "IK4"):
            places.append(f"{at}, element {segment.at(1)}: {_worded(ELEMENT_WORDS, segment.at(3))}")
    reasons = (
        [_worded(SET_WORDS, code) for code in (said.at(n) for n in range(2, 7)) if code] if said.id != "AK9" else []
    )
    return "; ".join([*places[:10], *reasons]) or "no reason is given"


def _worded(words: dict[str, str], code: str) -> str:
    return f"{words[code]} ({code})" if code in words else f"code {code or 'none'}"


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) else None
