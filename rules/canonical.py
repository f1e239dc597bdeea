"""Canonical JSON and its hash: the one form in which documents are compared, signed and approved."""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID


def canonical_json(document: Any) -> str:
    """Return the document as JSON with sorted keys, no blanks, and no NaN.

    Numbers, dates and ids that JSON lacks are written as text. Raises ValueError on NaN or infinity, TypeError on what
    has no form that is the same every time (a set, an object).
    """
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_text
    )


def _text(value: Any) -> str:
    if isinstance(value, Decimal | datetime | date | UUID):
        return str(value)
    raise TypeError(f"{value!r} ({type(value).__name__}) has no canonical form; give text, numbers, lists and mappings")


def digest(document: Any) -> str:
    """Return the SHA-256 of the canonical form, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()
