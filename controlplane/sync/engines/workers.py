"""Celery as an engine, the worker's side: a task opens the same lane as the embedded engine does, for a few seconds at most.

A worker opens at most one lane a shard for one target, so that a target that is slow, or that tasks were doubled for, takes no
more than its places; whoever comes beyond that only makes those who are there look again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import structlog
from celery import Celery, bootsteps
from celery import signals as celery_signals
from celery.worker.consumer import Consumer, Tasks

from controlplane.errors import SettingsError
from controlplane.sync.delivery import Lane
from controlplane.sync.engines.celery import TASK, Sender, declare, queue_for
from controlplane.sync.engines.embedded import NEW_TARGETS, TURNS
from controlplane.sync.engines.lists import UNREADABLE
from controlplane.sync.engines.sync import Sync

log = structlog.get_logger()
SECONDS = 5.0
"""Seconds that one task delivers at most; then the next in the queue has its turn."""
KILLED = 128 + signal.SIGTERM
REFUSALS = {"AccessRefused", "NotAllowed", "AuthenticationError", "NoPermissionError"}
"""Errors of the transports that no waiting mends."""


class OpenLanes:
    """The lanes of one worker. Safe to use from the threads that tasks run in."""

    def __init__(self, sync: Sync, shards: int, sender: Sender | None = None) -> None:
        """`sender`: asks for a target again whose lane was closed for the time being."""
        self._sync, self._shards, self._sender = sync, shards, sender
        self._turns = ThreadPoolExecutor(TURNS, thread_name_prefix="turn")
        self._lock = threading.Lock()
        self._places: dict[str, int] = defaultdict(int)
        self._rung: set[str] = set()
        self._open: dict[Lane, asyncio.AbstractEventLoop] = {}
        self._stopping = False

    def deliver(self, target: str) -> int:
        """Deliver to a target until nothing is due, for some seconds at most; return how many results counted."""
        if not self._enters(target):
            return 0
        counted, clock = 0, self._sync.clock
        began = clock.stopwatch()
        try:
            while True:
                counted += asyncio.run(self._lane(target))
                if (clock.stopwatch() - began) * clock.pace >= SECONDS:
                    self._ask_again(target)
                    return counted
                if not self._was_rung(target):
                    return counted
        finally:
            self._leave(target)

    @property
    def count(self) -> int:
        """How many lanes are open."""
        with self._lock:
            return len(self._open)

    def _enters(self, target: str) -> bool:
        with self._lock:
            if self._stopping:
                return False
            if self._places[target] >= self._shards:
                self._rung.add(target)
                return False
            self._places[target] += 1
            return True

    def _leave(self, target: str) -> None:
        with self._lock:
            self._places[target] -= 1

    def _was_rung(self, target: str) -> bool:
        """Whether somebody came for the target while no place was free, and was sent away."""
        with self._lock:
            rung = target in self._rung and not self._stopping
            self._rung.discard(target)
            return rung

    def _ask_again(self, target: str) -> None:
        if self._sender is None or self._stopping:
            return
        with suppress(Exception):  # the plane asks within a second
            if self._sync.is_due(target):
                self._sender.ask(target)

    async def _lane(self, target: str) -> int:
        lane = Lane(self._sync.delivering, target, self._turns)
        with self._lock:
            self._open[lane] = asyncio.get_running_loop()
            if self._stopping:
                lane.stop()
        try:
            return await lane.run(until_idle=True, seconds=SECONDS)
        finally:
            with self._lock:
                del self._open[lane]

    def stop(self) -> None:
        """Claim nothing more; what is under way comes in and is recorded."""
        with self._lock:
            self._stopping = True
            for lane, loop in self._open.items():
                loop.call_soon_threadsafe(lane.stop)

    def close(self) -> None:
        """Let the threads go."""
        self._turns.shutdown(wait=False, cancel_futures=True)


def register(app: Celery, lanes: OpenLanes) -> None:
    """Give the application its one task."""

    @app.task(name=TASK, shared=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def deliver(target: str, _shard: int = 0) -> int:
        return lanes.deliver(target)


class Lasting(Consumer):  # type: ignore[misc]  # Celery has no types
    """A consumer that outlasts its broker, and leaves out the 28 queues that Celery declares for tasks with an ETA.

    Celery 5.7 closes a lost connection to Redis twice. With a task under way the second time fails for want of the connection's
    parts (AttributeError), as does acknowledging that task later on; Celery knows this for no loss of connection and ends the
    worker. Here it is one: the worker connects anew, and the task is asked for again.
    """

    connection_errors: tuple[type[BaseException], ...]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.connection_errors = (*self.connection_errors, AttributeError)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of a connection that is lost."""
        try:
            super().on_connection_error_after_connected(exc)
        except AttributeError:
            log.debug("the lost connection was closed already", exc_info=True)

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """Return what takes a message for a task; one that is none, though it looks like one, is thrown away and told."""
        take = super().create_task_handler(*args, **options)

        def taken(message: Any) -> None:
            try:
                take(message)
            except (*UNREADABLE, AttributeError) as error:
                log.error(
                    "what lay in a queue is no task and was thrown away; see who else writes to this broker",
                    exc_info=error,
                )
                if not message.acknowledged:
                    message.reject()

        return taken

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        """The steps that are taken."""

        default_steps = [step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step]  # noqa: RUF012


class Targets:
    """The targets that a worker takes tasks for: those of the registry, or those of them that it was started for."""

    def __init__(self, app: Celery, sync: Sync, only: Sequence[str] = ()) -> None:
        self._app, self._sync, self._only = app, sync, set(only)
        self._taken: set[str] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def declare(self) -> list[str]:
        """Declare the queues of all targets, to be consumed from, once the broker answers; return the targets.

        Raises SettingsError for a queue of the wrong type, and when the broker refuses us.
        """
        while True:
            try:
                return self._declare_all()
            except SettingsError:
                raise
            except Exception as error:  # each transport has errors of its own
                if type(error).__name__ in REFUSALS:
                    raise SettingsError(
                        f"TRUEUP_BROKER_URL: the broker refuses us ({error}); correct user, password or virtual host"
                    ) from error
                log.warning("waiting for the broker", error=str(error) or repr(error))
                self._stop.wait(NEW_TARGETS)

    def _declare_all(self) -> list[str]:
        names = self._known()
        for target in names:
            self._declare(target)
        self._app.amqp.queues = [queue_for(self._app, target) for target in names]
        self._taken = set(names)
        return names

    def _known(self) -> list[str]:
        return [target for target in self._sync.targets() if not self._only or target in self._only]

    def _declare(self, target: str) -> None:
        with self._app.connection_for_write() as connection:
            declare(queue_for(self._app, target), connection.channel())

    def follow(self, consumer: Any) -> None:
        """Take tasks for targets that policy adds, too, for as long as the worker lives."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(consumer,), name="new-targets", daemon=True)
            self._thread.start()

    def _run(self, consumer: Any) -> None:
        while not self._stop.wait(NEW_TARGETS):
            try:
                for target in set(self._known()) - self._taken:
                    self._declare(target)
                    self._taken.add(target)
                    consumer.call_soon(self._consume, consumer, target)
            except Exception as error:  # noqa: BLE001 - database or broker are away, or a queue is wrong: the next look tells
                log.warning("it cannot be seen whether there are new targets; looking again", error=str(error))

    def _consume(self, consumer: Any, target: str) -> None:
        queue = self._app.amqp.queues.select_add(queue_for(self._app, target))
        if consumer.task_consumer is not None:  # else the connection is being made anew, and takes it in
            consumer.add_task_queue(queue.name)
        log.info("takes tasks for a new target", target=target)

    def stop(self) -> None:
        """Look for new ones no longer."""
        self._stop.set()


def following(targets: Targets) -> type[bootsteps.StartStopStep]:
    """Return the step of a worker that takes tasks for new targets once it takes tasks at all."""

    class NewTargets(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
        requires = (Tasks,)

        def start(self, consumer: Any) -> None:
            targets.follow(consumer)

    return NewTargets


def run(app: Celery, sync: Sync, shards: int, concurrency: int, only: Sequence[str] = ()) -> int:
    """Work until a signal ends it; return the exit code. Raises SettingsError when the broker has no place for us.

    SIGTERM or SIGINT: no more is claimed, what is under way is recorded. A second one ends the process at once.
    """
    sender = Sender(app, shards)
    lanes, targets = OpenLanes(sync, shards, sender), Targets(app, sync, only)
    register(app, lanes)
    names = targets.declare()
    ends = Ending(lanes)
    celery_signals.worker_shutting_down.connect(ends.begin, weak=False)
    celery_signals.setup_logging.connect(_keep_our_logging, weak=False)
    app.conf.worker_pool = "threads"
    app.conf.worker_consumer = f"{__name__}:{Lasting.__name__}"
    app.steps["consumer"].add(following(targets))
    worker = app.Worker(
        hostname=f"trueup-{os.getpid()}@{socket.gethostname()}", concurrency=concurrency, quiet=True, loglevel="WARNING",
        without_gossip=True, without_mingle=True,
    )  # fmt: skip
    log.info("worker started", worker=worker.hostname, targets=names, concurrency=concurrency, shards=shards)
    try:
        worker.start()
    finally:
        targets.stop()
        lanes.close()
        sender.close()
    log.info("worker stopped", worker=worker.hostname)
    return int(worker.exitcode or 0)


def _keep_our_logging(**_: Any) -> None:
    """Tell Celery that logging is set up: it takes any receiver for that."""


class Ending:
    """How a worker ends."""

    def __init__(self, lanes: OpenLanes) -> None:
        self._begun = threading.Event()
        self._lanes = lanes
        threading.Thread(target=self._end, name="ending", daemon=True).start()

    def begin(self, **_: Any) -> None:
        """Begin to end; called by Celery in its handler of the first signal, where no lock may be waited for."""
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, lambda *_: os._exit(KILLED))
        self._begun.set()

    def _end(self) -> None:
        self._begun.wait()
        log.info("worker stops: what is under way is finished first")
        self._lanes.stop()
