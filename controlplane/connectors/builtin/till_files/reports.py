"""Z-reports: what a till says at the end of its day that it took, held against the rows of the folder's sales files.

A row says of one store how many lines there were from one instant to another, both included, and what they came to. It is no fact of its
own: where it agrees nothing follows of it, and where it does not a file is missing, was changed, or is yet to come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from controlplane.errors import BadInputError
from rules.money import to_minor

PATTERN, TOPIC = "z_*.csv", "z_report"
COLUMNS = ("store", "opened_at", "closed_at", "lines", "total")


@dataclass(slots=True)
class Span:
    """What a till said of a span, and what is found of it."""

    store: str
    opened: datetime
    closed: datetime
    lines: int
    total: Decimal
    found_lines: int = 0
    found_total: Decimal = Decimal(0)

    @property
    def agrees(self) -> bool:
        """Whether all of it is there, and no more."""
        return (self.lines, self.total) == (self.found_lines, self.found_total)

    def refuse(self, where: str, currency: str) -> None:
        """Raise BadInputError where it does not agree."""
        if self.agrees:
            return
        raise BadInputError(
            f"{where}: the till of {self.store} closed with {self.lines} lines and {self.total} {currency}, and the files hold "
            f"{self.found_lines} and {self.found_total} of {self.opened.isoformat()} to {self.closed.isoformat()}; "
            "find the missing file and replay, or drop the record and say why",
            "total",
        )


Read = Callable[[str, str], Mapping[str, str]]
"""(header, row) -> fields. Raises BadInputError."""


def span(
    row: Mapping[str, str], where: str, amount: Callable[[str, str, str], Decimal], instant: Callable[[str, str], datetime]
) -> Span:  # fmt: skip
    """Return what a row says. Raises BadInputError."""
    count, total = amount(row["lines"], where, "lines"), amount(row["total"], where, "total")
    if count != count.to_integral_value() or count < 0:
        raise BadInputError(f"{where}: '{row['lines']}' is no number of lines", "lines")
    opened, closed = instant(row["opened_at"], where), instant(row["closed_at"], where)
    if opened > closed:
        raise BadInputError(f"{where}: the till closed before it opened", "closed_at")
    return Span(row["store"], opened, closed, int(count), total)


def fill(spans: Sequence[Span], sold: Iterable[tuple[str, datetime, Decimal, Decimal]], currency: str) -> None:
    """Add to each span what was sold in it: (store, when, quantity, price of one), each line to the minor unit."""
    of: dict[str, list[Span]] = {}
    for one in spans:
        of.setdefault(one.store, []).append(one)
    for store, at, quantity, price in sold:
        for one in of.get(store, ()):
            if one.opened <= at <= one.closed:
                one.found_lines += 1
                one.found_total += to_minor(quantity * price, currency)
