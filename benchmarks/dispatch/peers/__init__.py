"""The peers: each does the same durable job with its own queue, as its documentation says to.

Every module here is called as `python -m benchmarks.dispatch.peers.NAME fill COUNT` and `… recorded`, and loaded by the worker's
own command. Where the queue is, is said by `BENCH_QUEUE`: an address of Redis or PostgreSQL that syncs every write.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.dispatch import jobs

QUEUE = "BENCH_QUEUE"
HERE = __name__


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer: what it needs, the module that fills its queue, and its worker's whole command."""

    name: str
    service: Literal["redis", "postgres"]
    module: str
    command: tuple[str, ...]


def _script(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _peers() -> tuple[Peer, ...]:
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR")
    dramatiq = (_script("dramatiq"), f"{HERE}.dramatiq_redis", "--processes", "1", "--threads", "8")
    celery = (_script("celery"), "-A", f"{HERE}.celery_redis", "worker", "-c", "1", *quiet)
    return (
        Peer("dramatiq", "redis", f"{HERE}.dramatiq_redis", dramatiq),
        Peer("celery", "redis", f"{HERE}.celery_redis", celery),
        Peer("procrastinate", "postgres", f"{HERE}.procrastinate_pg", _work("procrastinate_pg")),
        Peer("dbos", "postgres", f"{HERE}.dbos_pg", _work("dbos_pg")),
    )


def _work(module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"{HERE}.{module}", "work")


PEERS = _peers()


def queue() -> str:
    """Return the address of the queue's service."""
    return os.environ[QUEUE]


def answer(fill: Callable[[Sequence[str]], object], recorded: Callable[[], int | None]) -> None:
    """Do what the command line asks; print one line of JSON."""
    what, *count = sys.argv[1:]
    if what == "fill":
        fill([jobs.event(number).decode() for number in range(int(count[0]))])
        print(json.dumps({"messages": int(count[0])}))
    else:
        print(json.dumps({"recorded": recorded()}))
