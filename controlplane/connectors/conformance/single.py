"""One simulated system by itself, as a process of its own: started, told what happens there, asked what it knows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx

from controlplane.connectors.conformance.process import Process


class Single:
    """A system of `controlplane.sandbox.single`."""

    def __init__(self, name: str, folder: Path) -> None:
        self._process = Process([sys.executable, "-m", "controlplane.sandbox.single", name], folder / f"{name}.log")
        self.url = self._process.ready("listens at").rpartition(" ")[2]
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=20)

    def do(self, what: str, **given: Any) -> Any:
        """Have something happen; return what its model returns."""
        return self._http.post("/_control", json={"do": what, "with": given}).raise_for_status().json()["done"]

    def known(self, what: str) -> Any:
        """Return what the system knows of something."""
        return self._http.get(f"/_control/{what}").raise_for_status().json()["known"]

    def stop(self) -> None:
        """End it."""
        self._http.close()
        self._process.stop()
