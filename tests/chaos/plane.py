"""A plane as it runs in production: real processes with a home, ports and a database of their own, killed without warning."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.processes import Process, free_port, wait_until

PACK = Path(__file__).with_name("pack")
CLI = "from controlplane.cli import main; main()"
PASSWORD = "correct horse battery"


class Plane:
    """`trueup up` and, with Celery, its workers. What it keeps outlasts every kill: home, database, port."""

    def __init__(
        self,
        home: Path,
        plugins: Path,
        depot_port: int,
        *,
        database_url: str = "",
        broker_url: str = "",
        workers: int = 0,
        environment: Mapping[str, str] | None = None,
        pack: Path = PACK,
    ) -> None:
        """`database_url`: default SQLite in the home. `broker_url`: makes it a plane on Celery, with so many workers.

        `environment`: what its processes are given beside that. `pack`: the policies that it begins with.
        """
        home.mkdir(parents=True, exist_ok=True)
        self.home, self.port = home, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        told = {
            "TRUEUP_HOME": str(home), "TRUEUP_PORT": str(self.port), "TRUEUP_SANDBOX_PORT": str(depot_port),
            "TRUEUP_ADMIN_PASSWORD": PASSWORD, "PYTHONPATH": str(plugins),
            **({"TRUEUP_DATABASE_URL": database_url} if database_url else {}),
            **({"TRUEUP_ENGINE": "celery", "TRUEUP_BROKER_URL": broker_url} if broker_url else {}),
            **(environment or {}),
        }  # fmt: skip
        self.process = self._process("plane", told, "up", "--no-sandbox", "--pack", str(pack))
        self.workers = [self._process(f"worker-{n}", told, "worker") for n in range(1, workers + 1)]
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def _process(self, name: str, environment: Mapping[str, str], *arguments: str) -> Process:
        return Process(name, [sys.executable, "-c", CLI, *arguments], self.home / f"{name}.out", environment)

    @property
    def processes(self) -> list[Process]:
        """The plane itself first, then its workers."""
        return [self.process, *self.workers]

    def start(self, process: Process | None = None, *, wait: bool = True) -> None:
        """Start all of it, or one process of it; `wait` until the plane answers."""
        for one in [process] if process else self.processes:
            one.start()
            if one is self.process and wait:
                one.wait_until(self.answers, "answers")

    def answers(self) -> bool:
        """Whether the plane answers requests."""
        try:
            return self._http.get("/healthz").is_success
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """Stop it in order, the workers first."""
        for process in reversed(self.processes):
            process.stop()

    def kill9(self) -> None:
        """End all of it at once."""
        for process in self.processes:
            process.kill9()

    def close(self) -> None:
        """End it and let go of the connection."""
        self.kill9()
        self._http.close()

    @property
    def token(self) -> str:
        """The command line's token, once the plane has started for the first time."""
        return (self.home / "cli-token").read_text(encoding="ascii").strip()

    def ask(self, resource: str) -> Any:
        """Return the JSON of a page of the API. Raises httpx.HTTPError."""
        answer = self._http.get(f"/api/v1/{resource}", headers={"Authorization": f"Bearer {self.token}"})
        return answer.raise_for_status().json()

    def tell(self, resource: str) -> Any:
        """Ask for something to be done (POST without a body); return the JSON of the answer. Raises httpx.HTTPError."""
        answer = self._http.post(f"/api/v1/{resource}", headers={"Authorization": f"Bearer {self.token}"}, json={})
        return answer.raise_for_status().json()

    def owed(self) -> int:
        """Return how many deliveries are neither done nor waiting for a person."""
        return sum(flow["owed"] for flow in self.ask("flows")["flows"])

    def wait_until(self, done: Callable[[], bool], what: str, seconds: float = 600) -> None:
        """Wait until done. Raises AssertionError with the ends of all logs."""
        try:
            wait_until(done, what, seconds)
        except AssertionError as error:
            ends = "\n".join(f"--- {one.name}\n{one.tail(15)}" for one in self.processes)
            raise AssertionError(f"{error}\n{ends}") from None

    def quiet(self) -> bool:
        """Whether nothing is owed any more: only then can nothing be sent a second time."""
        try:
            return self.owed() == 0
        except httpx.HTTPError:
            return False
