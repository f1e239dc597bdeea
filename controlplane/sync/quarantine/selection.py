"""Which cases somebody means: by their ids, or by what they have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from controlplane.errors import BadInputError
from controlplane.store import tables as t
from controlplane.sync.quarantine.cases import OPEN

MOST = 500
"""Cases that one request acts on; who means more asks again with `after`."""
GROUP = {
    "system": "system",
    "flow": "flow",
    "code": "reason_code",
    "fault": "fault",
    "owner": "owner",
    "stage": "stage",
}
"""What a selection may name -> its column."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Cases by id, or those of a group; and only those after a case id, where a request went on before."""

    ids: tuple[str, ...] = ()
    group: tuple[tuple[str, str], ...] = ()
    after: str = ""
    only: tuple[str, ...] | None = None
    """Of those only these, because who asks sees no others; None: all."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Selection:
        """Read `{"ids": […]}` or `{"group": {"system", "flow", "code", "fault", "owner", "stage"}}`. Raises BadInputError."""
        ids, group, after = given.get("ids"), given.get("group"), str(given.get("after") or "")
        strange = set(given) - {"ids", "group", "after"}
        if strange or (ids is None) == (group is None):
            raise BadInputError("a selection names either `ids` or a `group`, and may say `after`; give one of the two")
        if ids is not None:
            if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids):
                raise BadInputError("`ids` is a list of case ids with at least one in it")
            if len(ids) > MOST:
                raise BadInputError(f"{len(ids)} ids in one request; give at most {MOST} at once")
            return cls(tuple(dict.fromkeys(ids)), (), after)
        if not isinstance(group, Mapping) or not group or not set(group) <= set(GROUP):
            raise BadInputError(f"`group` names at least one of: {', '.join(GROUP)}")
        return cls((), tuple((name, str(value)) for name, value in group.items()), after)

    def where(self) -> list[ColumnElement[bool]]:
        """Return the conditions on the table of cases; of a group only open ones are meant."""
        q = t.quarantine.c
        found: list[ColumnElement[bool]] = [q.id > self.after] if self.after else []
        if self.only is not None:
            found.append(q.id.in_(self.only))
        if self.ids:
            return [*found, q.id.in_(self.ids)]
        return [*found, q.state.in_(OPEN), *(q[GROUP[name]] == value for name, value in self.group)]

    def find(self, connection: Connection, limit: int = MOST) -> Sequence[str]:
        """Return the ids of the cases, the oldest first, at most so many; ids that are not there are left out."""
        query = select(t.quarantine.c.id).where(*self.where()).order_by(t.quarantine.c.id).limit(limit)
        return connection.execute(query).scalars().all()
