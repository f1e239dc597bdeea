"""A reverse proxy on loopback, between a connector and its system, that does to requests and answers what a check ordered.

It passes the Host header on as it came, so that signatures over the address, and addresses that the system gives back, stay right.
"""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import struct
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from controlplane.connectors.conformance.faults import Asked, Canned, Fault

HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "accept-encoding", "te", "upgrade"})
SWOLLEN = 66 * 2**20
PATIENCE = 30.0
"""Wall seconds that a system may take to answer."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that were cut: that is what this is for."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@dataclass(slots=True)
class _Ordered:
    fault: Fault
    seen: int = 0
    struck: int = 0


class Proxy:
    """In front of one endpoint. `asked` keeps every request that came; `strike` orders a fault for a while."""

    def __init__(self, endpoint: str) -> None:
        self._there = urlsplit(endpoint)
        self.asked: list[Asked] = []
        self._ordered: list[_Ordered] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True, name="proxy")
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """The system's endpoint as a connector reaches it through here."""
        query = f"?{self._there.query}" if self._there.query else ""
        return f"http://127.0.0.1:{self._server.server_port}{self._there.path}{query}"

    def close(self) -> None:
        """Stop, and let go of every request that hangs."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @contextmanager
    def strike(self, *faults: Fault) -> Iterator[list[int]]:
        """Order faults for the time of the block; the first that strikes a request does. Yields how often each struck, at its end."""
        ordered, counts = [_Ordered(fault) for fault in faults], [0] * len(faults)
        with self._lock:
            self._ordered = ordered
        try:
            yield counts
        finally:
            with self._lock:
                self._ordered = []
                counts[:] = [one.struck for one in ordered]
            self._over.set()
            self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[list[Asked]]:
        """Yield a list that holds, after the block, the requests that came during it."""
        begun, heard = len(self.asked), list[Asked]()
        yield heard
        heard += self.asked[begun:]

    def _struck(self, asked: Asked) -> Fault | None:
        with self._lock:
            self.asked.append(asked)
            for one in self._ordered:
                if not one.fault.aim(asked):
                    continue
                one.seen += 1
                if one.seen > one.fault.skip and (one.fault.times is None or one.struck < one.fault.times):
                    one.struck += 1
                    return one.fault
        return None

    def forward(self, asked: Asked) -> Canned:
        """Return what the system answers."""
        kind = http.client.HTTPSConnection if self._there.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._there.netloc, timeout=PATIENCE)
        try:
            told = {name: value for name, value in asked.headers.items() if name not in HOP}
            connection.request(asked.method, asked.path, asked.body, told | {"connection": "close"})
            answer = connection.getresponse()
            content = answer.read()
            return Canned(answer.status, *_plain(content, _folded(answer.getheaders())))
        finally:
            connection.close()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Do with one request what is ordered, else pass it on."""
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked, over = Asked(handler.command, handler.path, headers, body), self._over
        fault = self._struck(asked)
        try:
            answer = self.forward(asked) if fault is None or fault.reached else None
        except OSError:
            return _hang_up(handler)
        if fault is None:
            return _answer(handler, answer or Canned(502))
        return _strike(handler, fault, answer or fault.canned, over)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                try:
                    outer.serve(self)
                except ConnectionError:  # the connector has gone away meanwhile
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"):
            setattr(Handler, f"do_{method}", Handler.handle_any)
        return Handler


def _folded(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What is told several times, as cookies are, stands in lines of its own."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name.lower() not in HOP:
            found[name] = f"{found[name]}\n{value}" if name in found else value
    return found


def _plain(content: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """What was not asked for packed and came packed is unpacked; some systems only say that it is."""
    told = {name: value for name, value in headers.items() if name.lower() != "content-encoding"}
    packed = len(told) < len(headers) and content.startswith(b"\x1f\x8b")
    return (gzip.decompress(content) if packed else content), told


def _strike(handler: BaseHTTPRequestHandler, fault: Fault, answer: Canned, over: threading.Event) -> None:
    if fault.act == "cut":
        return _hang_up(handler)
    if fault.act == "hang":
        over.wait(PATIENCE)
        return _hang_up(handler)
    if fault.act == "drip":
        return _drip(handler, answer, over)
    if fault.act == "swell":
        return _swell(handler, answer)
    if fault.act == "truncate":
        return _answer(handler, Canned(answer.status, answer.body[: len(answer.body) // 2], answer.headers))
    if fault.act == "alter":
        return _answer(handler, _altered(fault, answer))
    return _answer(handler, fault.canned)


def _altered(fault: Fault, answer: Canned) -> Canned:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return answer
    changed = fault.alter(found) if fault.alter else found
    return Canned(answer.status, json.dumps(changed, ensure_ascii=False).encode(), answer.headers)


def _head(handler: BaseHTTPRequestHandler, answer: Canned, length: int) -> None:
    handler.send_response(answer.status)
    for name, values in answer.headers.items():
        for value in values.split("\n"):
            handler.send_header(name, value)
    if answer.status not in (204, 304):
        handler.send_header("Content-Length", str(length))
    handler.end_headers()


def _answer(handler: BaseHTTPRequestHandler, answer: Canned) -> None:
    _head(handler, answer, len(answer.body))
    if answer.status not in (204, 304):
        handler.wfile.write(answer.body)


def _drip(handler: BaseHTTPRequestHandler, answer: Canned, over: threading.Event) -> None:
    body = (answer.body or b" ") * 1000
    _head(handler, Canned(200, b"", answer.headers), len(body))
    for at in range(len(body)):
        if over.wait(0.05):
            break
        handler.wfile.write(body[at : at + 1])
    _hang_up(handler)


def _swell(handler: BaseHTTPRequestHandler, answer: Canned) -> None:
    _head(handler, Canned(200, b"", answer.headers), SWOLLEN)
    for _ in range(SWOLLEN // 2**20):
        handler.wfile.write(b" " * 2**20)


def _hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Reset the connection, so that nobody takes it for the end of an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
