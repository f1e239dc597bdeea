"""Celery as an engine: a task is (target, shard), bounded, without ETA; losing or doubling any task changes nothing.

What is owed stands in the deliveries; a task only says "look at this target now". The plane enqueues one for each shard of a
target when something is owed to it, and again each second while something is due; a worker that gets it opens the same lane as
the embedded engine, for a few seconds at most. A shard is a place at a target: as many workers deliver to it at once as it has.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from celery import Celery
from kombu.entity import Queue

from controlplane.store import signals
from controlplane.sync.delivery import Lane
from controlplane.sync.engines.embedded import IDLE, TURNS, Steps
from controlplane.sync.engines.sync import Sync

log = structlog.get_logger()
TASK = "trueup.deliver"
SECONDS = 5.0
"""Of the clock, that one task delivers at most; then the next in the queue has its turn."""
EXPIRES = 10
"""Seconds after which a task that nobody took is forgotten: another has been enqueued since."""
APART = 0.02
"""Seconds between two tasks for one target, at least: what is committed meanwhile is found by the one under way."""


def celery_app(broker_url: str) -> Celery:
    """Return the Celery application; a queue per target, late acknowledgement, results nowhere."""
    app = Celery("trueup", broker=broker_url, backend=None)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_create_missing_queues=True,
        task_default_queue="trueup",
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,  # for Flower
        task_send_sent_event=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport(broker_url),
        worker_detect_quorum_queues=True,
    )
    return app


def _transport(broker_url: str) -> dict[str, Any]:
    if broker_url.startswith("redis"):
        return {"visibility_timeout": 60}  # a task lasts seconds; what a lost worker held comes back within the minute
    return {"confirm_publish": True, "max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 1}


def queue_of(target: str) -> str:
    """Return the name of a target's queue."""
    return f"trueup.deliver.{target}"


def queues(broker_url: str, targets: list[str]) -> list[Queue]:
    """Return the queues of targets: replicated (quorum) queues on RabbitMQ."""
    quorum = {"x-queue-type": "quorum"} if broker_url.startswith(("amqp", "pyamqp")) else None
    return [
        Queue(  # type: ignore[no-untyped-call]
            queue_of(target), routing_key=queue_of(target), queue_arguments=quorum
        )
        for target in targets
    ]


def register(app: Celery, sync: Sync) -> None:
    """Give the application its one task."""
    turns = ThreadPoolExecutor(TURNS, thread_name_prefix="turn")

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def deliver(target: str, shard: int = 0) -> int:
        lane = Lane(sync.delivering, target, turns)
        counted = asyncio.run(lane.run(until_idle=True, seconds=SECONDS))
        log.debug("delivered", target=target, shard=shard, counted=counted)
        return counted


def enqueue(app: Celery, target: str, shard: int = 0) -> Any:
    """Ask some worker to look at a target; forgotten when nobody takes it within a few seconds."""
    queue = next(iter(queues(app.conf.broker_url, [target])))
    return app.send_task(TASK, args=[target, shard], queue=queue, expires=EXPIRES)


class CeleryEngine:
    """The plane's side of it: translates and processes here, and leaves delivering to the workers."""

    def __init__(self, sync: Sync, broker_url: str, shards: int = 2) -> None:
        self.sync, self.shards = sync, shards
        self.app = celery_app(broker_url)
        self._steps = Steps(sync)
        self._stop = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._watch = threading.Thread(target=self._targets, name="targets", daemon=True)

    def start(self) -> None:
        """Start the threads."""
        self.sync.store.listen()
        self._steps.start()
        self._watch.start()

    def _targets(self) -> None:
        while not self._stop.is_set():
            try:
                for target in self.sync.targets():
                    if target not in self._threads:
                        thread = threading.Thread(target=self._ask, args=(target,), name=f"ask-{target}", daemon=True)
                        self._threads[target] = thread
                        thread.start()
            except Exception:
                log.exception("the targets could not be read; those that are known go on")
            self._stop.wait(2 * IDLE)

    def _ask(self, target: str) -> None:
        """Enqueue a task for each shard whenever something may be due to the target."""
        bell = threading.Event()
        unsubscribe = self.sync.store.signals.subscribe(signals.deliveries(target), bell.set)
        while not self._stop.is_set():
            bell.wait(IDLE)
            rung = bell.is_set()
            bell.clear()
            try:
                if rung or self.sync.is_due(target):
                    for shard in range(self.shards):
                        enqueue(self.app, target, shard)
            except Exception as error:  # noqa: BLE001 - the broker or the store is away: the next look asks again
                log.warning("a task could not be enqueued; asking again", target=target, error=str(error))
            self._stop.wait(APART)
        unsubscribe()

    def stop(self) -> None:
        """Stop the threads; workers stop by themselves."""
        self._stop.set()
        self._steps.stop()
        for thread in self._threads.values():
            thread.join(timeout=5)
        self.app.close()
