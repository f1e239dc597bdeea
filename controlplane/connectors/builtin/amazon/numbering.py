"""Numbers of the messages of feeds: one for each time that a write goes with a feed, kept before the feed is begun."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from controlplane.connectors.contract import Context, NoNumbers, Number, Write

SERIES = "feed"
LARGEST = 2**31 - 1
"""What Amazon takes as a message's number at most."""
LONGEST = 190
"""Letters of a key that are kept as they are."""


class Numbering:
    """Numbers of one system's messages."""

    def __init__(self, context: Context) -> None:
        self._numbers = context.numbers

    @property
    def kept(self) -> bool:
        """Whether there is a store to keep numbers in; without one no feed can be told from another, and none is sent."""
        return not isinstance(self._numbers, NoNumbers)

    def take(self, requests: Sequence[Write]) -> list[int]:
        """Return the numbers by which messages are known from now on: others than those of any feed that they went with before."""
        return [spoken(one) for one in self._numbers.take_all(SERIES, self._next(requests))]

    def use(self, requests: Sequence[Write]) -> None:
        """Note that a feed may be begun with them from now on."""
        self._numbers.use_all(SERIES, self._next(requests))

    def last(self, request: Write) -> Number | None:
        """Return the number that it went with a feed by last; None where it went with none."""
        return self._used([request])[0][1] if self.kept else None

    def _next(self, requests: Sequence[Write]) -> list[str]:
        used = self._used(requests)
        return [_key(request, count) for request, (count, _) in zip(requests, used, strict=True)]

    def _used(self, requests: Sequence[Write]) -> list[tuple[int, Number | None]]:
        """Return of each how often it went with a feed, and the number of the last time."""
        told: list[tuple[int, Number | None]] = [(0, None)] * len(requests)
        open_, at = list(range(len(requests))), 0
        while open_:
            found = self._numbers.find_all(SERIES, [_key(requests[place], at) for place in open_])
            used = {place: found.get(_key(requests[place], at)) for place in open_}
            open_ = [place for place, number in used.items() if number and number.used_at]
            at += 1
            for place in open_:
                told[place] = (at, used[place])
        return told


def spoken(number: Number) -> int:
    """Return a number as it is told to Amazon."""
    return (number.value - 1) % LARGEST + 1


def _key(request: Write, at: int) -> str:
    name = request.idempotency_key
    short = name if len(name) <= LONGEST else blake2b(name.encode(), digest_size=24).hexdigest()
    return f"{short}#{at}"
