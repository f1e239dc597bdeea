"""The sandbox retailer as a process of its own, moved by its control API."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Self

import httpx
import yaml

from controlplane.scenarios.judge.facts import instant
from controlplane.scenarios.scenario import Scenario, ScenarioError

CONTROL = {"X-Sandbox": "control"}
PAGE = 5000
PATIENCE = 300.0
"""Wall seconds that one advance may take: it waits for every webhook that the plane answers."""
REFUSED = 2
"""The sandbox's exit code for a scenario that it cannot play."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the retailer's time stands."""

    now: datetime
    next_at: datetime | None
    pending: int
    """Webhooks not yet delivered."""


class Retailer:
    """A sandbox process and a client of its control API. Use as a context manager; it stops the process."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: IO[str]) -> None:
        self.url = url
        self._process = process
        self._log = log
        self._client = httpx.Client(base_url=f"{url}/control", headers=CONTROL, timeout=PATIENCE, trust_env=False)

    @classmethod
    def start(cls, home: Path, scenario: Scenario, seed: int, plane_url: str, pace: float) -> Self:
        """Start the process on a free port. Raises ScenarioError with its words when it refuses the scenario."""
        home.mkdir(parents=True, exist_ok=True)
        file = home / "scenario.yaml"
        file.write_text(yaml.safe_dump(scenario.played(), sort_keys=False), encoding="utf-8")
        log = (home / "sandbox.log").open("w+", encoding="utf-8")
        command = [
            sys.executable, "-m", "controlplane.sandbox", "--port", "0", "--home", str(home), "--plane", plane_url,
            "--with-parent", "--stepped", "--start", scenario.start.isoformat(), "--scenario", str(file), "--seed", str(seed),
            "--pace", str(pace),
        ]  # fmt: skip
        process = subprocess.Popen(  # noqa: S603 - our own module, by the interpreter that runs us
            command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True,
            start_new_session=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        said = process.stdout.readline() if process.stdout else ""
        if "listening on" not in said:
            raise _refusal(process, log, scenario.name)
        return cls(process, said.split("listening on", 1)[1].strip(), log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        stop(self._process)
        self._log.close()

    def advance(self, to: datetime) -> Standing:
        """Let everything up to then happen, webhooks included."""
        answer = self._client.post("/advance", json={"to": to.isoformat()}).raise_for_status().json()
        following = answer["next_at"]
        return Standing(instant(answer["now"]), instant(following) if following else None, answer["webhooks_pending"])

    def truth(self) -> list[dict[str, Any]]:
        """Return every key in everybody's books, now."""
        return list(self._client.get("/truth").raise_for_status().json())

    def catalogue(self) -> list[dict[str, Any]]:
        """Return every article under its names."""
        return list(self._client.get("/catalogue").raise_for_status().json()["items"])

    def pager(self) -> list[dict[str, Any]]:
        """Return all that the incident tool was told."""
        return list(self._client.get("/pager").raise_for_status().json())

    def journal(self) -> list[dict[str, Any]]:
        """Return the whole truth journal."""
        events: list[dict[str, Any]] = []
        after = 0
        while True:
            query = {"after": after, "limit": PAGE}
            page = self._client.get("/journal", params=query).raise_for_status().json()
            if not page["events"]:
                return events
            events += page["events"]
            after = page["next"]


def stop(process: subprocess.Popen[str]) -> None:
    """Ask the process to end, and end it when it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def _refusal(process: subprocess.Popen[str], log: IO[str], name: str) -> ScenarioError:
    stop(process)
    log.seek(0)
    said = log.read().strip() or f"it ended with code {process.returncode} and said nothing"
    log.close()
    if process.returncode == REFUSED:
        return ScenarioError(f"{name}: the sandbox refuses the scenario: {said}")
    return ScenarioError(f"{name}: the sandbox did not start: {said}")
