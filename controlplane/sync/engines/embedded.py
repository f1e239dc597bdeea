"""The embedded engine: translating and processing in a thread each, and a lane for each target on one event loop.

A lane of its own for each target, so that none starves another.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import structlog

from controlplane.store import signals
from controlplane.sync.delivery import Lane
from controlplane.sync.engines.consuming import Consumers
from controlplane.sync.engines.sync import Sync

log = structlog.get_logger()
IDLE = 1.0
"""Seconds after which a step looks again even when nothing was committed that it was told of."""
NEW_TARGETS = 2.0
"""Seconds between two looks for systems that policy added."""
STOP = 15.0
"""Seconds that what is under way may take to come in when the engine stops."""
TURNS = 16
"""Lanes that take a turn with the store at the same time, at most."""


class Step(Protocol):
    """A bounded step of sync."""

    def __call__(self, *, look_first: bool) -> int:
        """Do what waits; return how much it was. `look_first`: nothing has told that something waits."""
        ...


class Steps:
    """Runs the steps before delivery until it is stopped: a thread each, woken by what the step before committed.

    Beside them it attends to the queues that records are taken off.
    """

    def __init__(self, sync: Sync) -> None:
        self.sync = sync
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._consumers = Consumers(sync)

    def start(self) -> None:
        """Start the threads."""
        self._run("translate", self.sync.translate, signals.INTAKE)
        self._run("process", self.sync.process, signals.MESSAGES, tells=True)
        self._run("release", self.sync.release, signals.QUARANTINE)
        self._consumers.start()

    def _run(self, name: str, step: Step, topic: str, *, tells: bool = False) -> None:
        """`tells`: where the step leaves something waiting it rings for itself, so that there is no need to look again."""
        args = (name, step, topic, tells)
        thread = threading.Thread(target=self._loop, args=args, name=f"sync-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _loop(self, name: str, step: Step, topic: str, tells: bool) -> None:
        bell = threading.Event()
        unsubscribe = self.sync.store.signals.subscribe(topic, bell.set)
        while not self._stop.is_set():
            rung = bell.is_set()
            bell.clear()
            try:
                moved = step(look_first=not rung)
            except Exception:
                log.exception("sync step failed; it goes on with the next batch", step=name)
                moved = 0
                self._stop.wait(IDLE)
            if (tells or not moved) and not self._stop.is_set():
                bell.wait(IDLE)
        unsubscribe()

    def stop(self) -> None:
        """Stop after the batches that are under way."""
        self._consumers.stop()
        self._stop.set()
        self.sync.store.wake_all()
        for thread in self._threads:
            thread.join(timeout=STOP)


class Lanes:
    """A lane for each target, on an event loop in a thread of its own."""

    def __init__(self, sync: Sync) -> None:
        self.sync = sync
        self._pool = ThreadPoolExecutor(TURNS, thread_name_prefix="turn")
        self._lanes: dict[str, Lane] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="lanes", daemon=True)

    def start(self) -> None:
        """Start the loop; returns when it runs."""
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Claim nothing more, wait for what is under way, and record it."""
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(timeout=STOP)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _main(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._started.set()
        running: dict[str, asyncio.Task[int]] = {}
        while not self._stopping.is_set():
            for target in await self._targets():
                if target not in running or running[target].done():
                    self._lanes[target] = Lane(self.sync.delivering, target, self._pool)
                    running[target] = asyncio.create_task(self._lane(self._lanes[target]))
            try:
                await asyncio.wait_for(self._stopping.wait(), NEW_TARGETS)
            except TimeoutError:
                continue
        for lane in self._lanes.values():
            lane.stop()
        await asyncio.wait(running.values(), timeout=STOP) if running else None

    async def _targets(self) -> list[str]:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self.sync.targets)
        except Exception:
            log.exception("the targets could not be read; those that are known go on")
            return list(self._lanes)

    async def _lane(self, lane: Lane) -> int:
        try:
            return await lane.run()
        except Exception:
            log.exception("a lane ended; it is opened again", target=lane.target)
            return 0


class EmbeddedEngine:
    """All of sync in this process."""

    def __init__(self, sync: Sync) -> None:
        self.sync = sync
        self._steps, self._lanes = Steps(sync), Lanes(sync)

    def start(self) -> None:
        """Give back what an earlier process had claimed, then start."""
        self.sync.store.start()
        self.sync.recover(restarted=True)
        self._steps.start()
        self._lanes.start()

    def stop(self) -> None:
        """Stop after the batches that are under way."""
        self._steps.stop()
        self._lanes.stop()
