"""Flower, which shows Celery's workers to people, sees ours and what they do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from controlplane.clock import SystemClock
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis
from controlplane.store import Store
from controlplane.sync.engines.celery import TASK
from tests.chaos.processes import free_port, wait_until
from tests.integration.brokers import RABBITMQ, there
from tests.integration.test_worker_metrics import WORKER, environment


@contextmanager
def running(command: list[str], told: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, and end it."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=told, stdout=file, stderr=file)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=60)


def answer(url: str) -> Callable[[], Any]:
    """Return what asks for JSON, and says nothing while nobody answers."""

    def ask() -> Any:
        try:
            got = httpx.get(url, timeout=30, trust_env=False)
        except httpx.HTTPError:
            return None
        return got.json() if got.is_success else None

    return ask


def test_flower_sees_the_workers_and_their_task(postgresql_store: Store, tmp_path: Path) -> None:
    there(RABBITMQ)
    load_genesis(postgresql_store, SystemClock(), Registry(postgresql_store, SystemClock()), "sandbox")
    told = environment(postgresql_store, tmp_path)
    port = free_port()
    flower = [
        sys.executable, "-m", "celery", "--broker", RABBITMQ, "flower", "--address=127.0.0.1", f"--port={port}",
    ]  # fmt: skip
    workers = answer(f"http://127.0.0.1:{port}/api/workers?refresh=1")
    with (
        running(WORKER, told, tmp_path / "worker.log") as worker,
        running(flower, {**told, "FLOWER_UNAUTHENTICATED_API": "true"}, tmp_path / "flower.log"),
    ):
        name = f"trueup-{worker.pid}@"
        wait_until(lambda: any(one.startswith(name) for one in workers() or {}), "Flower lists the worker")
        [mine] = [known for one, known in workers().items() if one.startswith(name)]
        assert TASK in mine["registered"]
        assert all(queue["name"].startswith(told["TRUEUP_QUEUE_PREFIX"]) for queue in mine["active_queues"])
        assert mine["active_queues"], "one for each target system"
