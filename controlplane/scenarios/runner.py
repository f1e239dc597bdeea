"""Play a scenario: a plane in a home folder of its own, the sandbox as a process, one clock; then gather the evidence."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import cast

from flask import Flask
from sqlalchemy import event

from controlplane import logs
from controlplane.api.serving import serving
from controlplane.app import create_app
from controlplane.clock import ManualClock, SystemClock
from controlplane.connectors import Connections
from controlplane.jobs import Ticker
from controlplane.scenarios.evidence import comparison, gather
from controlplane.scenarios.judge.facts import Evidence
from controlplane.scenarios.policies import write_pack
from controlplane.scenarios.readings import NaiveDiff, PacedConnections
from controlplane.scenarios.retailer import Retailer
from controlplane.scenarios.scenario import Scenario, ScenarioError
from controlplane.scenarios.shared_clock import Progress, SharedClock
from controlplane.settings import load_settings
from controlplane.wiring import Plane, build_plane

PACE, CALM = 0.05, 0.5
"""Wall seconds for each simulated second of real waiting: where a fault makes somebody wait; else, so that slowness is no outage."""
PULSE = timedelta(seconds=60)
"""How often probes measure: the slice of the service levels."""
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that a scenario is played with."""

    plane: Plane
    retailer: Retailer
    time: SharedClock
    readings: PacedConnections


def play(
    scenario: Scenario,
    seed: int,
    keep: Path | None = None,
    progress: Progress = lambda _: None,
    stop: threading.Event | None = None,
) -> Evidence:
    """Play the scenario to quiet and return the evidence; everything is taken down again, whatever happens.

    `keep`: a folder, new or empty, that the plane's home is left in. `stop`: once it is set, the evidence is of what was
    played until then. Raises ScenarioError when it cannot be played.
    """
    wall = SystemClock()
    started = wall.stopwatch()
    with set_up(scenario, seed, keep, progress, stop) as stage:
        at_start = stage.retailer.truth()
        stage.readings.expect(at_start)
        unrest = stage.time.play()
        return Evidence(
            scenario=scenario.name,
            seed=seed,
            began=scenario.start,
            ended=stage.plane.clock.now(),
            wall_seconds=wall.stopwatch() - started,
            journal=stage.retailer.journal(),
            at_start=at_start,
            at_end=stage.retailer.truth(),
            plane=gather(stage.plane, stage.retailer.pager()),
            unrest=unrest,
            naive=stage.readings.naive.differences,
        )


@contextmanager
def set_up(
    scenario: Scenario,
    seed: int,
    keep: Path | None = None,
    progress: Progress = lambda _: None,
    stop: threading.Event | None = None,
) -> Iterator[Stage]:
    """Bring retailer and plane up on free ports of loopback, at the scenario's first instant; take them down after."""
    with ExitStack() as stack:
        home = (
            _home(keep) if keep else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trueup-scenario-")))
        )
        listening = stack.enter_context(socket.create_server((LOOPBACK, 0)))
        port = int(listening.getsockname()[1])
        address = f"http://{LOOPBACK}:{port}"
        pace = PACE if scenario.waits else CALM
        retailer = stack.enter_context(Retailer.start(home / "sandbox", scenario, seed, address, pace))
        settings = load_settings(
            home=home, host=LOOPBACK, port=port, sandbox_port=int(retailer.url.rsplit(":", 1)[1]),
            database_url="", engine="embedded", admin_password="",
        )  # fmt: skip
        clock = ManualClock(scenario.start, pace)
        told = stack.enter_context((home / "plane.log").open("a", buffering=1))
        stack.enter_context(logs.telling(told))
        stores = scenario.retailer.get("stores")
        articles = retailer.catalogue() if stores != [] else ()
        plane = build_plane(settings, clock, write_pack(home / "policies", scenario.policies, stores, articles))
        stack.callback(plane.close)
        _hasten(plane)
        readings = PacedConnections(plane.connections, clock, scenario.reading.total_seconds(), _naive(plane))
        ticker = Ticker(replace(plane, connections=cast("Connections", readings)), PULSE)
        stack.callback(ticker.stop)
        _serve(stack, create_app(plane, mounts=()), listening)
        time = SharedClock(scenario, plane, ticker, retailer, clock, progress, stop)
        readings.passing = time.pass_by
        yield Stage(plane, retailer, time, readings)


def _naive(plane: Plane) -> NaiveDiff:
    snapshot = plane.registry.snapshot()
    safety = next((rule.spec.safety_stock for rule in snapshot.allocation_rules.values()), 0)
    return NaiveDiff(comparison(snapshot).spec, safety)


def _home(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ScenarioError(f"--keep {folder}: is not empty, and a scenario begins anew; name another folder")
    return folder


def _hasten(plane: Plane) -> None:
    """Do not wait for the disk: the folder lives as long as the run, and no power cut is played."""
    event.listen(plane.store.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    plane.store.close()  # what is open already would go on waiting


def _serve(stack: ExitStack, app: Flask, listening: socket.socket) -> None:
    """Serve the plane's own application on the socket, for the vendors' webhooks."""
    stack.enter_context(serving(app, "scenario-web", sockets=[listening], threads=4))
