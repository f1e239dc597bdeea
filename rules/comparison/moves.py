"""Whether some of the moves of a number may make up a gap."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def may_add_up(moves: Sequence[int], gaps: Collection[int], most: int) -> bool:
    """Say whether any of the moves, one or several together, may add up to one of the gaps; of more than `most` that is not ruled out."""
    if len(moves) > most:
        return True
    sums = {0}
    for move in moves:
        reached = {one + move for one in sums}
        if not reached.isdisjoint(gaps):
            return True
        sums |= reached
    return False
