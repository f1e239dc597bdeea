"""What is due: events in order of time, then of entry; kept on a shelf so that a restart goes on with them."""

import heapq
from datetime import datetime
from typing import Any

from controlplane.sandbox.records import Event, Numbers
from controlplane.sandbox.store import Shelf


class Counters:
    """Named counters that survive a restart: ids and stream positions."""

    def __init__(self, shelf: Shelf[Numbers]) -> None:
        self._shelf = shelf
        self._row = shelf.get("numbers") or Numbers()

    def next(self, name: str) -> int:
        """1, 2, 3 … for each name."""
        value = self._row.values[name] = self._row.values.get(name, 0) + 1
        self._shelf.put("numbers", self._row)
        return value

    def last(self, name: str) -> int:
        """The number last given out, 0 when none was."""
        return self._row.values.get(name, 0)


class Agenda:
    """The queue of everything that will happen by itself."""

    def __init__(self, shelf: Shelf[Event], counters: Counters) -> None:
        self._shelf, self._counters = shelf, counters
        self._heap = [(event.due, event.id) for event in shelf]
        heapq.heapify(self._heap)

    def __len__(self) -> int:
        return len(self._shelf)

    def add(self, due: datetime, kind: str, **data: Any) -> None:
        """Something of `kind` happens at `due`."""
        event = Event(id=self._counters.next("event"), due=due, kind=kind, data=data)
        self._shelf.put(str(event.id), event)
        heapq.heappush(self._heap, (due, event.id))

    def next_at(self) -> datetime | None:
        """When the earliest event is due, or None."""
        return self._heap[0][0] if self._heap else None

    def pop(self, until: datetime) -> Event | None:
        """The earliest event due at or before `until`, taken off the agenda."""
        if not self._heap or self._heap[0][0] > until:
            return None
        _, number = heapq.heappop(self._heap)
        event = self._shelf[str(number)]
        self._shelf.drop(str(number))
        return event

    def postpone(self, earliest: datetime) -> None:
        """Nothing stays due before `earliest`: after a long stop the past does not come in one burst."""
        for event in [event for event in self._shelf if event.due < earliest]:
            event.due = earliest
            self._shelf.put(str(event.id), event)
        self._heap = [(event.due, event.id) for event in self._shelf]
        heapq.heapify(self._heap)
