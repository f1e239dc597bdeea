"""As much X12 as the provider needs: interchanges taken apart and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

Line = Sequence[str]


class TornError(ValueError):
    """An interchange that the provider refuses as a whole; the text is the note code of its TA1."""


@dataclass(frozen=True)
class Told:
    """One set of an interchange, with the numbers around it."""

    sender: str
    interchange: str
    group: str
    group_control: str
    type: str
    control: str
    segments: list[list[str]]
    """ST to SE."""


def apart(text: str) -> list[Told]:
    """Return the sets of a file with one interchange. Raises TornError."""
    if len(text) < 106 or not text.startswith("ISA"):
        raise TornError("022")
    element, end = text[3], text[105]
    segments = [part.strip("\r\n ").split(element) for part in text.split(end) if part.strip()]
    isa, iea = segments[0], segments[-1]
    if iea[0] != "IEA" or int(iea[2]) != int(isa[13]):
        raise TornError("001")
    found: list[Told] = []
    groups, group, begun = 0, [""] * 9, 0
    for at, segment in enumerate(segments):
        if segment[0] == "GS":
            group, groups = segment, groups + 1
        elif segment[0] == "ST":
            begun = at
        elif segment[0] == "SE":
            st = segments[begun]
            found.append(Told(isa[6].strip(), isa[13], group[1], group[6], st[1], st[2], segments[begun : at + 1]))
    if int(iea[1]) != groups:
        raise TornError("021")
    return found


def together(
    us: str,
    them: str,
    control: int,
    at: datetime,
    group: str,
    sets: Sequence[Sequence[Line]],
    *,
    miscounted: bool = False,
) -> str:
    """Return an interchange with one group; with no sets, one that holds the first of them as it is (TA1). `miscounted`: SE01 is wrong."""
    isa = ("ISA", "00", " " * 10, "00", " " * 10, "ZZ", f"{us:<15}", "ZZ", f"{them:<15}", f"{at:%y%m%d}", f"{at:%H%M}", "U", "00401",
           f"{control:09d}", "0", "P", ">")  # fmt: skip
    lines: list[Line] = [isa]
    if group == "TA1":
        lines += [*sets[0], ("IEA", "0", f"{control:09d}")]
    else:
        lines.append(("GS", group, us, them, f"{at:%Y%m%d}", f"{at:%H%M}", str(control), "X", "004010"))
        for place, told in enumerate(sets, 1):
            count = len(told) + 1 + (3 if miscounted else 0)
            lines += [("ST", told[0][0], f"{place:04d}"), *told[1:], ("SE", str(count), f"{place:04d}")]
        lines += [("GE", str(len(sets)), str(control)), ("IEA", "1", f"{control:09d}")]
    return "".join("*".join(line) + "~\n" for line in lines)
