"""Time that passes only when everybody waits for it, and HTTP servers on loopback whose capacity is known by that time.

The requests are real, and however long the machine takes for them counts for nothing: what is measured is exact.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

START = datetime(2026, 11, 27, 6, tzinfo=UTC)


class SharedTime:
    """A clock whose only mover waits in `wait`; servers wait in `sleep`. It jumps to whatever is due next once nobody is at work.

    `at_work` tells how many requests are under way: they all sleep, or some are still being carried by the machine.
    """

    pace = 1.0

    def __init__(self) -> None:
        self.at_work: Callable[[], int] = lambda: 0
        self._now = 0.0
        self._sleeping: list[float] = []
        self._changed = threading.Condition()

    def now(self) -> datetime:
        return START + timedelta(seconds=self._now)

    def stopwatch(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let a server take so long."""
        until = self._now + seconds
        with self._changed:
            self._sleeping.append(until)
            while self._now < until:
                self._changed.wait(5)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Let time pass until the event is set or the seconds are over."""
        until = self._now + seconds
        while not event.is_set() and self._now < until:
            with self._changed:
                if self.at_work() == len(self._sleeping):
                    self._now = min([until, *self._sleeping])
                    self._sleeping = [other for other in self._sleeping if other > self._now]
                    self._changed.notify_all()
                    continue
            event.wait(0.0005)
        return event.is_set()


class Server:
    """An inlet that answers by what `serve` says: (status, headers)."""

    def __init__(self, time: SharedTime) -> None:
        self.time = time
        self.asked: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.under_way = self.peak = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer._answer(self)

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> tuple[int, dict[str, str]]:
        return 200, {}

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        with self.lock:
            self.asked.append(json.loads(body))
            self.under_way += 1
            self.peak = max(self.peak, self.under_way)
        status, headers = self.serve()
        with self.lock:
            self.under_way -= 1
        handler.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()


class Bucket(Server):
    """Takes `rate` requests a second and `burst` in advance; answers 429 with Retry-After beyond that."""

    def __init__(self, time: SharedTime, rate: float, burst: float, retry_after: int = 3) -> None:
        super().__init__(time)
        self.rate, self.burst, self.retry_after = rate, burst, retry_after
        self._tokens, self._at = burst, time.stopwatch()

    def serve(self) -> tuple[int, dict[str, str]]:
        with self.lock:
            now = self.time.stopwatch()
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
            self._at = now
            if self._tokens < 1 - 1e-9:
                return 429, {"Retry-After": str(self.retry_after)}
            self._tokens -= 1
            return 200, {}


class Shared(Server):
    """Takes `seconds` for a request while at most `places` are under way, and slows down in proportion beyond that."""

    def __init__(self, time: SharedTime, places: int, seconds: float) -> None:
        super().__init__(time)
        self.places, self.seconds = places, seconds

    def serve(self) -> tuple[int, dict[str, str]]:
        self.time.sleep(self.seconds * max(1.0, self.under_way / self.places))
        return 200, {}


class Stalling(Server):
    """Answers at once, but for one request that it keeps for so long."""

    def __init__(self, time: SharedTime, number: int, seconds: float) -> None:
        super().__init__(time)
        self.number, self.seconds = number, seconds

    def serve(self) -> tuple[int, dict[str, str]]:
        if len(self.asked) == self.number:
            self.time.sleep(self.seconds)
        return 200, {}


class Refusing(Server):
    """Answers with one status from request number `after` on."""

    def __init__(self, time: SharedTime, status: int, after: int = 0) -> None:
        super().__init__(time)
        self.status, self.after = status, after

    def serve(self) -> tuple[int, dict[str, str]]:
        return (self.status if len(self.asked) > self.after else 200), {}
