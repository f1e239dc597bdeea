"""Identifiers that sort by the time they were made (UUID version 7, RFC 9562)."""

from __future__ import annotations

import itertools
import secrets
from datetime import datetime
from uuid import UUID

_counter = itertools.count()


def new_id(at: datetime) -> str:
    """Return a new UUIDv7 for the instant; ids made in one process within one millisecond keep their order.

    Raises ValueError when the instant has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone; give an aware datetime in UTC")
    milliseconds = int(at.timestamp() * 1000)
    sequence = next(_counter) & 0x3FFFFFF  # 12 bits in rand_a, 14 at the head of rand_b
    value = milliseconds << 80 | 0x7 << 76 | (sequence >> 14) << 64 | 0b10 << 62 | (sequence & 0x3FFF) << 48
    return str(UUID(int=value | secrets.randbits(48)))
