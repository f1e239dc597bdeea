"""The gate before every vendor's API: faults that strike requests, and the hang-up that only a server can do."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, request
from waitress.channel import HTTPChannel
from waitress.task import WSGITask

from controlplane.sandbox.scenario import FaultSpec
from controlplane.sandbox.world import World


class _Task(WSGITask):  # type: ignore[misc]  # waitress ships no types
    """A task whose handler may ask for the connection to be cut."""

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ["sandbox.hang_up"] = self.channel.hang_up
        return environ


class Channel(HTTPChannel):  # type: ignore[misc]  # waitress ships no types
    """waitress's channel, able to close the socket without an answer."""

    task_class = _Task

    def hang_up(self) -> None:
        """Cut the connection; whatever is written afterwards goes nowhere."""
        self.socket.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class Vendor:
    """A system behind the gate, and how it answers when throttled or broken (status → response)."""

    name: str
    throttled: Callable[[], Response]
    broken: Callable[[int], Response]


class Gate:
    """Lets a request through to its system, or does to it what the faults in force demand."""

    def __init__(self, world: World) -> None:
        self.world = world

    def pass_through(self, vendor: Vendor, operations: tuple[str, ...], handle: Callable[[], Response]) -> Response:
        """`operations` are the names a fault may aim at: `read` or `write`, and the fields or records asked for."""
        refused = self._before(vendor, operations)
        if refused is not None:
            return refused
        answer = handle()
        return self._after(vendor, operations) or answer

    def _strike(self, kind: str, vendor: Vendor, operations: tuple[str, ...]) -> FaultSpec | None:
        with self.world.transaction():
            return self.world.faults.strike(kind, vendor.name, operations=operations)

    def _before(self, vendor: Vendor, operations: tuple[str, ...]) -> Response | None:
        if down := self._strike("down", vendor, operations):
            return vendor.broken(503) if down.mode == "503" else hang_up()
        if slow := self._strike("latency", vendor, operations):
            self._wait(slow)
        if self._strike("throttled", vendor, operations):
            with self.world.transaction():
                self.world.journal.write("throttled", system=vendor.name, cause="fault")
            return vendor.throttled()
        if broken := self._strike("error", vendor, operations):
            return vendor.broken(broken.status)
        return None

    def _after(self, vendor: Vendor, operations: tuple[str, ...]) -> Response | None:
        if held := self._strike("timeout_after_effect", vendor, operations):
            self._wait(held, default=30.0)
            return hang_up()
        return hang_up() if self._strike("lost_response", vendor, operations) else None

    def _wait(self, fault: FaultSpec, default: float = 2.0) -> None:
        seconds = default if fault.seconds is None else fault.seconds
        time.sleep(seconds * self.world.clock.pace)


def hang_up() -> Response:
    """Cut the client off; the response is a formality that nobody reads."""
    request.environ["sandbox.hang_up"]()
    return Response(status=502)
