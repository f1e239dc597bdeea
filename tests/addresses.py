"""The exact pair that a policy states for a server of a test on loopback."""

from __future__ import annotations

from rules.addresses import Pair, place_of


def pairs_of(*urls: str) -> tuple[str, ...]:
    """What `spec.internal` of a System says for these endpoints; nothing for what is no address."""
    return tuple(str(place[1]) for url in urls if (place := place_of(url)) and place[1].port)


def opened(*urls: str) -> frozenset[Pair]:
    """The same for a connector's context."""
    return frozenset(map(Pair.read, pairs_of(*urls)))
