"""From the request to the delivery at 100 messages a second, with the engine in the server's process."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from benchmarks.dispatch import jobs
from benchmarks.dispatch.bench import Bench, until
from benchmarks.dispatch.processes import module
from benchmarks.dispatch.readings import Reading, Turn, Values
from benchmarks.dispatch.services import free_port

NAME = "latency"
RATE = 100
CLIENTS = 16
WARM = 100
"""Messages that are sent before, and not measured."""
ARRIVE = 10.0
FLOOR, OURS = "floor", "trueup"


def run(bench: Bench) -> Sequence[Reading]:
    turns = [
        Turn(who, kind, partial(_measured, bench, kind, who)) for kind in bench.stores.kinds for who in (FLOOR, OURS)
    ]
    return bench.in_turns(NAME, turns)


def _measured(bench: Bench, kind: str, who: str, _number: int) -> Values:
    with bench.database(kind) as url:
        port = str(free_port())
        environment = bench.environment(url, TRUEUP_PORT=port)
        count = WARM + bench.sizes.paced
        delivered = np.frombuffer(bench.times(count).at)
        due_file = bench.folder / "due"
        due = np.frombuffer(jobs.Times(due_file, count).at)
        command = module("floor_server", url, port) if who == FLOOR else module("ours", "serve", "engine")
        with bench.serving(command, environment) as server:
            load = module("load", "pace", server["port"], server["path"], server["token"] or "-", 0, count, CLIENTS)
            bench.ask([*load, str(RATE), str(due_file)], environment)
            until(lambda: np.count_nonzero(delivered) == count, ARRIVE)
        return _percentiles(delivered[WARM:], due[WARM:])


def _percentiles(delivered: np.ndarray, due: np.ndarray) -> Values:
    if not delivered.all():
        raise RuntimeError(
            f"{np.count_nonzero(delivered == 0)} of {len(delivered)} messages were not delivered in time"
        )
    p50, p95, p99 = np.percentile((delivered - due) * 1e3, (50, 95, 99))
    return {"p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99), "messages": len(due)}
