"""A port for Prometheus, for processes that have no web server of their own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import start_http_server

from controlplane.errors import SettingsError
from controlplane.telemetry.meters import Meters


def serve_meters(meters: Meters, host: str, port: int) -> tuple[Callable[[], None], int]:
    """Answer `/metrics` on the port (0: any free one) to anybody who reaches it; return what ends that, and the port.

    Raises SettingsError when the port cannot be listened on.
    """
    try:
        server, thread = start_http_server(port, addr=host, registry=meters.registry)
    except OSError as error:
        raise SettingsError(
            f"--metrics-port={port}: cannot listen on {host}:{port} ({error.strerror}); give another port, or 0 for none"
        ) from error

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop, server.server_port
