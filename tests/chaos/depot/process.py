"""The depot as a process of its own, and how a test steers and reads it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.depot.journal import Reading
from tests.chaos.processes import Process, free_port, wait_until


class DepotProcess:
    """A depot over a journal in a folder; started again, it goes on with the same journal and port."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.journal = Reading(folder / "journal.sqlite")
        command = [
            sys.executable, "-m", "tests.chaos.depot", "--port", str(self.port), "--journal", str(self.journal.path),
            "--seed", str(seed),
        ]  # fmt: skip
        self.process = Process("depot", command, folder / "depot.log")
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process.start()
        self.process.wait_until(self._answers, "answers")

    def _answers(self) -> bool:
        try:
            return self._http.get("/healthz").is_success
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """Stop it; effects that were still to come do not come."""
        self.process.stop()

    def close(self) -> None:
        """End it and let go of the connection."""
        self.process.kill9()
        self._http.close()

    def order(self, kind: str, **told: Any) -> None:
        """Order a fault (see `faults.Fault`). Raises ValueError when the depot does not take it."""
        answer = self._http.post("/faults", json={"kind": kind, **told})
        if answer.is_error:
            raise ValueError(answer.json()["error"])

    def clear(self) -> None:
        """Forget all faults."""
        self._http.delete("/faults")

    def struck(self) -> int:
        """Return how often any fault has struck since the start."""
        return int(self._http.get("/healthz").json()["struck"])

    def settle(self) -> None:
        """Wait until no effect of an unanswered request is still to come."""
        wait_until(lambda: self._http.get("/healthz").json()["pending"] == 0, "all late effects have happened")

    def send(self, method: str, path: str, key: str = "", timeout: float = 30, **body: Any) -> httpx.Response:
        """Send one request to an inlet, as any caller would. Raises httpx.TransportError when no answer comes."""
        headers = {"Idempotency-Key": key} if key else {}
        return self._http.request(method, path, headers=headers, json=body or None, timeout=timeout)
