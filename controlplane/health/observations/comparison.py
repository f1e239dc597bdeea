"""What a comparison plugin is given and what it returns. It reads systems and committed rows, and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Level
from controlplane.registry import Snapshot
from controlplane.store import Store
from rules.comparison.explain import Finding
from rules.policy.kinds import Comparison

Key = tuple[str, str]
"""SKU and location."""


@dataclass(frozen=True, slots=True)
class ComparisonContext:
    """What a comparison is given."""

    store: Store
    snapshot: Snapshot
    connections: Connections
    clock: Clock
    policy: Comparison


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts on one key: one for each side."""

    key: Key
    findings: tuple[Finding, ...]
    levels: Mapping[str, Level | None]
    """Side -> what was read."""
    evidence: Mapping[str, Any]
    unit_value: Decimal | None
    currency: str | None
    basis: Mapping[str, str] = field(default_factory=dict)
    """Side -> what the verdict rests on; a suspicion is confirmed only when that has not moved."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The result of one comparison."""

    judged: Sequence[Judged]
    unread: Mapping[str, str]
    """Side -> why it could not be read; a comparison with any is failed."""
    began: datetime
    partial: bool = False
    """Only some keys were read: the counts say nothing of the whole."""
