"""The blueprint of a domain: which systems are of record for what a message says. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rules.model.messages import STATE_LIKE, TYPES, Data, locations_of
from rules.policy import kinds as k
from rules.policy.reading import Entry, nearest
from rules.policy.sense import EntryFlaw, Flaw

ENTITIES = {
    "stock.level": "stock",
    "product.described": "product",
    "order.placed": "order",
    "shipment.shipped": "shipment",
    "receipt.received": "receipt",
    "return.received": "return",
    "sale.recorded": "sale",
    "payment.recorded": "payment",
    "settlement.changed": "settlement",
    "refund.requested": "refund",
}
"""Message type -> the entity that it speaks of. What the plane itself makes of others' messages claims no record."""
KEYS = frozenset({"sku", "location", "source_at"})
"""Fields that say what is spoken of and when, and that nobody owns."""
SHOWN = {"stock": frozenset({"available_to_sell"})}
"""Entity -> fields that a channel shows, and that no message from outside states."""
AT_A_PLACE = frozenset({"stock", "shipment", "receipt", "return", "sale"})
"""Entities of which a message speaks at one location."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a Domain says of one entity, as it is held against messages."""

    entity: str
    domain: str
    systems: frozenset[str]
    locations: Mapping[str, str]
    fields: Mapping[str, str]
    states: frozenset[str]
    """Fields that messages of a state-like entity state; empty for documents, which are stated whole."""

    def whole(self, source: str) -> bool:
        """Say without looking at a message that its source is of record for all that it may say."""
        return source in self.systems and not self.locations and self.fields.keys().isdisjoint(self.states)

    def owns(self, source: str, locations: Iterable[str]) -> bool:
        """Say whether the source is of record at these locations, apart from single fields."""
        told = [self.locations.get(location) for location in locations] or [None]
        return all(source == one if one else source in self.systems for one in told)

    def foreign(self, source: str, data: Data) -> frozenset[str]:
        """Return which fields of a message its source is not of record for; of a document it is all, named by its entity."""
        whole = self.owns(source, locations_of(data))
        if not self.states:
            return frozenset() if whole else frozenset({self.entity})
        own = source if whole else ""
        return frozenset(name for name in self.states if self.fields.get(name, own) != source and states(data, name))

    def names(self, source: str) -> bool:
        """Say whether the source is of record for anything of it."""
        return source in self.systems or source in self.locations.values() or source in self.fields.values()

    def of(self, name: str, locations: Iterable[str]) -> str:
        """Return who is of record for a field, in words."""
        if name in self.fields:
            return self.fields[name]
        told = {self.locations[location] for location in locations if location in self.locations}
        return " or ".join(sorted(told or self.systems))


def states(data: Data, name: str) -> bool:
    """Say whether a message says anything of a field: a count below zero of what is in transit means that it is not known."""
    value: Any = getattr(data, name)
    return value is not None and not (name == "in_transit" and value < 0)


def records(documents: Iterable[k.Document]) -> Mapping[str, Record]:
    """Return what the blueprints say, by message type; a type whose entity stands in none is missing."""
    owned = {
        entity: (domain.name, ownership)
        for domain in documents
        if isinstance(domain, k.Domain)
        for entity, ownership in domain.spec.entities.items()
    }
    return {kind: _record(kind, entity, *owned[entity]) for kind, entity in ENTITIES.items() if entity in owned}


def _record(kind: str, entity: str, domain: str, ownership: k.EntityOwnership) -> Record:
    return Record(
        entity, domain, frozenset(ownership.system_of_record), ownership.locations, ownership.fields, _fields(kind)
    )  # fmt: skip


def _fields(kind: str) -> frozenset[str]:
    return frozenset(TYPES[kind].model_fields) - KEYS if kind in STATE_LIKE else frozenset()


# --- what a blueprint cannot say, and what contradicts it ---


def contradictions(entries: Sequence[Entry]) -> Iterator[EntryFlaw]:
    """Yield what is wrong with blueprints, and flows that bring what their source is not of record for."""
    for entry in entries:
        if isinstance(entry.document, k.Domain):
            for entity, ownership in entry.document.spec.entities.items():
                for path, rule, remedy in _unfit(entity, ownership):
                    yield entry, ("spec", "entities", entity, *path), rule, remedy
    known = records(entry.document for entry in entries)
    domains = {entry.document.name: entry.document.spec for entry in entries if isinstance(entry.document, k.Domain)}
    for entry in entries:
        if isinstance(entry.document, k.Comparison) and entry.document.spec.domain in domains:
            for path, rule, remedy in _judged_by(entry.document.spec, domains[entry.document.spec.domain]):
                yield entry, path, rule, remedy
        if isinstance(entry.document, k.Flow):
            for path, rule, remedy in _unowned(entry.document.spec, known):
                yield entry, path, rule, remedy


def _judged_by(spec: k.ComparisonSpec, domain: k.DomainSpec) -> Iterator[Flaw]:
    """What the others are healed to has to be right: a comparison is of stock."""
    owned = domain.entities.get("stock")
    if owned is None:
        return
    right = {*owned.system_of_record, *owned.locations.values(), *owned.fields.values()}
    if spec.source_side not in right and any(side.system == spec.source_side for side in spec.sides):
        rule = f"'{spec.source_side}' is not of record for 'stock', by Domain '{spec.domain}': others would be put wrong after it"
        yield ("spec", "source_side"), rule, f"name {' or '.join(sorted(right))}"


def _unfit(entity: str, ownership: k.EntityOwnership) -> Iterator[Flaw]:
    kind = next((kind for kind, of in ENTITIES.items() if of == entity), "")
    fields = _fields(kind) if kind else frozenset()
    meant = difflib.get_close_matches(entity, ENTITIES.values(), n=1) if not kind else []
    if meant:
        yield (), f"no message speaks of '{entity}', so nothing of it is enforced", f"did you mean '{meant[0]}'?"
    if len(ownership.system_of_record) > 1 and kind in STATE_LIKE:
        rule = f"of '{entity}' there is one state, and several systems would overwrite each other"
        yield ("system_of_record",), rule, "name one; give others their 'locations' or 'fields'"
    if ownership.locations and entity not in AT_A_PLACE:
        rule = f"no message speaks of '{entity}' at one location"
        yield ("locations",), rule, "take it out"
    for name in ownership.fields:
        if kind and not fields and name not in SHOWN.get(entity, ()):
            rule = f"'{entity}' is a document, which one system states whole"
            yield ("fields", name), rule, "take it out, or name several in 'system_of_record'"
        elif kind and name not in fields | SHOWN.get(entity, frozenset()):
            yield ("fields", name), f"'{entity}' has no field '{name}'", nearest(name, fields, "fields")


def waits(spec: k.FlowSpec, known: Mapping[str, Record]) -> bool:
    """Say whether a flow on standby has to wait, for its source is of record for nothing that it brings."""
    return spec.standby and all(kind in known and not known[kind].names(spec.source) for kind in spec.message_types)


def _unowned(spec: k.FlowSpec, known: Mapping[str, Record]) -> Iterator[Flaw]:
    if spec.source == "plane" or waits(spec, known):
        return
    for position, kind in enumerate(spec.message_types):
        record = known.get(kind)
        if record is None or record.names(spec.source):
            continue
        rule = (
            f"'{spec.source}' is not of record for '{record.entity}' ({', '.join(sorted(record.systems))} is, by "
            f"Domain '{record.domain}'), so each message would be quarantined"
        )
        yield (
            ("spec", "message_types", position),
            rule,
            "take it out, or name the source in the Domain first; a flow that is to wait for that says `standby`",
        )
