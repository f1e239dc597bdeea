"""Chance, seeded: every draw comes from its own named stream, so one actor's luck never moves another's."""

import hashlib
import random


def stream(seed: int, *names: object) -> random.Random:
    """The generator of the stream with these names; the same names always give the same numbers."""
    return random.Random("/".join([str(seed), *map(str, names)]))


def coin(seed: int, fault: str, ordinal: int, probability: float) -> bool:
    """A flip that depends only on seed, fault and ordinal."""
    digest = hashlib.sha256(f"{seed}/{fault}/{ordinal}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < probability * 2**64
