"""Bring up a system that somebody else wrote, by the script that lies beside the repository, on ports of its own."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("TRUEUP_SHARED") or Path(__file__).parents[3].parent / "shared")
PATIENCE = 840  # seconds for what is compiled from source on a slow machine


def free_ports(count: int) -> list[int]:
    """Return so many ports that nobody holds."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def brought_up(script: str, work: Path, names: tuple[str, ...], **environment: str) -> Iterator[dict[str, int]]:
    """Run `script` of the folder `real` until the end of the block; give the port that each name of `names` was set to.

    Skips where the script is not there, or cannot bring it up: both lie outside of the repository, and the reason is printed.
    """
    path = SHARED / "real" / script
    if not path.exists():
        pytest.skip(f"no {path}: set TRUEUP_SHARED to the folder that holds real/{script}")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    told = os.environ | {name: str(port) for name, port in ports.items()} | environment
    try:
        up = subprocess.run(["bash", path, "up", work], env=told, capture_output=True, text=True, timeout=PATIENCE)
        if up.returncode:
            pytest.skip(f"{script} failed (are the package registries reachable?): {up.stderr[-300:]}")
        yield ports
    finally:
        subprocess.run(["bash", path, "down", work], env=told, check=False, timeout=60)
