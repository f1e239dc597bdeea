"""Available to sell: what a channel may promise, from what the warehouse says and what the plane knows beyond it."""

from __future__ import annotations

import math


def available_to_sell(available: int, unseen: int, safety: int, buffer_share: float = 0.0) -> int:
    """Return the units a channel may show, never below zero.

    `available`: the warehouse's own available. `unseen`: units of accepted orders that the warehouse's figure does
    not contain yet. `safety`: units kept back. `buffer_share`: further share of the rest kept back, rounded up.
    """
    rest = available - unseen - safety
    return max(0, rest - math.ceil(max(0, rest) * buffer_share))
