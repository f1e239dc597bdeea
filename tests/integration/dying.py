"""Takes from a queue like a plane, and is killed right after a commit: its records are in the store and not acknowledged.

python -m tests.integration.dying DATABASE_URL HOME BROKER_URL QUEUE COMMITS [stream|nats|kafka]
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from controlplane.store import open_store, signals
from controlplane.sync.engines.consuming import Consumers
from tests.integration.kafka_queue import KafkaQueue
from tests.integration.nats_queue import NatsQueue
from tests.integration.sources import SourceQueue, StreamQueue, Taking

KINDS: dict[str, type[SourceQueue]] = {"": SourceQueue, "stream": StreamQueue, "nats": NatsQueue, "kafka": KafkaQueue}


def main(database_url: str, home: str, broker_url: str, name: str, commits: str, kind: str = "") -> None:
    """Take until so many commits are made, and die before the queue hears of the last one."""
    queue = KINDS[kind](broker_url)
    queue.name = name
    if isinstance(queue, KafkaQueue):
        queue.group = f"plane-{name}"
    taking = Taking(open_store(database_url), Path(home), queue)
    left = [int(commits)]

    def committed() -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    taking.store.signals.subscribe(signals.INTAKE, committed)  # rung by the thread that committed, before it goes on
    Consumers(taking.sync).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
