"""Available to sell: what a channel may promise, from what the warehouse says and what the plane knows beyond it."""

from __future__ import annotations

import math
from decimal import Decimal


def available_to_sell(available: int, unseen: int, safety: int, buffer_share: float = 0.0) -> int:
    """Return the units a channel may show, never below zero.

    `available`: the warehouse's own available. `unseen`: units of accepted orders that the warehouse's figure does
    not contain yet. `safety`: units kept back. `buffer_share`: further share of the rest kept back, rounded up.
    """
    rest = max(0, available - unseen - safety)
    if not buffer_share:
        return rest
    share = Decimal(str(buffer_share))  # as it is written: in binary, 7 % of 100 units is a little more than 7
    return rest - math.ceil(rest * share)
