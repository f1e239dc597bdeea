"""`trueup worker` as a process: it answers Prometheus where it is told to, and says so when it cannot."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from controlplane.clock import SystemClock
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis
from controlplane.store import Store
from tests.integration.brokers import RABBITMQ, there

WORKER = [sys.executable, "-c", "from controlplane.cli import main; main()", "worker", "--concurrency", "1"]


def environment(store: Store, home: Path) -> dict[str, str]:
    """A worker's settings: the test's database, and queues of its own at the broker, which nobody else sends tasks to."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("TRUEUP_", "OTEL_"))},
        "TRUEUP_HOME": str(home),
        "TRUEUP_DATABASE_URL": store.engine.url.render_as_string(hide_password=False),
        "TRUEUP_ENGINE": "celery",
        "TRUEUP_BROKER_URL": RABBITMQ,
        "TRUEUP_QUEUE_PREFIX": f"test-{uuid.uuid4().hex[:10]}",
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def asked(process: subprocess.Popen[bytes], url: str) -> str:
    """Ask until the worker answers; give up when it has ended."""
    while process.poll() is None:
        try:
            return httpx.get(url, timeout=5, trust_env=False).text
        except httpx.HTTPError:
            continue
    pytest.fail(f"the worker ended with code {process.returncode}")


def test_a_worker_answers_prometheus_with_what_it_counts_itself(postgresql_store: Store, tmp_path: Path) -> None:
    there(RABBITMQ)
    load_genesis(postgresql_store, SystemClock(), Registry(postgresql_store, SystemClock()), "sandbox")
    port = free_port()
    command = [*WORKER, "--metrics-port", str(port)]
    process = subprocess.Popen(command, env=environment(postgresql_store, tmp_path), stderr=subprocess.DEVNULL)
    try:
        text = asked(process, f"http://127.0.0.1:{port}/metrics")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    families = {family.name: family.samples for family in text_string_to_metric_families(text)}
    assert {"trueup_attempts", "trueup_attempt_seconds", "trueup_delivery_latency_seconds"} <= set(families)
    assert "trueup_queue_depth" not in families, "what is read from rows is told by the plane, once"


def test_a_worker_whose_port_is_taken_says_so_and_does_not_start(postgresql_store: Store, tmp_path: Path) -> None:
    load_genesis(postgresql_store, SystemClock(), Registry(postgresql_store, SystemClock()), "sandbox")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [*WORKER, "--metrics-port", str(port)]
        done = subprocess.run(
            command,
            env=environment(postgresql_store, tmp_path),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode != 0
    assert f"--metrics-port={port}" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
