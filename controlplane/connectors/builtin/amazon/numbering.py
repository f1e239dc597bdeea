"""Numbers of the messages of feeds: one for each time that a write goes with a feed, kept before the feed is begun."""

from __future__ import annotations

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

    def take(self, request: Write) -> int:
        """Return the number by which a message is known from now on: another than that of any feed that it went with before."""
        return spoken(self._numbers.take(SERIES, _key(request, len(self._used(request)))))

    def use(self, request: Write) -> None:
        """Note that a feed may be begun with it from now on."""
        self._numbers.use(SERIES, _key(request, len(self._used(request))))

    def last(self, request: Write) -> Number | None:
        """Return the number that it went with a feed by last; None where it went with none."""
        used = self._used(request) if self.kept else []
        return used[-1] if used else None

    def _used(self, request: Write) -> list[Number]:
        used: list[Number] = []
        while (number := self._numbers.find(SERIES, _key(request, len(used)))) and number.used_at:
            used.append(number)
        return used


def spoken(number: Number) -> int:
    """Return a number as it is told to Amazon."""
    return (number.value - 1) % LARGEST + 1


def _key(request: Write, at: int) -> str:
    name = request.idempotency_key
    short = name if len(name) <= LONGEST else blake2b(name.encode(), digest_size=24).hexdigest()
    return f"{short}#{at}"
