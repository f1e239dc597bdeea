"""The floor of end-to-end latency: a bare WSGI application on waitress and bare SQL. `… floor_server URL PORT`.

A request commits its intake, message and delivery and wakes the one thread that claims, delivers and finishes: two commits
lie between the request and the delivery, as few as a queue in a database can do with.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from waitress.server import create_server

from benchmarks.dispatch import floors, rows

THREADS = 12
"""As many as the plane's own server has."""


def application(accepting: floors.Floor, sqlite: bool, wake: threading.Event) -> Callable[..., Iterable[bytes]]:
    """Return a WSGI application that takes one message a request."""
    turns = threading.Lock()

    def answer(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        intake, messages = rows.accepted(body)
        with turns:
            accepting.accept(intake, messages, rows.owed(messages[0], sqlite))
        wake.set()
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
        return [b"{}"]

    return answer


def main() -> None:
    url, port = sys.argv[1:]
    sqlite = url.startswith("sqlite")
    accepting = floors.floor(url)
    delivering = accepting if sqlite else floors.floor(url)
    wake = threading.Event()

    def idle() -> None:
        wake.wait()
        wake.clear()

    threading.Thread(target=floors.deliver, args=(delivering, idle), daemon=True).start()
    server = create_server(application(accepting, sqlite, wake), host="127.0.0.1", port=int(port), threads=THREADS)
    print(json.dumps({"port": int(port), "token": "", "path": "/"}), flush=True)
    server.run()


if __name__ == "__main__":
    main()
