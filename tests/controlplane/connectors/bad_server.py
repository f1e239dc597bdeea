"""A real HTTP server on loopback with bad habits, each scripted by the test."""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Habit:
    """What the server does with one request: answers, hangs, or cuts the connection."""

    def __init__(
        self,
        status: int = 200,
        body: bytes = b"{}",
        *,
        cut: bool = False,
        hang: bool = False,
        drip: bool = False,
        drip_head: bool = False,
        **headers: str,
    ) -> None:
        self.status, self.body, self.cut, self.hang, self.drip = status, body, cut, hang, drip
        self.drip_head = drip_head
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class BadServer:
    """Keeps what it was asked; the habits are used up in turn, the last one stays."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.habits: deque[Habit] = deque([Habit()])
        self.released = threading.Event()
        self.peak = self._under_way = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.serve(self)

            do_GET = do_PUT = do_POST  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def script(self, *habits: Habit) -> None:
        self.habits = deque(habits)

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self._under_way += 1
            self.peak = max(self.peak, self._under_way)
        try:
            self._serve(handler)
        finally:
            with self._lock:
                self._under_way -= 1

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        self.asked.append((handler.command, handler.path, {k.lower(): v for k, v in handler.headers.items()}, body))
        habit = self.habits.popleft() if len(self.habits) > 1 else self.habits[0]
        if habit.hang:
            self.released.wait(5)
        if habit.cut or habit.hang:
            linger = struct.pack("ii", 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.connection.close()
            handler.close_connection = True
            return
        self._answer(handler, habit)

    def _answer(self, handler: BaseHTTPRequestHandler, habit: Habit) -> None:
        handler.send_response(habit.status)
        for name, value in ({"Content-Type": "application/json"} | habit.headers).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(habit.body)))
        if habit.drip_head:
            handler.flush_headers()
            number = 0
            while not self.released.wait(0.05):
                handler.wfile.write(f"X-{(number := number + 1)}: 1\r\n".encode())
        handler.end_headers()
        if not habit.drip:
            handler.wfile.write(habit.body)
            return
        for at in range(len(habit.body)):
            if self.released.wait(0.05):
                return
            handler.wfile.write(habit.body[at : at + 1])

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
