"""What is written down beside a verdict on stock: what was read, what the ledger had of it, and what the verdict rests on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from controlplane.connectors.contract import Level
from controlplane.store.types import instant
from probes.comparisons.evidence import Position
from rules.comparison.explain import Cause, Finding, Shown

SETTLED = (Cause.NONE, Cause.IN_FLIGHT)
"""Of these nothing is written down: it is no drift, and nothing that is found later makes it one."""


def is_kept(findings: Sequence[Finding]) -> bool:
    """Say whether any of the verdicts is written down, or may yet be."""
    return any(finding.cause not in SETTLED for finding in findings)


def basis_of(finding: Finding, shown: Shown) -> str:
    """What nobody heard is what will still be off when all that is on its way is there; another unit is one by whatever it is off."""
    actual = finding.actual
    if finding.cause is Cause.UNIT:
        return str(finding.cause)
    if finding.cause is Cause.NEVER_RECEIVED:
        actual = shown.complete()
    if finding.delivery_id is None and isinstance(actual, int) and finding.expected:
        gaps = (actual - value for value in finding.expected if isinstance(value, int))
        return f"off by {min(gaps, key=abs)}"
    return str(finding.cause)


def row_of(level: Level | None) -> dict[str, Any] | None:
    """Return a row that a side listed, as JSON has it."""
    if level is None:
        return None
    return {
        "on_hand": level.on_hand,
        "available": level.available,
        "source_at": _text(level.source_at) if level.source_at else None,
        "read_from": _text(level.read_from),
        "read_to": _text(level.read_to),
    }


def position_of(row: Position) -> dict[str, Any]:
    """Return what the ledger took the stock for, as JSON has it."""
    _, on_hand, allocated, available, in_transit, source_at, message_id, _ = row
    return {
        "on_hand": on_hand, "allocated": allocated, "available": available, "in_transit": in_transit,
        "source_at": instant(source_at).isoformat(), "message_id": message_id,
    }  # fmt: skip


@lru_cache(1024)
def _text(at: datetime) -> str:
    """Rows of a page share their instants."""
    return at.isoformat()
