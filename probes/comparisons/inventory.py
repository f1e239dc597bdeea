"""The comparison of stock: the warehouses and stores as they are, the books of the ERP, what each channel offers.

1. Read every side, page by page, noting when (a side that cannot be read fails the comparison).
2. Load what the ledger knows since the reading began, for some hundred keys at a time.
3. For each of them, find for each side whether what it shows is admissible, and if not, in which gap the cause lies.
4. Hold what is left against what another unit, or another definition, would look like.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from controlplane.connectors.contract import Level
from controlplane.health.observations.comparison import Compared, ComparisonContext, Judged
from controlplane.store import tables as t
from controlplane.sync.processes.inventory import offered
from probes.comparisons.evidence import (
    UNREAD,
    Evidence,
    Field,
    Key,
    Standing,
    catch_up,
    load,
    offers_owed,
    standing,
    together,
)
from probes.comparisons.grounds import basis_of, is_kept, position_of, row_of
from probes.comparisons.kept import kept
from probes.comparisons.leeway import is_by_article, tolerance_for, units_of
from probes.comparisons.places import Places
from rules.comparison.budget import Meter, resumed
from rules.comparison.clues import Seen, by_definition, definitions, in_another_unit
from rules.comparison.explain import (
    CERTAIN,
    UNMAPPED,
    Cause,
    Finding,
    Pair,
    Shown,
    explain_source,
    explain_target,
    listed_twice,
    only_read,
    unproven,
    untold,
)
from rules.comparison.tolerance import Tolerance
from rules.model.messages import stock_key
from rules.policy.kinds import AllocationRule, ComparisonSide

LEVEL = "stock.level"
Levels = dict[Key, list[Level]]


def compare(context: ComparisonContext, subjects: Sequence[str] | None = None) -> Compared:
    """Compare all keys of the policy's locations, or only the given ones: `SKU@location`, or a SKU for all locations."""
    began, meter = context.clock.now(), context.meter()
    keys = None if subjects is None else sorted(set(keys_of(subjects, context.policy.spec.locations)))
    read: dict[str, Levels] = {}
    unread: dict[str, str] = {}
    read_at: dict[str, datetime] = {}
    for side in context.policy.spec.sides:
        try:
            read[side.system] = _read(context, side, keys)
            read_at[side.system] = context.clock.now()
        except UNREAD as error:
            unread[side.system] = str(error)
    read_until = context.clock.now()
    catch_up(context.store, context.clock, read_until)
    with context.store.read() as connection:
        systems = [side.system for side in context.policy.spec.sides]
        around = standing(connection, systems, began, read_until)
        judge = _Judge(context, connection, around, read, read_at, whole=keys is None)
        if unread:
            return Compared(judge.overdue(), unread, began, partial=keys is not None)
        todo = keys if keys is not None else resumed(judge.known(), _key(context.resume))
        judged = list(judge.until_spent(todo, meter))
        proven = dict(context.proven) if keys is not None else definitions(judge.seen(judged))
        judged = [judge.by_definition(one, proven) for one in judged]
        left = todo[len(judged) :]
        stopped, resume = (meter.spent(), "@".join(left[0])) if left else ("", "")
        return Compared(judged, {}, began, keys is not None, len(left), stopped, resume, proven)


def _key(subject: str) -> Key:
    sku, _, location = subject.rpartition("@")
    return sku, location


def keys_of(subjects: Iterable[str], locations: Sequence[str]) -> Iterator[Key]:
    """Yield the keys that subjects name; a SKU alone stands for every location. Those of other locations are left out."""
    mine = frozenset(locations)
    for subject in subjects:
        sku, at, location = subject.rpartition("@")
        if at and location in mine:
            yield sku, location
        elif not at:
            yield from ((subject, each) for each in locations)


def _read(context: ComparisonContext, side: ComparisonSide, keys: Sequence[Key] | None) -> Levels:
    mine = frozenset(side.locations or context.policy.spec.locations)
    asked = None if keys is None else [key for key in keys if key[1] in mine]
    found: Levels = {}
    if asked == []:
        return found
    for page in kept(context, side.system, context.connections.get(side.system).snapshot(side.entity, asked)):
        for level in page:
            if level.location in mine:
                found.setdefault((level.sku, level.location), []).append(level)
    return found


@dataclass(frozen=True, slots=True)
class _Target:
    """A side that is held against the side of record at a location, and what policy says of it there."""

    side: ComparisonSide
    place: Field
    tolerance: Tolerance | None
    """None: each article has its own."""
    rule: AllocationRule | None
    """What of the stock it may offer."""


@dataclass(frozen=True, slots=True)
class _Location:
    source: str
    """The side of record."""
    targets: tuple[_Target, ...]


class _Judge:
    """Judges keys on one state of the evidence."""

    def __init__(
        self,
        context: ComparisonContext,
        connection: Connection,
        around: Standing,
        read: dict[str, Levels],
        read_at: dict[str, datetime],
        *,
        whole: bool,
    ) -> None:
        self.policy = context.policy.spec
        self.snapshot, self.connection, self.around = context.snapshot, connection, around
        self.evidence: Evidence
        """Of the keys that are looked at together."""
        self.terms: dict[str, dict[str, int]] = {}
        """Subject -> what its sides may be off by; those without any are left out."""
        self.read, self.read_at, self.whole = read, read_at, whole
        self.places = Places(read)
        self.began = around.since
        self.told = {flow.spec.source for flow in context.snapshot.flows.values() if LEVEL in flow.spec.message_types}
        """Systems whose levels the ledger is told; of the others it knows what was read just now."""
        self.units = {side.system: units_of(context.snapshot, side.system) for side in self.policy.sides}
        self.locations: dict[str, _Location] = {}

    def known(self) -> list[Key]:
        """Return the keys that any side or the ledger knows."""
        p = t.stock_position.c
        mine = select(p.sku, p.location).where(p.location.in_(self.policy.locations))
        keys: set[Key] = {(row.sku, row.location) for row in self.connection.execute(mine)}
        for levels in self.read.values():
            keys |= levels.keys()
        return sorted(keys)

    def until_spent(self, keys: Sequence[Key], meter: Meter) -> Iterator[Judged]:
        """Judge the keys in turn, until the budget is spent."""
        for part in together(keys):
            for at, key in enumerate(part):
                if meter.spent():
                    return
                if at == 0:
                    self._load(part)
                judged = self.judge(key)
                meter.found(any(finding.is_drift for finding in judged.findings))
                yield judged

    def _load(self, keys: Sequence[Key]) -> None:
        asked: dict[Field, list[Key]] = {(side.system, side.field): [] for side in self.policy.sides}
        for key in keys:
            for target in self._at(key[1]).targets:
                asked[target.place].append(key)
        self.evidence = load(self.connection, self.around, keys, asked)

    def judge(self, key: Key) -> Judged:
        """Judge one key on all its sides."""
        at = self._at(key[1])
        heard = self.evidence.heard(key)
        first = self._allowing(self._held(key, self._source(at.source, key, heard)), (at.source,))
        findings, shows = [first], []
        for target in at.targets:
            system = target.side.system
            shown = self.evidence.shown(*target.place, key, *self._reading(system, key))
            finding = self._target(target, key, shown, first, heard)
            finding = self._allowing(finding, (at.source, system, "plane"))
            findings.append(in_another_unit(finding, self.units[system], settled=not shown.owed))
            shows.append(shown)
        basis = self._bases(key, findings, shows, heard) if is_kept(findings) else {}
        return self._judged(key, tuple(findings), basis)

    def _bases(
        self, key: Key, findings: Sequence[Finding], shows: Sequence[Shown], heard: set[tuple[int, int]]
    ) -> dict[str, str]:
        first, *others = findings
        told = f"{sorted(heard)} by {self.evidence.told_by(key)}"
        basis = {first.side: told if first.cause is not Cause.DUPLICATE else str(first.cause)}
        return basis | {finding.side: basis_of(finding, shown) for finding, shown in zip(others, shows, strict=True)}

    def _reading(self, system: str, key: Key) -> tuple[datetime, datetime]:
        """Return from when to when a row was read: what was known to be there before is in it, and what was sent after is not."""
        rows = self.read[system].get(key)
        if not rows:
            return self.began, self.around.now
        first, last = rows[0].read_from, rows[0].read_to
        for row in rows[1:]:
            first, last = min(first, row.read_from), max(last, row.read_to)
        return max(self.began, first), last

    def _at(self, location: str) -> _Location:
        """Return who is held against whom at a location."""
        known = self.locations.get(location)
        if known is None:
            source = self.policy.source_of(location)
            sides = (side for side in self.policy.sides_at(location) if side.system != source)
            known = self.locations[location] = _Location(source, tuple(self._held_at(side, location) for side in sides))
        return known

    def _held_at(self, side: ComparisonSide, location: str) -> _Target:
        by_article = is_by_article(self.policy, side)
        tolerance = None if by_article else tolerance_for(self.snapshot, self.policy, side, "", location)
        rules = (
            rule for rule in self.snapshot.allocation_rules.values()
            if rule.spec.channel == side.system and location in rule.spec.locations
        )  # fmt: skip
        return _Target(side, (side.system, side.field), tolerance, next(rules, None))

    def _source(self, system: str, key: Key, heard: set[tuple[int, int]]) -> Finding:
        rows = self.read[system].get(key, [])
        if len(rows) > 1:
            return listed_twice(system, [row.on_hand for row in rows], {pair[0] for pair in heard})
        if rows and system not in self.told:
            return only_read(system, rows[0].on_hand)
        pair: Pair | None = (rows[0].on_hand, rows[0].available) if rows else None
        return explain_source(system, pair, heard)

    def _held(self, key: Key, finding: Finding) -> Finding:
        """Of what the ledger never heard: the level was told, and waits in quarantine."""
        if finding.cause is not Cause.NEVER_RECEIVED:
            return finding
        reason = self.around.held.get((finding.side, stock_key(*key)))
        if reason is None:
            return finding
        cause = Cause.UNMAPPED if reason.startswith(UNMAPPED) else Cause.QUARANTINED
        text = f"{finding.side} shows {finding.actual}; its level was told, and waits in quarantine ({reason})"
        return replace(finding, cause=cause, explanation=text)

    def _target(self, target: _Target, key: Key, shown: Shown, source: Finding, heard: set[tuple[int, int]]) -> Finding:
        side = target.side
        rows = self.read[side.system].get(key, [])
        values = [row.on_hand if side.field == "on_hand" else row.available for row in rows]
        wanted = self._wanted(target, key, shown, source, heard)
        if len(rows) > 1:
            return listed_twice(side.system, values, wanted)
        if rows and values[0] is None:
            return untold(side.system, wanted)
        actual = values[0] if values else None
        known = side.field == "available"
        tolerance = target.tolerance or tolerance_for(self.snapshot, self.policy, side, key[0], key[1])
        return explain_target(side.system, actual, shown, wanted, tolerance, known)

    def _wanted(
        self, target: _Target, key: Key, shown: Shown, source: Finding, heard: set[tuple[int, int]]
    ) -> list[int]:
        if target.side.field != "on_hand":
            return self._offered(target.rule, key, shown)
        told = {source.actual} if isinstance(source.actual, int) else set()
        return sorted({pair[0] for pair in heard} | told)

    def _allowing(self, finding: Finding, systems: Sequence[str]) -> Finding:
        """A gap that records of these systems may fill is not proven while they wait here, older than the reading."""
        if finding.cause not in (Cause.NEVER_RECEIVED, Cause.CHANGED_AT_TARGET):
            return finding
        waiting = min((at for system, at in self.around.backlog.items() if system in systems), default=None)
        if waiting is None:
            return finding
        return unproven(finding, overdue=self.around.now - waiting > self.policy.promise)

    def _offered(self, rule: AllocationRule | None, key: Key, shown: Shown) -> list[int]:
        if rule is None:
            return [] if shown.now is None else [shown.now]
        position = self.evidence.positions.get(key)
        if position is None:
            return []
        return [offered(rule, key[0], position[3], self.evidence.unseen.get(key, 0))]

    # --- what a side shows instead ---
    def seen(self, judged: Iterable[Judged]) -> Iterator[Seen]:
        """Yield the target sides of the judged keys, with what they may be off by."""
        for one in judged:
            for finding in one.findings[1:]:
                yield self._seen(one.subject, finding)

    def _seen(self, subject: str, finding: Finding) -> Seen:
        field = next(side.field for side in self.policy.sides if side.system == finding.side)
        return Seen(finding, field, self.terms.get(subject, {}))

    def _may_be_off_by(self, key: Key) -> dict[str, int]:
        position = self.evidence.positions.get(key)
        if position is None:
            return {}
        _, _, allocated, _, in_transit, *_ = position
        return {term: units for term, units in (("allocated", allocated), ("in_transit", max(0, in_transit))) if units}

    def by_definition(self, one: Judged, proven: Mapping[str, str]) -> Judged:
        """Return the judged key with the verdict *definition* on the sides that are off by it."""
        if not proven:
            return one
        rest = (by_definition(self._seen(one.subject, finding), proven) for finding in one.findings[1:])
        findings = (one.findings[0], *rest)
        told = {finding.side: str(finding.cause) for finding in findings if finding.cause is Cause.DEFINITION}
        return replace(one, findings=findings, basis={**one.basis, **told})

    # --- without readings ---
    def overdue(self) -> list[Judged]:
        """Judge without readings: what the ledger alone proves to be late or held."""
        found = []
        for system, key in self._owed():
            target = next((one for one in self._at(key[1]).targets if one.side.system == system), None)
            if target is None:
                continue
            shown = self.evidence.shown(*target.place, key, self.began, self.around.now)
            now = shown.now if shown.now is not None else 0
            complete = now + sum(item.delta for item in shown.owed)
            finding = explain_target(system, now, Shown(now, (), shown.owed), [complete])
            if finding.cause in CERTAIN:
                found.append(self._judged(key, (finding,), {system: str(finding.cause)}))
        return found

    def _owed(self) -> Iterator[tuple[str, Key]]:
        """Yield every place that something is on its way to, its evidence loaded."""
        keys = {key for _, key in self.around.documents} | set(offers_owed(self.connection, self.around.systems))
        mine = sorted(key for key in keys if key[1] in self.policy.locations)
        for part in together(mine):
            self._load(part)
            yield from self.evidence.owed

    def _judged(self, key: Key, findings: tuple[Finding, ...], basis: dict[str, str]) -> Judged:
        if terms := self._may_be_off_by(key):
            self.terms[stock_key(*key)] = terms
        levels = {system: self._level(system, key) for system in self.units}
        price, currency = self.evidence.prices.get(key[0], (None, None))
        at = self._at(key[1])
        touched = {one.side.system: moved for one in at.targets if (moved := self.evidence.touched(one.place, key))}
        if heard := self.evidence.heard_at(key):
            touched[at.source] = heard
        evidence = self._evidence(key, levels, at.targets) if is_kept(findings) else {}
        return Judged(
            stock_key(*key), findings, levels, evidence, price, currency, basis, self._read_at(at.source, key), touched, at.source
        )  # fmt: skip

    def _read_at(self, source: str, key: Key) -> dict[str, datetime]:
        """Return side -> when it was known whether it lists the key: when its place was passed, else when all had been read."""
        if not self.whole:
            return self.read_at
        passed = {
            system: self.places.passed(system, source, key) for system in self.read_at if key not in self.read[system]
        }
        return self.read_at | {system: at for system, at in passed.items() if at is not None}

    def _level(self, system: str, key: Key) -> Level | None:
        rows = self.read.get(system, {}).get(key)
        return rows[0] if rows and len(rows) == 1 else None

    def _evidence(self, key: Key, levels: dict[str, Level | None], targets: Sequence[_Target]) -> dict[str, Any]:
        position = self.evidence.positions.get(key)
        twice = {
            system: [row_of(level) for level in rows]
            for system, found in self.read.items() if len(rows := found.get(key, ())) > 1
        }  # fmt: skip
        return {
            "read": {system: row_of(level) for system, level in levels.items()},
            **({"listed": twice} if twice else {}),
            "position": None if position is None else position_of(position),
            "delivered": {one.side.system: self.evidence.delivered(one.place, key) for one in targets},
            "owed": [
                {"target": system, "delivery_id": row.id, "state": row.state, "promise_at": row.promise_at.isoformat()}
                for system in levels for row in self.evidence.owed.get((system, key), ())
            ],
        }  # fmt: skip
