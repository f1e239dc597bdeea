"""Group commit: requests that come at the same time share one commit, and each is answered after it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Place(Generic[T, R]):
    __slots__ = ("error", "item", "leads", "result", "turn")

    def __init__(self, item: T) -> None:
        self.item = item
        self.turn = threading.Lock()  # held until its turn comes
        self.turn.acquire()
        self.leads = False
        self.result: R | None = None
        self.error: BaseException | None = None


class GroupCommit(Generic[T, R]):
    """Commits what several threads hand in together. The first to come leads; who comes meanwhile waits for the next.

    `commit` takes the items of a group and returns one result for each, after they are committed. When it raises, every
    request of the group is answered with that error: nothing of it is stored.
    """

    def __init__(self, commit: Callable[[Sequence[T]], Sequence[R]], largest: int) -> None:
        self._commit, self._largest = commit, largest
        self._lock = threading.Lock()
        self._waiting: deque[_Place[T, R]] = deque()
        self._led = False
        self.commits = 0
        self.requests = 0

    def waiting(self) -> int:
        """Return how many wait for a commit that has not begun."""
        with self._lock:
            return len(self._waiting)

    def hand_in(self, item: T) -> R:
        """Return what `commit` made of the item, once it is committed."""
        place: _Place[T, R] = _Place(item)
        with self._lock:
            self._waiting.append(place)
            if not self._led:
                self._led = place.leads = True
        if not place.leads:
            place.turn.acquire()
        if place.leads:
            self._lead()
        if place.error is not None:
            raise place.error
        return place.result  # type: ignore[return-value]

    def _lead(self) -> None:
        """Commit one group, in which the leader is the first, and let the first of those who wait lead the next."""
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))]
            self.commits += 1
            self.requests += len(group)
        try:
            results = self._commit([place.item for place in group])
            for place, result in zip(group, results, strict=True):
                place.result = result
        except BaseException as error:  # noqa: BLE001 - it is raised where each of them waits
            for place in group:
                place.error = error
        finally:
            with self._lock:
                heir = self._waiting[0] if self._waiting else None
                self._led = heir is not None
                if heir is not None:
                    heir.leads = True
            for place in group[1:]:
                place.turn.release()
            if heir is not None:
                heir.turn.release()
