"""The truth journal: append-only, what really happened, for whoever judges the plane."""

from collections import Counter
from typing import Any

from controlplane.sandbox.clock import Clock, iso_ms
from controlplane.sandbox.store import Store


class Journal:
    """Numbered events `{"seq", "at", "kind", …}`; the fields of each kind are listed in docs/sandbox.md."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._seq = store.last_seq()
        self.counts: Counter[str] = Counter()

    def write(self, kind: str, **fields: Any) -> None:
        """Append one event at the present moment; durable at the world's next commit."""
        self._seq += 1
        self.counts[kind] += 1
        self._store.append(self._seq, {"seq": self._seq, "at": iso_ms(self._clock.now()), "kind": kind, **fields})

    def read(self, after: int, limit: int) -> dict[str, Any]:
        """`{"events": […], "next": seq to pass as `after` next time}`."""
        events = self._store.events(after, limit)
        return {"events": events, "next": events[-1]["seq"] if events else after}
