"""What has outlived its retention: which rows fall under which domain's policy, and from when on they are old."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, true

from controlplane.registry import Snapshot
from controlplane.store import tables as t
from controlplane.sync.ledger.archive.part import Kind
from rules.policy.kinds import RetentionSpec
from rules.retention import Aspect, cutoff, governing


@dataclass(frozen=True, slots=True)
class Scope:
    """Rows of one kind that one domain's policy decides about."""

    kind: Kind
    domain: str
    archive: str
    """Address of the folder that they go to; empty: nothing is kept of them."""
    cutoff: datetime
    """What happened before this is old."""
    where: ColumnElement[bool]
    """Which rows of the kind's table."""
    about: str
    """Which rows, for people."""

    def told(self) -> dict[str, Any]:
        """Return it for people."""
        names = ("kind", "about", "domain", "cutoff", "archive")
        return {name: getattr(self, name) for name in names}


def scopes(connection: Connection, snapshot: Snapshot, now: datetime) -> Iterator[Scope]:
    """Yield every scope, attempts before the messages that they belong to; nothing while the registry has no domain."""
    domains = {name: domain.spec.retention for name, domain in snapshot.domains.items()}
    if domains:
        under = _Under(domains, now)
        yield from _by_flow(under, snapshot, "attempts", t.attempt.c.flow)
        yield from _raw(under, connection, snapshot)
        yield from _messages(under, connection, snapshot)
        yield from _by_flow(under, snapshot, "cases", t.quarantine.c.flow)


@dataclass(frozen=True, slots=True)
class _Under:
    domains: Mapping[str, RetentionSpec]
    now: datetime

    def scope(self, kind: Kind, names: set[str], where: ColumnElement[bool], about: str) -> Scope:
        """Return the scope of rows that these domains carry; of rows that no domain carries, the longest of all decides."""
        aspect: Aspect = "messages" if kind == "cases" else kind
        name = governing(self.domains, names, aspect)
        kept: RetentionSpec = self.domains[name or ""]
        return Scope(kind, name or "", kept.archive, cutoff(self.now, getattr(kept, aspect)), where, about)


def _by_flow(under: _Under, snapshot: Snapshot, kind: Kind, flow: Any) -> Iterator[Scope]:
    for domain in under.domains:
        names = sorted(one.name for one in snapshot.flows.values() if one.spec.domain == domain)
        if names:
            yield under.scope(kind, {domain}, flow.in_(names), f"of {', '.join(names)}")
    yield under.scope(kind, set(), flow.not_in(sorted(snapshot.flows)), "of no flow that there is")


def _raw(under: _Under, connection: Connection, snapshot: Snapshot) -> Iterator[Scope]:
    """A record's domain is not known before it is understood: the longest decides of those that its system feeds."""
    i = t.intake.c
    for system in _distinct(connection, i.system):
        names = {flow.spec.domain for flow in snapshot.flows.values() if flow.spec.source == system}
        newest = select(func.max(i.received_at)).where(i.system == system).scalar_subquery()
        # the newest stays: it tells when the system was last heard of
        yield under.scope("raw", names, (i.system == system) & (i.received_at < newest), f"from {system}")


def _messages(under: _Under, connection: Connection, snapshot: Snapshot) -> Iterator[Scope]:
    m = t.message.c
    for kind in _distinct(connection, m.type):
        sources = {source: flows for (source, carried), flows in snapshot.flows_from.items() if carried == kind}
        for source, flows in sorted(sources.items()):
            names = {flow.spec.domain for flow in flows}
            yield under.scope("messages", names, (m.type == kind) & (m.source == source), f"{kind} from {source}")
        others = m.source.not_in(sorted(sources)) if sources else true()
        yield under.scope("messages", set(), (m.type == kind) & others, f"{kind} that no flow carries")


def _distinct(connection: Connection, column: Any) -> Iterator[str]:
    """Yield the values of a column from one to the next along its index, however many rows each has."""
    last = ""
    while (found := connection.execute(select(func.min(column)).where(column > last)).scalar_one_or_none()) is not None:
        yield found
        last = found
