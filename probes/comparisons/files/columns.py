"""Finding the wanted columns in a file's header: exactly, or by the one name that differs in case or blanks only."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from probes.comparisons.answer.problems import FileProblem


@dataclass(frozen=True, slots=True)
class Found:
    """Positions of the wanted columns in the header, in the order wanted, and what to tell people about it."""

    positions: tuple[int, ...]
    notes: tuple[str, ...]


def locate(wanted: Sequence[str], header: Sequence[str]) -> Found:
    """Positions of `wanted` in `header`; raises FileProblem naming the columns there are and the nearest one."""
    positions = tuple(_position(name, header) for name in wanted)
    notes = tuple(
        f"column {header[position]!r} is read as {name!r}"
        for name, position in zip(wanted, positions, strict=True)
        if header[position] != name
    )
    return Found(positions, notes)


def matches(wanted: Sequence[str], header: Sequence[str]) -> int:
    """How many of the wanted columns this header has, however spelled; to choose between delimiters."""
    present = {_plain(name) for name in header}
    return sum(_plain(name) in present for name in wanted)


def _plain(name: str) -> str:
    return name.strip().casefold()


def _position(name: str, header: Sequence[str]) -> int:
    exact = [i for i, column in enumerate(header) if column == name]
    near = exact or [i for i, column in enumerate(header) if _plain(column) == _plain(name)]
    if len(near) == 1:
        return near[0]
    if near:
        spelled = ", ".join(repr(header[i]) for i in near)
        raise FileProblem(f"column {name!r} is ambiguous ({spelled}): rename all but one, or choose with --map")
    raise FileProblem(_absent(name, header))


def _absent(name: str, header: Sequence[str]) -> str:
    by_plain = {_plain(column): column for column in header}
    close = difflib.get_close_matches(_plain(name), list(by_plain), n=1, cutoff=0.5)
    hint = f"did you mean {by_plain[close[0]]!r}? " if close else ""
    there = ", ".join(column.strip() or "(blank)" for column in header[:30]) + (", …" if len(header) > 30 else "")
    return f"has no column {name!r}; {hint}its columns are: {there} (another name: --map FILE:{name}=NAME)"
