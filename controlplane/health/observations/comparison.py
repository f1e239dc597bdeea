"""What a comparison plugin is given and what it returns. It reads systems and committed rows, and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Level
from controlplane.registry import Snapshot
from controlplane.store import Store
from rules.comparison.budget import Meter
from rules.comparison.explain import Finding
from rules.policy.kinds import Comparison


@dataclass(frozen=True, slots=True)
class ComparisonContext:
    """What a comparison is given."""

    store: Store
    snapshot: Snapshot
    connections: Connections
    clock: Clock
    policy: Comparison
    proven: Mapping[str, str] = field(default_factory=dict)
    """Side -> what the last reading of everything proved to be wrong with all of it (`Compared.proven`)."""

    resume: str = ""
    """The subject that the last run stopped before; empty where it stopped at none. Looking begins there."""

    snapshots: Path | None = None
    """The folder in which what the sides showed is kept; None where it is not."""

    def meter(self) -> Meter:
        """Return what says when the policy's budget is spent, counted from now."""
        budget = self.policy.spec.budget
        return Meter(self.clock.now, budget.time, budget.differences)


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts on one subject: one for each side and field."""

    subject: str
    """The business key: SKU@location, the order's reference, a SKU."""
    findings: tuple[Finding, ...]
    levels: Mapping[str, Level | None]
    """Side -> the stock that was read; empty where it is not stock that is compared."""
    evidence: Mapping[str, Any]
    """What is kept with a finding; empty where nothing drifts, nor is undecided."""
    unit_value: Decimal | None
    """What one unit of a difference is worth; where it is no units that differ: what the whole subject is."""
    currency: str | None
    basis: Mapping[str, str] = field(default_factory=dict)
    """`Finding.place` -> what the verdict rests on; a suspicion is confirmed only when that has not moved. Empty as `evidence` is."""
    read_at: Mapping[str, datetime] = field(default_factory=dict)
    """Side -> when it was known what it lists of the subject: its row's place passed, or all read; empty where that is not kept."""
    touched: Mapping[str, datetime] = field(default_factory=dict)
    """`Finding.place` -> when the ledger's picture of it changed last (of the source: was told); those that it has none of are
    left out.
    """
    source: str = ""
    """The side of record, whose own row is all that its verdict needs; empty where rows are not kept."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The result of one comparison."""

    judged: Sequence[Judged]
    unread: Mapping[str, str]
    """Side -> why it could not be read; a comparison with any is failed."""
    began: datetime
    partial: bool = False
    """Only some subjects were read: the counts say nothing of the whole."""
    skipped: int = 0
    """Subjects that were not looked at, because the budget was spent: nothing is concluded of them."""
    stopped: str = ""
    """Which budget was spent, in words; empty where none was."""
    resume: str = ""
    """The first subject that was not looked at; the next run begins with it."""
    proven: Mapping[str, str] = field(default_factory=dict)
    """Side -> what is wrong with all of it: the definition that it shows instead of what is compared."""
