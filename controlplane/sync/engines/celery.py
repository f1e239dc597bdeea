"""Celery as an engine, the plane's side: it asks workers to look at a target; losing or doubling any task changes nothing.

What is owed stands in the deliveries; a task (target, shard) only says "look at this target now". The plane asks when something is
owed to a target, and again each second while something is due. So that tasks do not pile up while nobody takes them, a target's
queue is filled up to one task a shard and no further. A task has no ETA and does not expire: an old one is as good as a new one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import structlog
from amqp.exceptions import PreconditionFailed
from celery import Celery
from kombu.entity import Queue
from kombu.messaging import Producer

from controlplane.errors import SettingsError
from controlplane.store import signals
from controlplane.sync.engines.embedded import IDLE, NEW_TARGETS, STOP, Steps
from controlplane.sync.engines.lists import TRANSPORT
from controlplane.sync.engines.sync import Sync

log = structlog.get_logger()
TASK = "trueup.deliver"
PREFIX = "trueup"
PATIENCE = 5.0
"""Seconds that the broker may take to answer the plane."""
APART = 0.02
"""Seconds between two looks at who has to be asked: what is committed meanwhile is found by the task that is under way."""
TROUBLE = 1.0
"""Seconds between two tries to reach a broker that does not answer."""


def celery_app(broker_url: str, prefix: str = PREFIX) -> Celery:
    """Return the Celery application: a queue per target, late acknowledgement, results nowhere."""
    app = Celery("trueup", broker=broker_url, backend=None)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_default_queue=prefix,
        task_default_queue_type="quorum",
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,  # for Flower
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_detect_quorum_queues=True,  # they know no limit that is shared by all consumers of a connection
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=PATIENCE,
        broker_transport_options=_transport(broker_url),
        **({"broker_transport": TRANSPORT} if is_redis(broker_url) else {}),
    )
    return app


def _transport(broker_url: str) -> dict[str, Any]:
    if is_redis(broker_url):
        return {"visibility_timeout": 60}  # a task lasts seconds; what a lost worker held comes back within the minute
    return {"confirm_publish": True}


def is_redis(broker_url: str) -> bool:
    """Say whether the broker is Redis; else it is RabbitMQ."""
    return broker_url.startswith("redis")


def queue_of(target: str, prefix: str = PREFIX) -> str:
    """Return the name of a target's queue."""
    return f"{prefix}.deliver.{target}"


def queue_for(app: Celery, target: str) -> Queue:
    """Return the queue of a target as it is declared: on RabbitMQ a replicated (quorum) one."""
    name = queue_of(target, app.conf.task_default_queue)
    quorum = None if is_redis(app.conf.broker_url) else {"x-queue-type": "quorum"}
    return Queue(name, routing_key=name, queue_arguments=quorum)


def declare(queue: Queue, channel: Any) -> int:
    """Declare a queue; return how many tasks wait in it. Raises SettingsError when it is there and of another type."""
    try:
        return int(queue(channel).queue_declare().message_count)
    except PreconditionFailed as error:
        raise SettingsError(
            f"the queue '{queue.name}' is there already and is no quorum queue ({error.reply_text}); it holds nothing that is "
            f"not in the database: delete it (rabbitmqctl delete_queue {queue.name}), or choose another TRUEUP_QUEUE_PREFIX"
        ) from error


class Sender:
    """Sends tasks over a connection of its own, opened when it is needed. Safe to use from several threads, one at a time."""

    def __init__(self, app: Celery, shards: int) -> None:
        self._app, self._shards = app, shards
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    def ask(self, target: str) -> int:
        """Fill a target's queue up to one task a shard; return how many were sent.

        Raises SettingsError for a queue of the wrong type, and what the transport raises while the broker is away.
        """
        queue = queue_for(self._app, target)
        with self._lock:
            try:
                producer = self._producer = self._producer or self._connected()
                waiting = declare(queue, producer.channel)
                for shard in range(waiting, self._shards):
                    self._app.send_task(
                        TASK, [target, shard], queue=queue, producer=producer, retry=False, confirm_timeout=PATIENCE
                    )
                return max(0, self._shards - waiting)
            except Exception:
                self._close()
                raise

    def _connected(self) -> Producer:
        conf = self._app.conf
        limits = (
            ("socket_timeout", "socket_connect_timeout")
            if is_redis(conf.broker_url)
            else ("read_timeout", "write_timeout")
        )
        options = {**conf.broker_transport_options, **dict.fromkeys(limits, 2 * PATIENCE)}
        connection = self._app.connection_for_write(heartbeat=0, transport_options=options)
        try:
            return Producer(connection.channel())
        except Exception:
            connection.release()
            raise

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(Exception):  # a connection that broke cannot be closed in order
                producer.channel.connection.client.release()


class Rung:
    """Targets that something was committed for. Safe to use from several threads."""

    def __init__(self, sync: Sync) -> None:
        self._signals = sync.store.signals
        self._lock = threading.Lock()
        self._targets: set[str] = set()
        self._ends: dict[str, Callable[[], None]] = {}
        self.bell = threading.Event()

    def listen(self, targets: Iterable[str]) -> None:
        """Hear from now on what is committed for these targets, too."""
        for target in targets:
            if target not in self._ends:
                topic = signals.deliveries(target)
                self._ends[target] = self._signals.subscribe(topic, lambda target=target: self.add([target]))  # type: ignore[misc]

    def add(self, targets: Iterable[str]) -> None:
        """Note targets that have to be asked for."""
        with self._lock:
            self._targets.update(targets)
        self.bell.set()

    def take(self) -> set[str]:
        """Return those noted since the last time."""
        self.bell.clear()
        with self._lock:
            taken, self._targets = self._targets, set()
        return taken

    def close(self) -> None:
        """Hear nothing more."""
        for end in self._ends.values():
            end()


class CeleryEngine:
    """Translates and processes in this process, and leaves delivering to the workers."""

    def __init__(self, sync: Sync, broker_url: str, prefix: str = PREFIX, shards: int = 2) -> None:
        self.sync = sync
        self.app = celery_app(broker_url, prefix)
        self._sender = Sender(self.app, shards)
        self._steps, self._rung = Steps(sync), Rung(sync)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ask-workers", daemon=True)
        self._trouble = ""

    def start(self) -> None:
        """Start the threads. Returns at once, whether or not the broker answers."""
        self.sync.store.start()
        self._steps.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop the threads; workers stop by themselves."""
        self._stop.set()
        self._rung.bell.set()
        self._steps.stop()
        self._thread.join(timeout=STOP)
        self._rung.close()
        self.app.close()

    def _run(self) -> None:
        clock = self.sync.clock
        looked = listened = clock.stopwatch() - NEW_TARGETS / clock.pace
        while not self._stop.is_set():
            try:
                now = clock.stopwatch()
                if (now - listened) * clock.pace >= NEW_TARGETS:
                    listened = now
                    self._rung.listen(self.sync.targets())
                if (now - looked) * clock.pace >= IDLE:
                    looked = now
                    self._rung.add(target for target in self.sync.targets() if self.sync.is_due(target))
            except Exception as error:  # noqa: BLE001 - the database is away: what was rung is asked for nevertheless
                log.warning("it cannot be seen what is due; looking again", error=str(error))
            self._ask(self._rung.take())
            self._stop.wait(APART)
            self._rung.bell.wait(IDLE)
        self._sender.close()

    def _ask(self, targets: set[str]) -> None:
        """Ask for each target. What the broker does not take is asked for again, a second later."""
        for target in sorted(targets):
            try:
                self._sender.ask(target)
            except SettingsError as error:
                self._told(f"nobody can be asked to deliver to {target}", str(error))
            except Exception as error:  # noqa: BLE001 - each transport has errors of its own
                self._told("the broker is away; what is owed waits in the database", str(error) or repr(error))
                self._rung.add(targets)
                self._stop.wait(TROUBLE)
                return
            else:
                self._trouble = ""
            targets.discard(target)
            if self._stop.is_set():
                return

    def _told(self, what: str, error: str) -> None:
        """Log trouble when it begins, not each second that it lasts."""
        if what != self._trouble:
            log.error(what, error=error)
        self._trouble = what
