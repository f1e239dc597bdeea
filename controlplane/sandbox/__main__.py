"""`python -m controlplane.sandbox`: run the simulated retailer until SIGTERM or SIGINT."""

import argparse
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from controlplane.sandbox.app import build
from controlplane.sandbox.clock import Clock, LiveClock, SteppedClock, parse_iso
from controlplane.sandbox.scenario import Scenario, ScenarioError, live_default, load_scenario


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m controlplane.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port to listen on, on loopback; 0 takes a free one")
    parser.add_argument(
        "--home", type=Path, required=True, help="folder for secrets, till files and the sandbox's state"
    )
    parser.add_argument(
        "--plane", default="http://127.0.0.1:8700", help="where webhooks go: {plane}/hooks/shop, /hooks/wms"
    )
    parser.add_argument("--seed", type=int, default=1, help="same seed, same retailer; a home keeps its first seed")
    parser.add_argument("--rate", type=float, default=1.0, help="multiplies everybody's traffic")
    parser.add_argument("--scenario", type=Path, help="YAML file: retailer, actors, faults")
    parser.add_argument(
        "--stepped", action="store_true", help="time moves only by POST /control/advance; a fresh world"
    )
    parser.add_argument("--start", help="stepped: the first moment, ISO 8601 (default: the scenario's)")
    parser.add_argument(
        "--pace", type=float, default=0.05, help="stepped: wall seconds per simulated second of waiting"
    )
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started it is gone")
    return parser.parse_args(argv)


def _clock(arguments: argparse.Namespace, scenario: Scenario) -> Clock:
    if not arguments.stepped:
        return LiveClock()
    start = parse_iso(arguments.start) if arguments.start else scenario.start
    return SteppedClock(start or datetime(2026, 11, 27, 6, tzinfo=UTC), arguments.pace)


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 after a clean stop, 2 when the arguments or the scenario are invalid or the port is taken."""
    arguments = _arguments(argv)
    try:
        scenario = load_scenario(arguments.scenario) if arguments.scenario else live_default()
        clock = _clock(arguments, scenario)
    except (ScenarioError, ValueError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 2
    sandbox = build(arguments.home, clock, scenario.scaled(arguments.rate), seed=arguments.seed, plane=arguments.plane)
    try:
        server = sandbox.server(arguments.port)
    except OSError as error:
        print(f"sandbox: port {arguments.port} cannot be used ({error}); choose another with --port", file=sys.stderr)
        sandbox.engine.stop()
        return 2
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    sandbox.engine.start()
    if arguments.with_parent:
        threading.Thread(target=_follow_parent, args=(os.getppid(),), name="parent", daemon=True).start()
    print(f"sandbox: listening on http://127.0.0.1:{server.effective_port}", flush=True)
    try:
        server.run()
    except KeyboardInterrupt:
        print("sandbox: stopping", flush=True)
    finally:
        server.close()
        sandbox.engine.stop()
    return 0


def _follow_parent(parent: int) -> None:
    """A plane that was killed must not leave a retailer behind that keeps its port."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, signal.SIG_IGN)  # once is enough: a second one must not cut the stop short
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
