"""A row and what belongs to it: a message with its deliveries, their attempts, and its cases. Others stand for themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, or_, select

from controlplane.store import tables as t
from controlplane.store.place import Place
from controlplane.sync.ledger.archive import part
from controlplane.sync.ledger.archive.part import ROOT, Kind, Manifest

MEMBERS = ("attempt", "quarantine", "delivery")
"""Tables of what belongs to a message, in the order in which it is deleted."""


@dataclass(slots=True)
class Family:
    """Ids by table."""

    root: str
    attempt: list[str] = field(default_factory=list)
    quarantine: list[str] = field(default_factory=list)
    delivery: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many rows it has."""
        return 1 + len(self.attempt) + len(self.quarantine) + len(self.delivery)

    def ids(self) -> set[str]:
        """Return the ids of all its rows."""
        return {self.root, *self.attempt, *self.quarantine, *self.delivery}


def families(connection: Connection, kind: Kind, ids: Sequence[str]) -> list[Family]:
    """Return the families of these rows as the store has them, in the order given."""
    if kind != "messages" or not ids:
        return [Family(root) for root in ids]
    d, a, q = t.delivery.c, t.attempt.c, t.quarantine.c
    mine = select(d.id).where(d.message_id.in_(ids))
    held = or_(q.message_id.in_(ids), q.delivery_id.in_(mine))
    return _gathered(
        ids,
        connection.execute(select(d.id, d.message_id).where(d.message_id.in_(ids)).order_by(d.id)),
        connection.execute(select(a.id, a.delivery_id).where(a.delivery_id.in_(mine)).order_by(a.id)),
        connection.execute(select(q.id, q.message_id, q.delivery_id).where(held).order_by(q.id)),
    )


def kept_in(place: Place, manifest: Manifest) -> list[Family]:
    """Return the families of a part as its files have them."""
    roots = [root for (root,) in part.rows(place, manifest, ROOT[manifest.kind], "id")]
    if manifest.kind != "messages":
        return [Family(root) for root in roots]
    return _gathered(
        roots,
        part.rows(place, manifest, t.delivery, "id", "message_id"),
        part.rows(place, manifest, t.attempt, "id", "delivery_id"),
        part.rows(place, manifest, t.quarantine, "id", "message_id", "delivery_id"),
    )


def _gathered(
    roots: Iterable[str],
    deliveries: Iterable[tuple[str, str]],
    attempts: Iterable[tuple[str, str]],
    cases: Iterable[tuple[str, str | None, str | None]],
) -> list[Family]:
    found = {root: Family(root) for root in roots}
    owner: dict[str, Family] = {}
    for delivery_id, message_id in deliveries:
        owner[delivery_id] = found[message_id]
        found[message_id].delivery.append(delivery_id)
    for attempt_id, delivery_id in attempts:
        owner[delivery_id].attempt.append(attempt_id)
    for case_id, of_message, of_delivery in cases:
        family = found[of_message] if of_message in found else owner[of_delivery or ""]
        family.quarantine.append(case_id)
    return list(found.values())


def tables_of(kind: Kind, members: Sequence[Family]) -> Iterator[tuple[str, list[str]]]:
    """Yield table -> sorted ids of families, in the order of the house."""
    yield ROOT[kind].name, sorted(one.root for one in members)
    if kind == "messages":
        for name in reversed(MEMBERS):
            yield name, sorted(identity for one in members for identity in getattr(one, name))
