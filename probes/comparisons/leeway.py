"""What policy says of a side beside the comparison itself: how far its values may lie apart, which units it counts in."""

from __future__ import annotations

from controlplane.registry import Snapshot
from rules.comparison.tolerance import Tolerance
from rules.policy.kinds import ComparisonSide, ComparisonSpec
from rules.units import pieces_in


def tolerance_for(
    snapshot: Snapshot, spec: ComparisonSpec, side: ComparisonSide, sku: str, location: str = "", field: str = ""
) -> Tolerance:
    """Return what is allowed of a field (the side's own, unless named) of an article."""
    own = spec.tolerances.get(field or side.field)
    if own is None:
        return Tolerance(spec.tolerance)
    business = _safety_stock(snapshot, side.system, sku, location) if own.within_safety_stock else 0
    return Tolerance(own.absolute, own.relative, business)


def is_by_article(spec: ComparisonSpec, side: ComparisonSide) -> bool:
    """Say whether what is allowed of a side's field differs from article to article."""
    own = spec.tolerances.get(side.field)
    return own is not None and own.within_safety_stock


def _safety_stock(snapshot: Snapshot, channel: str, sku: str, location: str) -> int:
    for rule in snapshot.allocation_rules.values():
        if rule.spec.channel == channel and location in rule.spec.locations:
            return rule.spec.per_sku.get(sku, rule.spec.safety_stock)
    return 0


def units_of(snapshot: Snapshot, system: str) -> dict[int, str]:
    """Return how many pieces the units of a system are -> what it calls them, by its mapping of units."""
    found: dict[int, str] = {}
    for mapping in snapshot.mappings.values():
        if mapping.spec.system == system and mapping.spec.entity == "unit":
            found |= {pieces_in(ours): theirs for theirs, ours in mapping.spec.codes.items()}
    return found
