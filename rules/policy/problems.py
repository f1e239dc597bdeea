"""What is wrong with a policy: the thing, the place, the rule and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Path = tuple[str | int, ...]
"""Keys and positions from the document's root down."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a document was read from: a file, and the line and column (from 1) of each of its parts."""

    file: str = ""
    marks: Mapping[Path, tuple[int, int]] = field(default_factory=dict)

    def place(self, path: Path) -> tuple[int, int]:
        """Return line and column of the part, or of the nearest part around it; (0, 0) when nothing is known."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.marks:
                return self.marks[path[:length]]
        return (0, 0)


NOWHERE = Origin()
"""The origin of a document that was not read from a file."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that has to be mended before a policy is taken. Sorts by place."""

    file: str
    line: int
    column: int
    kind: str
    name: str
    path: str
    """Dotted, for instance spec.targets.0.system."""
    rule: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: " if self.file else ""
        thing = " ".join(part for part in (f"{self.kind}/{self.name}".strip("/"), self.path) if part)
        return f"{place}{thing}: {self.rule}; {self.remedy}".replace(": : ", ": ")


def problem(origin: Origin, kind: str, name: str, path: Path, rule: str, remedy: str) -> Problem:
    """Make a problem with its line and column filled in from the origin."""
    line, column = origin.place(path)
    return Problem(origin.file, line, column, kind, name, ".".join(map(str, path)), rule, remedy)
