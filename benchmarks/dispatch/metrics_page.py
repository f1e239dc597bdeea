"""`/metrics` with 5,000 series, half of them observations and half this process's own: how long it takes to be answered.

    python -m benchmarks.dispatch.metrics_page

The plane runs in a process of its own and is asked with a service token over one connection that is kept open. A body is made
anew once a second; that shows in the slowest answers, and what the promise is about in the median.
"""

import http.client
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.harness import ROOT

SERIES = 5_000
LATENCY_LINES = 19
"""Lines of one latency histogram: its buckets, the infinite one, sum and count."""


def measured(requests: int = 400, pause: float = 0.01) -> dict[str, float]:
    """Return p50_ms, p95_ms and slowest_ms of so many requests, and what the page holds: series, kb."""
    took, body = samples(requests, pause)
    series = sum(not line.startswith(b"#") for line in body.splitlines())
    if series < SERIES:
        raise RuntimeError(f"/metrics shows {series} of {SERIES} series: {body[:300]!r}")
    p50, p95 = np.percentile(took, (50, 95))
    return {
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "slowest_ms": max(took),
        "series": series,
        "kb": len(body) / 1e3,
    }


def samples(requests: int, pause: float) -> tuple[list[float], bytes]:
    """Ask a plane so many times; return the milliseconds of each answer, and the last body."""
    with tempfile.TemporaryDirectory(prefix="trueup-bench-") as home:
        command = [sys.executable, "-m", "benchmarks.dispatch.metrics_page", "serve", home]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout is not None
        try:
            server = json.loads(process.stdout.readline())
            return _asked(server["port"], server["token"], requests, pause)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
            process.stdout.close()


def _asked(port: int, token: str, requests: int, pause: float) -> tuple[list[float], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    took, body = [], b""
    for _ in range(requests):
        began = time.perf_counter()
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        body = connection.getresponse().read()
        took.append((time.perf_counter() - began) * 1e3)
        time.sleep(pause)
    connection.close()
    return took, body


def serve(home: Path) -> None:
    """Serve a plane with that many series until SIGTERM; say port and token in one line of JSON."""
    from waitress.server import create_server

    from controlplane.access import ensure_admin, ensure_cli_token
    from controlplane.app import create_app
    from controlplane.health.observations import Observation, record
    from controlplane.settings import Settings
    from controlplane.wiring import build_plane

    with ExitStack() as stack:
        plane = build_plane(Settings(home=home, database_url="", engine="embedded"))
        stack.callback(plane.close)
        ensure_admin(plane.store, plane.clock, "correct horse battery")
        ensure_cli_token(plane.store, plane.clock, home / "token")
        now, half = plane.clock.now(), SERIES // 2
        pairs = [{"target": f"target-{n % 50}", "flow": f"flow-{n // 50}"} for n in range(half)]
        with plane.store.write() as connection:
            record(connection, [Observation("queue_depth", now, n / 7, pair) for n, pair in enumerate(pairs)])
        for pair in pairs[: half // LATENCY_LINES + 1]:
            plane.telemetry.meters.delivered(pair["flow"], pair["target"], (0.01, 0.2))
        server = create_server(create_app(plane, mounts=[]), host="127.0.0.1", port=0, threads=8)
        threading.Thread(target=server.run, daemon=True).start()
        told = {"port": server.effective_port, "token": (home / "token").read_text(encoding="ascii").strip()}
        print(json.dumps(told), flush=True)
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        stop.wait()
        server.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(Path(sys.argv[2]))
    else:
        print(json.dumps(measured()))
