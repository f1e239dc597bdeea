"""A sandbox on a free port, stepped from a fixed moment; quiet unless the test asks for traffic."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from controlplane.api.serving import running
from controlplane.sandbox.app import Sandbox, build
from controlplane.sandbox.clock import SteppedClock
from controlplane.sandbox.scenario import read_scenario
from tests.controlplane.sandbox.client import Client, Listener

START = datetime(2026, 11, 27, 6, tzinfo=UTC)
QUIET = {
    "minutes": 240,
    "retailer": {"skus": 8, "stock": [40, 40], "store_stock": [20, 20]},
    "actors": {
        "customers": {"orders_per_minute": 0},
        "stores": {"sales_per_minute": 0},
        "receipts": {"per_hour": 0},
        "returns": {"share": 0},
        "warehouse": {"pick_seconds": [60, 60], "ship_seconds": [60, 60], "split_share": 0},
    },
}


def quiet(**changes: Any) -> dict[str, Any]:
    """The quiet scenario with some actors or other parts replaced."""
    actors = QUIET["actors"] | changes.pop("actors", {})  # type: ignore[operator]
    return QUIET | {"actors": actors} | changes


@pytest.fixture
def listener() -> Iterator[Listener]:
    heard = Listener()
    with heard.listening():
        yield heard


@pytest.fixture
def start(tmp_path: Path, listener: Listener) -> Iterator[Callable[..., Client]]:
    """Starts sandboxes: `start(scenario=…, seed=…, home=…)`."""
    with ExitStack() as stack:

        def go(scenario: dict[str, Any] | None = None, seed: int = 7, home: Path | None = None) -> Client:
            folder = home or tmp_path / "home"
            sandbox = build(
                folder, SteppedClock(START, 0.001), read_scenario(scenario or quiet()), seed=seed, plane=listener.url
            )
            return Client(serve(sandbox, stack), folder)

        yield go


def serve(sandbox: Sandbox, stack: ExitStack) -> str:
    """Run a sandbox's server until the stack is closed; answers its address."""
    server = sandbox.server(0)
    stack.callback(sandbox.engine.stop)
    stack.enter_context(running(server, "sandbox"))
    return f"http://127.0.0.1:{server.effective_port}"


@pytest.fixture
def sandbox(start: Callable[..., Client]) -> Client:
    """A quiet stepped sandbox: eight articles, 40 pieces each in the warehouse, nobody acts by himself."""
    return start()
