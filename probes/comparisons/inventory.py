"""The three-way comparison of stock: the warehouse as it is, the books of the ERP, what the channel offers.

1. Read every side, page by page, noting when (a side that cannot be read fails the comparison).
2. Load what the ledger knows since the reading began.
3. For each key, find for each side whether what it shows is admissible, and if not, in which gap the cause lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from controlplane.connectors.contract import Level
from controlplane.errors import ConnectorError, UnreadableError
from controlplane.health.observations.comparison import Compared, ComparisonContext, Judged, Key
from controlplane.sync.processes.contract import Work
from controlplane.sync.processes.inventory import desired
from probes.comparisons.evidence import Evidence, catch_up, load
from rules.comparison.explain import CERTAIN, Cause, Finding, Shown, explain_source, explain_target, unproven
from rules.policy.kinds import ComparisonSide

Levels = dict[Key, Level]


def compare(context: ComparisonContext, keys: Sequence[Key] | None = None) -> Compared:
    """Compare all keys of the policy's locations, or only the given ones (the second, targeted reading)."""
    began = context.clock.now()
    read: dict[str, Levels] = {}
    unread: dict[str, str] = {}
    for side in context.policy.spec.sides:
        try:
            read[side.system] = _read(context, side, keys)
        except ConnectorError as error:
            unread[side.system] = str(error)
    read_until = context.clock.now()
    catch_up(context.store, context.clock, read_until)
    with context.store.read() as connection:
        systems = [side.system for side in context.policy.spec.sides]
        evidence = load(connection, systems, began, read_until)
        judge = _Judge(context, connection, evidence, read, began)
        judged = judge.overdue() if unread else judge.all(keys)
    return Compared(judged, unread, began, partial=keys is not None)


def _read(context: ComparisonContext, side: ComparisonSide, keys: Sequence[Key] | None) -> Levels:
    found: Levels = {}
    for page in context.connections.get(side.system).snapshot(side.entity, keys):
        for level in page:
            if level.location not in context.policy.spec.locations:
                continue
            if (level.sku, level.location) in found:
                raise UnreadableError(
                    f"{side.system} lists {level.sku} at {level.location} twice; which one holds cannot be known. "
                    "Correct its master data or the mapping"
                )
            found[(level.sku, level.location)] = level
    return found


class _Judge:
    """Judges keys on one state of the evidence."""

    def __init__(
        self,
        context: ComparisonContext,
        connection: Connection,
        evidence: Evidence,
        read: dict[str, Levels],
        began: datetime,
    ) -> None:
        self.policy = context.policy.spec
        self.work = Work(connection, context.snapshot, context.clock)
        self.evidence = evidence
        self.read = read
        self.began = began
        self.targets = [side for side in self.policy.sides if side.system != self.policy.source_side]

    def all(self, keys: Sequence[Key] | None) -> list[Judged]:
        """Judge the given keys, or all that any side or the ledger knows."""
        known: Iterable[Key] = keys if keys is not None else self._known()
        return [self._judge(key) for key in known]

    def _known(self) -> list[Key]:
        keys: set[Key] = {key for key in self.evidence.positions if key[1] in self.policy.locations}
        for levels in self.read.values():
            keys |= levels.keys()
        return sorted(keys)

    def _judge(self, key: Key) -> Judged:
        source = self.policy.source_side
        level = self.read[source].get(key)
        pair = (
            None
            if level is None or level.on_hand is None or level.available is None
            else (level.on_hand, level.available)
        )
        heard = self.evidence.heard(key, self.began)
        first = self._allowing(explain_source(source, pair, heard), [source])
        findings = [first]
        basis = {source: f"{sorted(heard)} by {self.evidence.told_by(key)}"}
        for side in self.targets:
            shown = self.evidence.shown(side.system, side.field, key, self.began)
            finding = self._target(side, key, shown, first, heard)
            finding = self._allowing(finding, [source, side.system, "plane"])
            findings.append(finding)
            basis[side.system] = _basis(finding)
        return self._judged(key, tuple(findings), basis)

    def _target(
        self, side: ComparisonSide, key: Key, shown: Shown, source: Finding, heard: set[tuple[int, int]]
    ) -> Finding:
        level = self.read[side.system].get(key)
        actual = None if level is None else (level.on_hand if side.field == "on_hand" else level.available)
        if side.field == "on_hand":
            wanted = sorted({pair[0] for pair in heard} | ({source.actual} if source.actual is not None else set()))
        else:
            wanted = self._offered(side.system, key, shown)
        known = side.field == "available"
        return explain_target(side.system, actual, shown, wanted, self.policy.tolerance, known)

    def _allowing(self, finding: Finding, systems: Sequence[str]) -> Finding:
        """A gap that records of these systems may fill is not proven while they wait here, older than the reading."""
        waiting = min((at for system, at in self.evidence.backlog.items() if system in systems), default=None)
        if waiting is None or finding.cause not in (Cause.NEVER_RECEIVED, Cause.CHANGED_AT_TARGET):
            return finding
        return unproven(finding, overdue=self.evidence.now - waiting > self.policy.promise)

    def _offered(self, channel: str, key: Key, shown: Shown) -> list[int]:
        for rule in self.work.snapshot.allocation_rules.values():
            if rule.spec.channel == channel and key[1] in rule.spec.locations:
                quantity = desired(self.work, rule, *key)
                return [] if quantity is None else [quantity]
        return [] if shown.now is None else [shown.now]

    def overdue(self) -> list[Judged]:
        """Judge without readings: what the ledger alone proves to be late or held."""
        found = []
        for side in self.targets:
            for system, key in self.evidence.owed:
                if system != side.system or key[1] not in self.policy.locations:
                    continue
                shown = self.evidence.shown(side.system, side.field, key, self.began)
                now = shown.now if shown.now is not None else 0
                complete = now + sum(item.delta for item in shown.owed)
                finding = explain_target(side.system, now, Shown(now, (), shown.owed), [complete])
                if finding.cause in CERTAIN:
                    found.append(self._judged(key, (finding,), {side.system: _basis(finding)}))
        return found

    def _judged(self, key: Key, findings: tuple[Finding, ...], basis: dict[str, str]) -> Judged:
        levels = {side.system: self.read.get(side.system, {}).get(key) for side in self.policy.sides}
        price, currency = self.evidence.prices.get(key[0], (None, None))
        return Judged(key, findings, levels, self._evidence(key, levels), price, currency, basis)

    def _evidence(self, key: Key, levels: dict[str, Level | None]) -> dict[str, Any]:
        position = self.evidence.positions.get(key)
        return {
            "read": {system: _row(level) for system, level in levels.items()},
            "position": None if position is None else {
                "on_hand": position.on_hand, "allocated": position.allocated, "available": position.available,
                "in_transit": position.in_transit, "source_at": position.source_at.isoformat(),
                "message_id": position.message_id,
            },
            "delivered": {
                side.system: self.evidence.levels.get((side.system, side.field, key)) for side in self.targets
            },
            "owed": [
                {"target": row.target, "delivery_id": row.id, "state": row.state, "promise_at": row.promise_at.isoformat()}
                for side in self.policy.sides for row in self.evidence.owed.get((side.system, key), ())
            ],
        }  # fmt: skip


def _basis(finding: Finding) -> str:
    if finding.delivery_id is None and finding.actual is not None and finding.expected:
        return f"off by {min((finding.actual - value for value in finding.expected), key=abs)}"
    return str(finding.cause)


def _row(level: Level | None) -> dict[str, Any] | None:
    if level is None:
        return None
    return {
        "on_hand": level.on_hand,
        "available": level.available,
        "source_at": level.source_at.isoformat() if level.source_at else None,
        "read_from": level.read_from.isoformat(),
        "read_to": level.read_to.isoformat(),
    }
