"""From candidate rows to the answer: each distinct evidence judged once by the verdict in `rules/`."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from probes.comparisons.answer import Difference, Result, SourceSummary
from probes.comparisons.engines.queries import Task
from rules.comparison.verdict import Kind, Side, State, gap, kind_of, state_of


@dataclass(frozen=True, slots=True)
class Held:
    """What a side holds: rows, unreadable ones, keys that are there more than once, keys."""

    rows: int
    bad_rows: int
    duplicate_keys: int
    keys: int


def judged(
    task: Task,
    names: Sequence[str],
    labels: Sequence[str],
    held: Sequence[Held],
    rows: Iterable[Sequence[Any]],
    limit: int,
    began: float,
) -> Result:
    """Judge candidate rows as `queries.candidates` has them; all other keys agree, which the sides' numbers of keys tell.

    `began`: by time.perf_counter, when the comparison did.
    """
    sides, width = len(task.relations), len(task.values)
    kinds: dict[Kind, int] = {kind: 0 for kind in Kind if kind is not Kind.AGREE}
    missing = [0] * sides
    worst: list[tuple[Decimal, tuple[_Last, ...], int, Difference]] = []
    seen = present_first = differ = 0
    for seen, row in enumerate(rows, 1):
        key, evidence = tuple(row[: len(task.keys)]), _evidence(row[len(task.keys) :], sides, width)
        present_first += evidence[0].state is not State.MISSING
        kind = kind_of(evidence, task.tolerance)
        if kind is Kind.AGREE:
            continue
        differ += 1
        kinds[kind] += 1
        for place, side in enumerate(evidence):
            missing[place] += side.state is State.MISSING
        shown = tuple(side.values if side.state is State.PRESENT else None for side in evidence)
        found = Difference(key, shown, kind, gap(evidence))
        entry = (found.gap, tuple(map(_Last, key)), seen, found)
        if limit and len(worst) < limit:
            heapq.heappush(worst, entry)
        elif limit:
            heapq.heappushpop(worst, entry)
    keys = seen + held[0].keys - present_first
    return Result(
        keys=task.keys, values=task.values, tolerance=task.tolerance,
        sources=tuple(
            SourceSummary(name, label, "table", "typed", one.rows, one.duplicate_keys, one.bad_rows)
            for name, label, one in zip(names, labels, held, strict=True)
        ),
        key_count=keys, agree=keys - differ, differ=differ, missing=dict(zip(names, missing, strict=True)),
        differences=tuple(entry[-1] for entry in sorted(worst, key=lambda entry: (-entry[0], entry[3].key))),
        truncated=differ > len(worst), kinds=kinds, seconds=time.perf_counter() - began,
    )  # fmt: skip


def _evidence(cells: Sequence[Any], sides: int, width: int) -> list[Side]:
    found = []
    for side in range(sides):
        rows, bad, *values = cells[side * (2 + width) : (side + 1) * (2 + width)]
        state = state_of(int(rows), int(bad))
        exact = tuple(Decimal(value) for value in values) if state is State.PRESENT else ()
        found.append(Side(state, exact))
    return found


@dataclass(frozen=True, slots=True)
class _Last:
    """A part of a key that comes first where others come last: of equal gaps the largest key is let go."""

    text: str

    def __lt__(self, other: _Last) -> bool:
        return self.text > other.text
