"""What makes time pass: the agenda and the webhooks, in order; by threads on the wall clock, or by `advance`."""

import threading
from collections.abc import Callable
from datetime import datetime

from controlplane.sandbox.actors import Actors
from controlplane.sandbox.clock import SteppedClock, iso_ms
from controlplane.sandbox.records import Outgoing
from controlplane.sandbox.world import World

TICK = 0.2
DOWN_PAUSE = 15.0


class Engine:
    """Moves one world. Webhooks leave while the world is unlocked, for the plane may call back before it answers."""

    def __init__(self, world: World, actors: Actors) -> None:
        self.world, self.actors = world, actors
        self._stop = threading.Event()
        self._turn = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to move with the wall clock; a stepped world waits to be advanced."""
        if self.world.clock.stepped:
            return
        with self.world.transaction():
            self.world.agenda.postpone(self.world.clock.now())
        self._threads = [
            threading.Thread(target=self._live, args=(step,), daemon=True) for step in (self._act, self._tell)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads and put everything on disk."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=12)
        with self.world.lock:
            self.world.outbox.close()
            self.world.store.close()

    def _live(self, step: Callable[[datetime], bool]) -> None:
        while not self._stop.wait(TICK):
            while not self._stop.is_set() and step(self.world.clock.now()):
                pass

    def advance(self, clock: SteppedClock, to: datetime) -> dict[str, object]:
        """Let everything due up to `to` happen, each at its own instant; answers now, next_at, webhooks_pending."""
        with self._turn:
            while True:
                with self.world.lock:
                    due = self._next_due()
                    if due is None or due > to:
                        clock.move(to)
                        self.world.store.commit()
                        return self.standing()
                    clock.move(due)
                    happened = self._act_locked(due)
                if not happened:
                    self._tell(due)

    def standing(self) -> dict[str, object]:
        """Where time stands. Call with the world locked."""
        due = self._next_due()
        return {
            "now": iso_ms(self.world.clock.now()),
            "next_at": iso_ms(due) if due else None,
            "webhooks_pending": len(self.world.outbox),
        }

    def _next_due(self) -> datetime | None:
        return min((at for at in (self.world.agenda.next_at(), self.world.outbox.next_at()) if at), default=None)

    def _act_locked(self, until: datetime) -> bool:
        event = self.world.agenda.pop(until)
        if event is not None:
            self.actors.run(event)
        return event is not None

    def _act(self, until: datetime) -> bool:
        with self.world.transaction():
            return self._act_locked(until)

    def _tell(self, until: datetime) -> bool:
        entries = self._take(until)
        if not entries:
            return False
        delivered = self.world.outbox.send(entries)
        with self.world.lock:
            for entry, done in zip(entries, delivered, strict=True):
                self.world.outbox.settle(entry, done)
            if not self.world.clock.stepped:
                self.world.store.commit()
        return True

    def _take(self, until: datetime) -> list[Outgoing]:
        with self.world.lock:
            while entries := self.world.outbox.take(until):
                down = [entry for entry in entries if self.world.faults.is_down(entry.system)]
                for entry in down:
                    self.world.outbox.hold(entry, DOWN_PAUSE)
                if len(down) < len(entries):
                    return [entry for entry in entries if entry not in down]
            return []
