"""The registry and its immutable snapshots."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, func, select

from controlplane.clock import Clock
from controlplane.errors import NotFoundError
from controlplane.registry import revisions
from controlplane.store import Store, direct
from controlplane.store import tables as t
from rules.personal import USUAL, Personal
from rules.policy import kinds as k
from rules.policy.blueprint import Record, records, waits
from rules.policy.places import Places, places
from rules.reach import Reach, Sight, sight

D = TypeVar("D", bound=k.Document)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All policies that govern at one version of the registry. Immutable; equal versions are the same object."""

    version: int
    """0 while the registry is empty."""
    documents: Mapping[tuple[str, str], k.Document] = field(repr=False)
    """(kind, name) -> document."""
    revision_ids: Mapping[tuple[str, str], str] = field(repr=False)

    def sight(self, reach: Reach) -> Sight:
        """Return what of these policies is in sight of a reach."""
        if reach not in self._sights:
            self._sights[reach] = sight(reach, self.documents.values())
        return self._sights[reach]

    @cached_property
    def _sights(self) -> dict[Reach, Sight]:
        return {}

    def within(self, reach: Reach) -> Snapshot:
        """Return what of these policies is shown to whoever reaches no further."""
        if reach not in self._narrowed:
            seen = self.sight(reach).documents
            ids = {key: revision for key, revision in self.revision_ids.items() if key in seen}
            self._narrowed[reach] = Snapshot(self.version, MappingProxyType(dict(seen)), MappingProxyType(ids))
        return self._narrowed[reach]

    @cached_property
    def _narrowed(self) -> dict[Reach, Snapshot]:
        return {}

    def _of(self, model: type[D]) -> Mapping[str, D]:
        found = {name: document for (kind, name), document in self.documents.items() if kind == model.__name__}
        return MappingProxyType(cast("dict[str, D]", found))

    @cached_property
    def systems(self) -> Mapping[str, k.System]:
        """System documents by name."""
        return self._of(k.System)

    @cached_property
    def domains(self) -> Mapping[str, k.Domain]:
        """Domain documents by name."""
        return self._of(k.Domain)

    @cached_property
    def flows(self) -> Mapping[str, k.Flow]:
        """Flow documents by name, but those on standby that have to wait."""
        running = {name: flow for name, flow in self._all_flows.items() if not waits(flow.spec, self.records)}
        return MappingProxyType(running)

    @cached_property
    def _all_flows(self) -> Mapping[str, k.Flow]:
        return self._of(k.Flow)

    @cached_property
    def mappings(self) -> Mapping[str, k.Mapping]:
        """Mapping documents by name."""
        return self._of(k.Mapping)

    @cached_property
    def retry_policies(self) -> Mapping[str, k.RetryPolicy]:
        """RetryPolicy documents by name."""
        return self._of(k.RetryPolicy)

    @cached_property
    def service_levels(self) -> Mapping[str, k.ServiceLevel]:
        """ServiceLevel documents by name."""
        return self._of(k.ServiceLevel)

    @cached_property
    def teams(self) -> Mapping[str, k.Team]:
        """Team documents by name."""
        return self._of(k.Team)

    @cached_property
    def escalation_paths(self) -> Mapping[str, k.EscalationPath]:
        """EscalationPath documents by name."""
        return self._of(k.EscalationPath)

    @cached_property
    def comparisons(self) -> Mapping[str, k.Comparison]:
        """Comparison documents by name."""
        return self._of(k.Comparison)

    @cached_property
    def allocation_rules(self) -> Mapping[str, k.AllocationRule]:
        """AllocationRule documents by name."""
        return self._of(k.AllocationRule)

    @cached_property
    def accounting_rules(self) -> Mapping[str, k.AccountingRule]:
        """AccountingRule documents by name."""
        return self._of(k.AccountingRule)

    @cached_property
    def calendars(self) -> Mapping[str, k.Calendar]:
        """Calendar documents by name."""
        return self._of(k.Calendar)

    @cached_property
    def alert_rules(self) -> Mapping[str, k.AlertRule]:
        """AlertRule documents by name."""
        return self._of(k.AlertRule)

    def personal_of(self, system: str) -> Personal:
        """Return what policy says of the personal fields of a system's records; of one that is not known, what is shipped."""
        if system not in self._personal:
            found = self.systems.get(system)
            self._personal[system] = Personal(found.spec.personal) if found and found.spec.personal else USUAL
        return self._personal[system]

    @cached_property
    def _personal(self) -> dict[str, Personal]:
        return {}

    def revision(self, kind: str, name: str) -> str:
        """Return the id of the revision in force. Raises NotFoundError."""
        try:
            return self.revision_ids[kind, name]
        except KeyError:
            raise NotFoundError(f"there is no {kind} '{name}' in registry version {self.version}") from None

    def retry_of(self, flow: str, target: str) -> str | None:
        """Return the name of the RetryPolicy for what a flow owes a target, or None for a flow that is not known."""
        known = self._all_flows
        return self._retries.get((flow, target)) or (known[flow].spec.retry if flow in known else None)

    def retry_for(self, flow: k.Flow, target: k.FlowTarget) -> str:
        """Return the name of the RetryPolicy of a flow's target; the flow's, where the target names one that there is not."""
        own = target.retry
        return own if own is not None and own in self.retry_policies else flow.spec.retry

    @cached_property
    def _retries(self) -> Mapping[tuple[str, str], str]:
        return {
            (flow.name, target.system): self.retry_for(flow, target)
            for flow in self._all_flows.values()
            for target in flow.spec.targets
        }

    @cached_property
    def flows_from(self) -> Mapping[tuple[str, str], tuple[k.Flow, ...]]:
        """The flows that carry a type of message of a source, by (source, type)."""
        found: dict[tuple[str, str], tuple[k.Flow, ...]] = {}
        for flow in self.flows.values():
            for kind in flow.spec.message_types:
                found[flow.spec.source, kind] = (*found.get((flow.spec.source, kind), ()), flow)
        return MappingProxyType(found)

    @cached_property
    def flows_to(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the flows that owe something to a target, by target."""
        found: dict[str, tuple[str, ...]] = {}
        for flow in self.flows.values():
            for target in flow.spec.targets:
                found[target.system] = (*found.get(target.system, ()), flow.name)
        return MappingProxyType(found)

    @cached_property
    def places(self) -> Places:
        """The locations that these policies know."""
        return places(self.documents.values())

    @cached_property
    def records(self) -> Mapping[str, Record]:
        """Message type -> which systems are of record for what it says."""
        return records(self.documents.values())

    def correction_of(self, flow: str) -> k.Correction:
        """Return what the blueprint of a flow's domain says of corrections; the default for a flow that is not known."""
        domain = self.domains.get(self._all_flows[flow].spec.domain) if flow in self._all_flows else None
        return domain.spec.correction if domain else k.Correction()

    def mapping_codes(self, system: str) -> dict[str, k.MappingSpec]:
        """Return the translations of a system by entity (sku, location …); connectors make Codes of them."""
        specs = (document.spec for document in self.mappings.values())
        return {spec.entity: spec for spec in specs if spec.system == system}


_reach: ContextVar[Reach | None] = ContextVar("reach", default=None)


class Registry:
    """Gives the snapshot in force. Asks the database only for the version number unless that has changed."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self._lock = threading.Lock()
        self._cached = Snapshot(0, MappingProxyType({}), MappingProxyType({}))

    def snapshot(self) -> Snapshot:
        """Return what governs now; a change made by anybody is seen at the next call. Where `confine` was said, what is in sight of it."""
        reach = _reach.get() if self.store.is_confined else None
        with self.store.unconfined(), self.store.read() as conn:
            found = self.snapshot_in(conn)
        return found if reach is None else found.within(reach)

    def confine(self, reach: Reach) -> None:
        """Let all that this thread reads from here on, of the registry and of the store, be what is in sight of a reach."""
        self.store.confine(None)
        if not reach.everything:
            self.store.confine(self.snapshot().sight(reach).lists())
        _reach.set(reach)

    def known(self) -> Snapshot:
        """Return what governed when this process last looked; for what follows a look of its own."""
        return self._cached

    def snapshot_in(self, conn: Connection) -> Snapshot:
        """Return what governs as the caller's transaction sees it; call it before that transaction changes the registry.

        Where `confine` was said, what governs by now is asked of the whole registry, and what is in sight of it returned.
        """
        if self.store.is_confined:
            return self.snapshot()
        version = current_version(conn)
        while True:
            with self._lock:
                if self._cached.version == version:
                    return self._cached
            rows, began = revisions.in_force(conn), version
            version = current_version(conn)
            if (
                version == began
            ):  # otherwise a change was committed between the two queries, where the database lets that be seen
                return self._remember(_build(version, rows))

    def _remember(self, fresh: Snapshot) -> Snapshot:
        with self._lock:
            if fresh.version > self._cached.version:
                self._cached = fresh
            return fresh

    def snapshot_at(self, instant: datetime) -> Snapshot:
        """Return what governed at an instant; its version is that of the registry then."""
        with self.store.read() as conn:
            newest = select(func.max(t.registry_version.c.version)).where(t.registry_version.c.recorded_at <= instant)
            version = conn.execute(newest).scalar() or 0
            return _build(version, revisions.in_force_at(conn, instant))


def current_version(conn: Connection) -> int:
    """Return the number of the registry's present version; 0 while it is empty."""
    [(version,)] = direct.fetch(conn, "SELECT max(version) FROM registry_version")
    return int(version or 0)


def _build(version: int, rows: list[dict[str, Any]]) -> Snapshot:
    documents = {(row["kind"], row["name"]): k.KINDS[row["kind"]].model_validate(row["document"]) for row in rows}
    ids = {(row["kind"], row["name"]): row["id"] for row in rows}
    return Snapshot(version, MappingProxyType(documents), MappingProxyType(ids))
