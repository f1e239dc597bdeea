"""Which rows of a list are asked for: by the values of some columns, and by when they came to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Table

from controlplane.store.types import EPOCH
from rules.ids import first_at

SLACK = timedelta(hours=1)
"""How much later the instant of a row may be than the one that its id was made at."""


@dataclass(frozen=True, slots=True)
class Narrow:
    """Columns and the values that they have, and a stretch of time: `since` belongs to it, `until` does not."""

    equal: Mapping[str, Any] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None

    def of(
        self, table: Table, at: ColumnElement[Any] | None = None, *, by_id: bool = False
    ) -> list[ColumnElement[bool]]:
        """Return the conditions on a table. `at`: the instant that the stretch means. `by_id`: the ids sort by about that instant,
        so that what lies before the stretch need not be looked at.
        """
        found: list[ColumnElement[bool]] = [table.c[name] == value for name, value in self.equal.items()]
        if at is not None and self.since is not None:
            found.append(at >= self.since)
            if by_id and self.since - EPOCH > SLACK:
                found.append(table.c.id >= first_at(self.since - SLACK))
        if at is not None and self.until is not None:
            found.append(at < self.until)
        return found


ALL = Narrow()
