"""Celery as an engine: a task is (target), bounded, without ETA; losing or doubling any task changes nothing.

What is owed stands in the deliveries; a task only says "look at this target now". The plane's ticker enqueues one per
target and second, and a worker that gets it claims a batch the same way a thread of the embedded engine does.
"""

from __future__ import annotations

from typing import Any

from celery import Celery

from controlplane.sync.delivery import next_due
from controlplane.sync.engines.embedded import EmbeddedEngine
from controlplane.sync.engines.sync import Sync

TASK = "trueup.deliver"


def celery_app(broker_url: str) -> Celery:
    """Return the Celery application; a queue per target, late acknowledgement, results nowhere."""
    app = Celery("trueup", broker=broker_url, backend=None)
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        task_default_queue="trueup",
    )
    return app


def queue_of(target: str) -> str:
    """Return the name of a target's queue."""
    return f"trueup.deliver.{target}"


def register(app: Celery, sync: Sync) -> None:
    """Give the application its one task."""

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def deliver(target: str) -> int:
        return sync.deliver(target)


def enqueue(app: Celery, target: str) -> Any:
    """Ask some worker to look at a target; the message is forgotten when nobody takes it within a few seconds."""
    return app.send_task(TASK, args=[target], queue=queue_of(target), expires=5)


class CeleryEngine:
    """The plane's side of it: translates and processes here, and leaves delivering to the workers."""

    def __init__(self, sync: Sync, broker_url: str) -> None:
        self.embedded = EmbeddedEngine(sync, deliver=lambda target: self._ask(target))
        self.app = celery_app(broker_url)

    def _ask(self, target: str) -> int:
        with self.embedded.sync.store.read() as connection:
            due = next_due(connection, target)
        if due is not None and due <= self.embedded.sync.clock.now():
            enqueue(self.app, target)
        return 0

    def start(self) -> None:
        """Start the threads."""
        self.embedded.start()

    def stop(self) -> None:
        """Stop the threads; workers stop by themselves."""
        self.embedded.stop()
        self.app.close()
