"""`/metrics` with 5,000 series, asked over one connection that is kept open: as Prometheus asks (gzip), and as plain text."""

import gzip
import http.client
import time
from collections.abc import Sequence
from functools import partial

import numpy as np

from benchmarks.dispatch import fill
from benchmarks.dispatch.bench import Bench
from benchmarks.dispatch.processes import module
from benchmarks.dispatch.readings import Reading, Turn, Values
from benchmarks.dispatch.services import free_port

NAME = "metrics"
SERIES = 5_000
SECONDS = 4.0
OURS = "trueup"


def run(bench: Bench) -> Sequence[Reading]:
    turns = [Turn(OURS, kind, partial(_measured, bench, kind)) for kind in bench.stores.kinds]
    return bench.in_turns(NAME, turns)


def _measured(bench: Bench, kind: str, _number: int) -> Values:
    with bench.database(kind) as url:
        fill.samples(url, SERIES)
        environment = bench.environment(url, TRUEUP_PORT=str(free_port()))
        with bench.serving(module("ours", "serve"), environment) as server:
            plain = _asked(server, {})
            return _asked(server, {"Accept-Encoding": "gzip"}) | {"plain_p50_ms": plain["p50_ms"], "kb": plain["kb"]}


def _asked(server: dict[str, str], headers: dict[str, str]) -> Values:
    """Ask for some seconds, a pause between; a body that has to be made anew shows in the slowest answer."""
    connection = http.client.HTTPConnection("127.0.0.1", int(server["port"]), timeout=30)
    took, body = [], b""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        began = time.perf_counter()
        connection.request("GET", "/metrics", headers=headers | {"Authorization": f"Bearer {server['token']}"})
        body = connection.getresponse().read()
        took.append((time.perf_counter() - began) * 1e3)
        time.sleep(0.01)
    connection.close()
    body = gzip.decompress(body) if headers else body
    series = sum(line.startswith(b"trueup_bench{") for line in body.splitlines())
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
