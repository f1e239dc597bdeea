"""A lane delivers to one target without end: results are recorded as they come in, and what is free is claimed again.

The requests run beside each other on asyncio's executor; turns with the store take place one after another. So results that
come in during a turn share the next one, and what was sent waits to be recorded for about the length of one turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress

import structlog

from controlplane.store import signals
from controlplane.sync.delivery.claim import Claimed
from controlplane.sync.delivery.send import Sent
from controlplane.sync.delivery.turn import Delivering, Turn

log = structlog.get_logger()
MOST = 100
"""Requests at once, as many as a System policy can allow; threads are made as they are needed."""
IDLE = 5.0
"""Seconds of the clock after which a lane looks again on its own, should every signal have been lost."""
RENEW = 1 / 3
"""Of a lease, after which it is renewed."""
TROUBLE = 1.0
"""Seconds between two tries to reach a store that does not answer."""


class Lane:
    """Delivers to one target. Used from one event loop.

    `turns` runs what takes turns with the store, of all lanes; the requests have threads of their own in each lane, so that
    systems that are slow take none from the others.
    """

    def __init__(self, delivering: Delivering, target: str, turns: Executor) -> None:
        self.delivering, self.target, self._turns = delivering, target, turns
        self._senders = ThreadPoolExecutor(MOST, thread_name_prefix=f"send-{target}")
        self._done: list[Sent] = []
        self._running: dict[asyncio.Future[list[Sent]], list[Claimed]] = {}
        self._bell = asyncio.Event()
        self._rung = True
        self._stopping = False
        self._kept_at = 0.0

    async def run(self, *, until_idle: bool = False, seconds: float | None = None) -> int:
        """Deliver until `stop`, until nothing is due (`until_idle`), or for so many seconds; return how many results counted.

        Ends only when what is under way has come in and is recorded.
        """
        loop = asyncio.get_running_loop()
        self._kept_at = loop.time()
        unsubscribe = self.delivering.store.signals.subscribe(
            signals.deliveries(self.target), lambda: _ring_from_outside(loop, self)
        )
        ends = None if seconds is None else loop.time() + seconds
        counted = 0
        try:
            while True:
                if ends is not None and loop.time() >= ends:
                    self._stopping = True
                turn = await self._turn()
                counted += turn.counted
                if not self._running and not self._done and (self._stopping or (until_idle and turn.wait != 0.0)):
                    return counted
                await self._keep()
                room = self._slots() > 0
                if not self._done and not (room and turn.wait == 0.0):
                    await self._pause(turn.wait if room else None)
        finally:
            unsubscribe()
            self._senders.shutdown(wait=False)

    def stop(self) -> None:
        """Claim nothing more; from another thread by `call_soon_threadsafe`."""
        self._stopping = True
        self.ring()

    def ring(self) -> None:
        """Something may be due."""
        self._rung = True
        self._bell.set()

    def _slots(self) -> int:
        return 0 if self._stopping else self.delivering.concurrency(self.target) - len(self._running)

    async def _turn(self) -> Turn:
        slots = self._slots()
        sents, self._done = self._done, []
        self._bell.clear()
        if not sents and slots <= 0:
            return Turn([])
        rung, self._rung = self._rung, False
        loop = asyncio.get_running_loop()
        try:
            turn, sending = await loop.run_in_executor(self._turns, self._take_turn, sents, slots, rung)
        except Exception:
            # results that could not be recorded are kept: the store may come back before their lease ends
            log.exception("a turn of delivery failed; it is taken again", target=self.target)
            self._done = sents + self._done
            self._rung = True
            await asyncio.sleep(TROUBLE * self.delivering.clock.pace)
            return Turn([], wait=0.0) if not self._stopping else Turn([])
        self._rung = self._rung or turn.full  # there may be more: no need to look first
        for request, under_way in zip(turn.requests, sending, strict=True):
            task = asyncio.wrap_future(under_way)
            self._running[task] = request
            task.add_done_callback(self._came_in)
        return turn

    def _take_turn(self, sents: Sequence[Sent], slots: int, rung: bool) -> tuple[Turn, list[Future[list[Sent]]]]:
        """Take a turn and begin with its requests at once, without the way over the event loop."""
        turn = self.delivering.turn(self.target, sents, slots, look_first=not rung)
        return turn, [self._senders.submit(self.delivering.send, self.target, request) for request in turn.requests]

    def _came_in(self, task: asyncio.Future[list[Sent]]) -> None:
        self._running.pop(task)
        error = task.exception()
        if error is not None:  # its lease will run out, and it will be read back
            log.error("a request ended in a way nobody foresaw", target=self.target, exc_info=error)
        else:
            self._done += task.result()
        self._bell.set()

    async def _pause(self, wait: float | None) -> None:
        """Wait for results, a signal, or the time at which something falls due or leases are to be renewed."""
        most = min(IDLE, self._renew())
        seconds = (most if wait is None else min(wait, most)) * self.delivering.clock.pace
        with suppress(TimeoutError):
            await asyncio.wait_for(self._bell.wait(), seconds)

    def _renew(self) -> float:
        return RENEW * self.delivering.lease.total_seconds()

    async def _keep(self) -> None:
        """Renew the leases of what is under way, in good time."""
        loop = asyncio.get_running_loop()
        if not self._running or loop.time() - self._kept_at < self._renew() * self.delivering.clock.pace:
            return
        self._kept_at = loop.time()
        held = [item for request in self._running.values() for item in request]
        try:
            await loop.run_in_executor(self._turns, self.delivering.renew, held)
        except Exception:
            log.exception("leases could not be renewed; they run on", target=self.target)


def _ring_from_outside(loop: asyncio.AbstractEventLoop, lane: Lane) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
        loop.call_soon_threadsafe(lane.ring)
