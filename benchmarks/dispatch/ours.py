"""Our own contender: every call into the plane that the benchmark makes stands in this file.

`python -m benchmarks.dispatch.ours prepare | accept COUNT START | deliver | claims TIMES | serve`, each a process of
its own, with the plane's settings in the environment as in production.
"""

import asyncio
import json
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from benchmarks.dispatch import jobs, processes
from controlplane import garbage, serve
from controlplane.settings import load_settings
from controlplane.sync.delivery import Lane
from controlplane.wiring import Plane, build_plane

PACK = Path(__file__).parent / "pack"
ACCEPT = "/api/v1/messages"
"""Where one message is posted."""


def plane() -> Plane:
    """Build the plane that the environment describes, with the benchmark's policies in force."""
    return build_plane(load_settings(), pack=PACK)


def accept(made: Plane, bodies: Sequence[bytes]) -> int:
    """Accept NDJSON bodies one after another, each in one commit; return how many messages were new."""
    return sum(len(made.sync.acceptor.accept(body, batch=True).accepted) for body in bodies)


def deliver(made: Plane, stop: threading.Event) -> None:
    """Run the lane of the benchmark's target, as a worker does, until it is stopped."""
    made.store.start()
    with garbage.start_is_kept():
        asyncio.run(_lane(made, stop))


async def _lane(made: Plane, stop: threading.Event) -> None:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(8) as pool:
        lane = Lane(made.sync.delivering, jobs.TARGET, pool)
        threading.Thread(target=lambda: (stop.wait(), loop.call_soon_threadsafe(lane.stop)), daemon=True).start()
        await lane.run()


def claim(made: Plane) -> int:
    """Claim one request's batch, send nothing; return its size."""
    return sum(map(len, made.sync.delivering.turn(jobs.TARGET, [], 1, capped=False).requests))


# --- what is run as a process -------------------------------------------------------------------------------------


def prepare() -> dict[str, float]:
    """Bring an empty database to the schema and the policies, and leave it as one whole file."""
    made = plane()
    if made.store.is_sqlite:
        with made.store.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    made.close()
    return {"ready": 1}


def measure_accept(count: int, start: int) -> dict[str, float]:
    """Accept NDJSON batches in this process; return the rate."""
    made = plane()
    made.store.start()
    bodies = jobs.batches(start, count)
    with garbage.start_is_kept():
        began = time.perf_counter()
        taken = accept(made, bodies)
        seconds = time.perf_counter() - began
    made.close()
    return {"rate": count / seconds, "messages": taken}


def measure_claims(times: int) -> dict[str, float]:
    """Claim batches of what is due; return the median milliseconds of one, and the process's peak MB."""
    made = plane()
    took = []
    for _ in range(times + 1):
        began = time.perf_counter()
        if not claim(made):
            raise RuntimeError("nothing was due any more; fill in more deliveries or claim less")
        took.append((time.perf_counter() - began) * 1e3)
    made.close()
    return {
        "claim_ms": statistics.median(took[1:]),
        "rss_mb": processes.peak(os.getpid()),
        "messages": jobs.BATCH * times,
    }


def work() -> None:
    """Deliver until SIGTERM."""
    made, stop = plane(), _stopped()
    processes.ready()
    deliver(made, stop)
    made.close()


def serve_plane(engine: bool) -> None:
    """Serve the API as `trueup up` does, without ticker and sandbox; say port and token, and go on until SIGTERM."""
    stop = _stopped()
    with ExitStack() as stack:
        made = plane()
        stack.callback(made.close)
        serve.configure_logging(made.settings)
        serve.seed_people(made)
        serve.serve(stack, made)
        if engine:
            running = serve.make_engine(made)
            running.start()
            stack.callback(running.stop)
        token = (made.settings.home / "cli-token").read_text(encoding="ascii").strip()
        print(json.dumps({"port": made.settings.port, "token": token, "path": ACCEPT}), flush=True)
        stop.wait()


def _stopped() -> threading.Event:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return stop


def main() -> None:
    what, *arguments = sys.argv[1:]
    if what == "deliver":
        work()
    elif what == "serve":
        serve_plane(engine="engine" in arguments)
    else:
        measured = {"prepare": prepare, "accept": measure_accept, "claims": measure_claims}[what]
        print(json.dumps(measured(*map(int, arguments))))


if __name__ == "__main__":
    main()
