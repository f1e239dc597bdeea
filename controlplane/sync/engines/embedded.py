"""The embedded engine: threads of this process; each target has its own, so that none starves another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog

from controlplane.sync.engines.sync import Sync

log = structlog.get_logger()
IDLE = 1.0
"""Seconds after which a step looks again even when nothing was committed: retries fall due by time, not by commit."""


class EmbeddedEngine:
    """Runs the steps of sync until it is stopped."""

    def __init__(self, sync: Sync, deliver: Callable[[str], int] | None = None) -> None:
        """`deliver`: what to do instead of sending from here (an engine that hands batches to workers)."""
        self.sync = sync
        self._deliver = deliver
        self._stop = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._pools: dict[str, ThreadPoolExecutor] = {}

    def start(self) -> None:
        """Give back what an earlier process had claimed, then start the threads."""
        self.sync.recover(restarted=True)
        self._run("translate", self.sync.translate)
        self._run("process", self.sync.process)
        self._run("targets", self._new_targets)

    def _run(self, name: str, step: Callable[[], int]) -> None:
        thread = threading.Thread(target=self._loop, args=(name, step), name=f"sync-{name}", daemon=True)
        self._threads[name] = thread
        thread.start()

    def _new_targets(self) -> int:
        """A system that policy adds gets its thread without a restart."""
        for target in self.sync.targets():
            if f"deliver-{target}" not in self._threads:
                self._run(f"deliver-{target}", partial(self._deliver or self._send, target))
        return 0

    def _send(self, target: str) -> int:
        if target not in self._pools:
            size = self.sync.registry.snapshot().systems[target].spec.concurrency
            self._pools[target] = ThreadPoolExecutor(size, thread_name_prefix=f"send-{target}")
        return self.sync.deliver(target, self._pools[target])

    def _loop(self, name: str, step: Callable[[], int]) -> None:
        seen = 0
        while not self._stop.is_set():
            try:
                moved = step()
            except Exception:
                log.exception("sync step failed; it goes on with the next batch", step=name)
                moved = 0
                self._stop.wait(IDLE)
            if not moved:
                seen = self.sync.store.wait_for_change(seen, IDLE)

    def stop(self) -> None:
        """Stop after the batches that are under way."""
        self._stop.set()
        self.sync.store.wake_all()
        for thread in self._threads.values():
            thread.join(timeout=15)
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
