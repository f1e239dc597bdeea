"""Faults: when they are in force, and whether one strikes this time."""

from datetime import datetime, timedelta
from typing import Any

from controlplane.sandbox.agenda import Agenda, Counters
from controlplane.sandbox.clock import Clock, iso_ms
from controlplane.sandbox.journal import Journal
from controlplane.sandbox.records import Fault
from controlplane.sandbox.scenario import DEEDS, FaultSpec
from controlplane.sandbox.store import Shelf
from controlplane.sandbox.streams import coin


class Faults:
    """All faults of this world. Each coin depends on (seed, fault id, ordinal of the occasion)."""

    def __init__(
        self, shelf: Shelf[Fault], agenda: Agenda, journal: Journal, clock: Clock, counters: Counters, seed: int
    ) -> None:
        self._shelf, self._agenda, self._journal, self._clock = shelf, agenda, journal, clock
        self._counters, self._seed = counters, seed
        self._specs = {fault.id: FaultSpec.model_validate(fault.spec) for fault in shelf}

    def add(self, spec: FaultSpec, origin: datetime) -> str:
        """Put a fault on the agenda, its offsets counted from `origin`; answers its id."""
        name = spec.id or f"{spec.kind}-{self._counters.next('fault')}"
        starts = origin + (spec.from_ or spec.at or timedelta())
        fault = Fault(
            id=name,
            spec=spec.model_dump(mode="json", by_alias=True, exclude_none=True),
            on_at=starts,
            off_at=origin + spec.until if spec.until is not None and spec.kind not in DEEDS else None,
        )
        self._shelf.put(name, fault)
        self._specs[name] = spec
        if starts <= self._clock.now():
            self.switch_on(name)
        else:
            self._agenda.add(starts, "fault_on", fault=name)
        return name

    def switch_on(self, name: str) -> FaultSpec | None:
        """The fault comes into force; None when it was deleted meanwhile."""
        fault = self._shelf.get(name)
        if fault is None or fault.active:
            return None
        fault.active = True
        self._shelf.put(name, fault)
        spec = self._specs[name]
        self._note(spec, name, "on")
        if spec.kind == "down":
            self._journal.write("down", system=spec.target)
        if spec.kind in DEEDS:
            self._agenda.add(self._clock.now(), "deed", fault=name)
        if fault.off_at is not None:
            self._agenda.add(fault.off_at, "fault_off", fault=name)
        return spec

    def switch_off(self, name: str) -> None:
        """The fault ends."""
        fault = self._shelf.get(name)
        if fault is None or not fault.active:
            return
        fault.active = False
        self._shelf.put(name, fault)
        spec = self._specs[name]
        self._note(spec, name, "off")
        if spec.kind == "down" and not self.is_down(spec.target):
            self._journal.write("up", system=spec.target)

    def delete(self, name: str) -> bool:
        """End and forget a fault; False when there is none of that id."""
        if name not in self._shelf:
            return False
        self.switch_off(name)
        self._shelf.drop(name)
        return True

    def spec(self, name: str) -> FaultSpec | None:
        """What was ordered under that id, unless it was deleted."""
        return self._specs.get(name) if name in self._shelf else None

    def again_at(self, name: str) -> datetime | None:
        """When a deed that is done `every` so often is done next; None when it was the last."""
        spec, fault = self._specs[name], self._shelf[name]
        if spec.every is None:
            return None
        due = self._clock.now() + spec.every
        ends = fault.on_at + spec.until - (spec.from_ or spec.at or timedelta()) if spec.until is not None else None
        return due if ends is None or due < ends else None

    def is_down(self, system: str) -> bool:
        """Whether a `down` fault is in force on the system."""
        return any(
            f.active and self._specs[f.id].kind == "down" and self._specs[f.id].target == system for f in self._shelf
        )

    def strike(
        self,
        kind: str,
        target: str,
        *,
        topic: str | None = None,
        operations: tuple[str, ...] = (),
        keys: list[str] | None = None,
    ) -> FaultSpec | None:
        """The fault of `kind` that strikes this occasion, or None. Every occasion is counted, every hit journalled."""
        for fault in self._shelf:
            spec = self._specs[fault.id]
            if not fault.active or spec.kind != kind or spec.target != target:
                continue
            if (spec.topic and spec.topic != topic) or (spec.operation and spec.operation not in operations):
                continue
            fault.seen += 1
            self._shelf.put(fault.id, fault)
            if coin(self._seed, fault.id, fault.seen, spec.probability):
                fault.hits += 1
                self._note(spec, fault.id, "hit", keys or [], topic or ",".join(operations))
                return spec
        return None

    def listing(self) -> list[dict[str, Any]]:
        """Every fault with its state, for the control API."""
        return [
            {
                **fault.spec,
                "id": fault.id,
                "active": fault.active,
                "on_at": iso_ms(fault.on_at),
                "off_at": iso_ms(fault.off_at) if fault.off_at else None,
                "seen": fault.seen,
                "hits": fault.hits,
            }
            for fault in self._shelf
        ]

    def _note(self, spec: FaultSpec, name: str, state: str, keys: list[str] | None = None, detail: str = "") -> None:
        self._journal.write(
            "fault", fault=name, fault_kind=spec.kind, target=spec.target, state=state, keys=keys or [], detail=detail
        )
