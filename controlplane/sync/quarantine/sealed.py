"""A case's record and its correction, whole. What lies in the columns of those names is what people may see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import RowMapping

from controlplane.sealing import Shield

Case = Mapping[str, Any] | RowMapping
ENVELOPES = ("record_sealed", "corrected_sealed")


def label(case_id: str, correction_id: str | None = None) -> str:
    """Return what the envelope of a case's record is bound to, or that of one correction."""
    return f"quarantine/{case_id}/{correction_id or 'record'}"


def whole(case: Case, shield: Shield) -> dict[str, Any]:
    """Return a case with its record and its correction as they are. Raises SealError, KeyMissingError."""
    record = shield.whole_record(label(case["id"]), case["record"], case["record_sealed"])
    corrected = shield.whole_record(
        label(case["id"], case["correction_id"]), case["corrected"], case["corrected_sealed"]
    )
    return {**case, "record": record, "corrected": corrected}


def shown(case: Case) -> dict[str, Any]:
    """Return a case as people may see it: without envelopes, and `sealed` says whether there is one."""
    is_sealed = any(case[name] is not None for name in ENVELOPES)
    return {**{name: value for name, value in case.items() if name not in ENVELOPES}, "sealed": is_sealed}
