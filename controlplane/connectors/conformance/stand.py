"""A bench that runs, with the proxy before it: what a check works with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.faults import Fault
from controlplane.connectors.conformance.proxy import Proxy
from controlplane.connectors.conformance.report import NotApplicable
from controlplane.connectors.contract import Connector, Manifest, Page, Write
from controlplane.connectors.outcomes import AWAITED
from rules.outcomes import Outcome, Result

PATIENT = 20.0
"""Seconds that one request may take where nothing hangs."""
IMPATIENT = 1.0
"""The same where something does."""
MOST_LOOKS = 5
"""How often it is looked what became of a write that is queued at the system."""


class Stand:
    """One connector on trial. Connectors that it makes are closed with it."""

    def __init__(self, name: str, bench: Bench, place: Place) -> None:
        self.name, self.bench, self.place = name, bench, place
        self.manifest: Manifest = bench.connector.manifest.of(place.options)
        self._open = ExitStack()
        self._proxy: Proxy | None = None
        if place.endpoint.partition("://")[0] in ("http", "https"):
            self._proxy = Proxy(place.endpoint)
            self._open.callback(self._proxy.close)

    def close(self) -> None:
        """Close every connector that was made, and the proxy."""
        self._open.close()

    @property
    def speaks_http(self) -> bool:
        """Whether faults can be put in between."""
        return self._proxy is not None

    @property
    def proxy(self) -> Proxy:
        """The proxy. Raises NotApplicable where the system is not spoken to over HTTP."""
        if self._proxy is None:
            raise NotApplicable("the connector does not speak HTTP, so that no fault can be put in between")
        return self._proxy

    def connector(self, timeout: float = PATIENT, endpoint: str = "") -> Connector:
        """Return a new connector, which knows nothing of what others did; it goes through the proxy where there is one."""
        way = endpoint or (self._proxy.endpoint if self._proxy else "")
        made = self.bench.connector(self.place.context(f"{self.name}-on-trial", self.bench.clock, timeout, way))
        self._open.callback(made.close)
        return made

    @property
    def changes(self) -> list[str]:
        """Entities that can be polled."""
        return [spec.entity for spec in self.manifest.reads if spec.changes]

    @property
    def snapshots(self) -> list[str]:
        """Entities of which a snapshot can be taken."""
        return [spec.entity for spec in self.manifest.reads if spec.snapshot]

    @property
    def listings(self) -> list[str]:
        """Entities that are listed, subject by subject."""
        return [spec.entity for spec in self.manifest.reads if spec.listing]

    @property
    def writes(self) -> list[str]:
        """Entities that can be written."""
        return [spec.entity for spec in self.manifest.writes]

    def readings(self) -> Iterator[tuple[str, Callable[[Connector], list[Any]]]]:
        """Yield (what, how it is read whole): each snapshot, each poll from the beginning, and each listing."""
        for entity in self.snapshots:
            yield f"snapshot of {entity}", lambda connector, entity=entity: list(connector.snapshot(entity))  # type: ignore[misc]
        for entity in self.changes:
            yield f"poll of {entity}", lambda connector, entity=entity: list(connector.poll(entity, None))  # type: ignore[misc]
        for entity in self.listings:
            yield f"listing of {entity}", lambda connector, entity=entity: list(connector.entries(entity))  # type: ignore[misc]

    def pages(self, entity: str, cursor: dict[str, Any] | None = None) -> list[Page]:
        """Return all pages of a poll by a new connector."""
        self.bench.rest()
        return list(self.connector().poll(entity, cursor))

    def carried_out(self, request: Write, outcome: Outcome) -> Outcome:
        """Return what became of a write that the system queued: it is read back once the system has done what it had to."""
        for _ in range(MOST_LOOKS):
            if outcome.result is not Result.UNKNOWN or AWAITED not in outcome.evidence:
                return outcome
            self.bench.carry_out()
            outcome = self.connector().read_back(request)
        return outcome

    @contextmanager
    def strike(self, fault: Fault, told: str) -> Iterator[None]:
        """Order a fault; one that struck nothing at all shows nothing, and is a flaw of the bench's aim."""
        with self.proxy.strike(fault) as counts:
            yield
        if not counts[0]:
            raise NotApplicable(
                f"no request came that '{told}' could strike; see `is_read` and `is_write` of the bench"
            )


def each(entities: list[str], what: str, check: Callable[[str], None]) -> str:
    """Check each entity. Returns what was left out and why; raises NotApplicable when nothing was checked."""
    if not entities:
        raise NotApplicable(f"the connector {what}")
    left_out = []
    for entity in entities:
        try:
            check(entity)
        except NotApplicable as reason:
            left_out.append(f"{entity}: {reason}")
    if len(left_out) == len(entities):
        raise NotApplicable("; ".join(left_out))
    return "; ".join(left_out)
