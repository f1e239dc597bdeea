"""Identifiers that sort by the time they were made (UUID version 7, RFC 9562), and fingerprints of what is told twice."""

from __future__ import annotations

import itertools
import os
import random
import re
import secrets
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

_counter = itertools.count()
_random = random.Random(secrets.randbits(128))
"""Tells the ids of processes apart; it guards no secret. A forked process begins anew."""
os.register_at_fork(after_in_child=lambda: _random.seed(secrets.randbits(128)))
_floor = 0
"""The millisecond that no id of this process sorts before."""


def new_id(at: datetime) -> str:
    """Return a new UUIDv7 for the instant; ids made in one process within one millisecond keep their order.

    Raises ValueError when the instant has no time zone.
    """
    return new_ids(at, 1)[0]


def new_ids(at: datetime, count: int) -> list[str]:
    """Return so many of what `new_id` gives, in their order."""
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone; give an aware datetime in UTC")
    head = f"{max(_floor, int(at.timestamp() * 1000)):012x}"
    begin, numbers, bits = f"{head[:8]}-{head[8:]}-7", itertools.islice(_counter, count), _random.getrandbits
    return [  # the number: 12 bits in rand_a, 14 at the head of rand_b
        f"{begin}{number >> 14 & 0xFFF:03x}-{0x8000 | number & 0x3FFF:04x}-{bits(48):012x}" for number in numbers
    ]


def not_before(milliseconds: int) -> None:
    """Make no id from now on that sorts before this millisecond since 1970: the clock was put back while nobody worked."""
    global _floor
    _floor = max(_floor, milliseconds)


def milliseconds_of(identifier: str) -> int:
    """Return the millisecond since 1970 that an id of ours begins with."""
    return int(identifier[:8] + identifier[9:13], 16)


def first_at(at: datetime) -> str:
    """Return the text that sorts before every id made at the instant or later, and after those made before it."""
    head = f"{(at - EPOCH) // MILLISECOND:012x}"
    return f"{head[:8]}-{head[8:]}"


def bounded(text: str, most: int = 200) -> str:
    """Return a key as it is, or one that is too long for its column as its beginning and a fingerprint of all of it."""
    return text if len(text) <= most else f"{text[: most - 33]}:{fingerprint(text).hex()}"


def fingerprint(*parts: str) -> bytes:
    """Return 16 bytes that stand for the parts together; the same parts, the same bytes."""
    return blake2b("\x1f".join(parts).encode(), digest_size=16).digest()


PLACE = 4
"""Bytes of a fact that say where it stands beside others; the rest is its fingerprint."""
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})")
_NUMBER = re.compile(r"[0-9]+")


def fact(source: str, key: str) -> bytes:
    """Return the 20 bytes under which a fact that a source tells under a key is known: its place, then its fingerprint.

    The place is what most sources count up, so that what is told together stands together in an index, however full that is: the time
    in a UUIDv7, an ISO 8601 time to the second, else the last number in the key. It only has to be the same for the same key.
    """
    return (_place(key) & 0xFFFFFFFF).to_bytes(PLACE) + fingerprint(source, key)


def _place(key: str) -> int:
    if key[-22:-21] == "7" and key[-13:-12] == "-" == key[-28:-27]:
        try:
            return int(key[-36:-28] + key[-27:-23], 16)
        except ValueError:
            pass
    if "T" in key and (time := _TIME.search(key)):
        return int("".join(time.groups()))
    numbers = _NUMBER.findall(key)
    return int(numbers[-1][-10:]) if numbers else 0
