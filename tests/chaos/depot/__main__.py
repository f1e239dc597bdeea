"""`python -m tests.chaos.depot --port N --journal FILE`: the depot over HTTP, one thread per connection."""

from __future__ import annotations

import argparse
import json
import select
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.chaos.depot.depot import Call, Depot, Reply
from tests.chaos.depot.faults import Fault
from tests.chaos.depot.journal import Journal

PATIENCE = 60.0
"""Seconds after which a caller that waits for an answer in vain is let go."""


class Server(ThreadingHTTPServer):
    """Listens on loopback."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, depot: Depot) -> None:
        self.depot = depot
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of callers that are killed in the middle of a request; that is what they are here for."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection, kept alive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Stay quiet: the journal has it all."""

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the caller was killed in the middle of its request: nothing was asked
            self.close_connection = True
            return
        _, inlet, *rest = unquote(self.path.partition("?")[0]).split("/", 2)
        ref = rest[0] if rest else ""
        try:
            told = json.loads(body) if body else {}
        except ValueError:
            self._answer(Reply(400, {"error": "the body is not JSON"}))
            return
        if inlet in CONTROL:
            self._answer(CONTROL[inlet](self.server.depot, self.command, told))
            return
        key = self.headers.get("idempotency-key", "")
        self._end(self.server.depot.handle(Call(self.command, inlet, ref, key, told)))

    def _end(self, reply: Reply) -> None:
        if reply.ending == "silence":
            self._wait_for_the_caller()
        if reply.ending in ("silence", "reset"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        else:
            self._answer(reply)

    def _wait_for_the_caller(self) -> None:
        """Wait until the caller hangs up, or sends what nobody asked for."""
        select.select([self.connection], [], [], PATIENCE)

    def _answer(self, reply: Reply) -> None:
        body = b"<html>this is fine" if reply.ending == "garbled" else json.dumps(reply.body).encode()
        self.send_response(reply.status or 500)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


# --- what steers the depot ---


def healthz(depot: Depot, method: str, told: Any) -> Reply:
    return Reply(200, {"pending": depot.pending, "struck": depot.faults.struck})


def faults(depot: Depot, method: str, told: Any) -> Reply:
    """GET lists them, POST orders one, DELETE forgets all."""
    if method == "DELETE":
        depot.faults.clear()
    elif method == "POST":
        try:
            depot.faults.order(Fault.read(told))
        except (TypeError, ValueError) as error:
            return Reply(400, {"error": str(error)})
    return Reply(200, {"faults": depot.faults.told()})


CONTROL: dict[str, Callable[[Depot, str, Any], Reply]] = {"healthz": healthz, "faults": faults}


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the faults that strike with a share")
    given = parser.parse_args()
    journal = Journal(given.journal)
    server = Server(given.port, Depot(journal, given.seed))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.05)
    server.server_close()
    journal.close()


if __name__ == "__main__":
    main()
