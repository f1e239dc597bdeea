"""A load generator that is cheap beside what it loads: one thread, one selector, raw sockets, requests made beforehand.

`python -m benchmarks.dispatch.load flood|pace PORT PATH TOKEN START COUNT CLIENTS [RATE FILE]` prints one line of JSON. `flood`: every
client sends its next request when the last was answered. `pace`: request n is due at n/RATE seconds; the instant at which it
was due, not sent, is noted as its beginning, so that a slow server cannot slow its own clock down.
"""

import json
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import numpy as np

from benchmarks.dispatch import jobs

STALLED = 60.0
"""Seconds without any answer after which the load is given up."""
SETTLE = 0.0002
"""Seconds before a request is due in which the generator spins rather than sleeps."""


class Client:
    """One connection that is kept alive."""

    __slots__ = ("number", "received", "socket", "wanted")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.wanted = 0
        self.number = -1

    def send(self, number: int, request: bytes) -> None:
        """Send a whole request; it fits into the socket's buffer."""
        self.number, self.received, self.wanted = number, b"", 0
        self.socket.sendall(request)

    def answered(self) -> bool:
        """Take what has come; say whether the answer is whole. Raises RuntimeError for any answer but 2xx."""
        self.received += self.socket.recv(65536)
        if not self.received:
            raise RuntimeError("the server closed the connection")
        if not self.wanted:
            head, found, _ = self.received.partition(b"\r\n\r\n")
            if not found:
                return False
            if head[9:10] != b"2":
                raise RuntimeError(f"answered {self.received[:600].decode(errors='replace')}")
            self.wanted = len(head) + 4 + _length(head)
        return len(self.received) >= self.wanted


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise RuntimeError(f"no Content-Length in {head.decode(errors='replace')}")


def requests(path: str, token: str, start: int, count: int) -> list[bytes]:
    """Return whole requests, one message each."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    bodies = (jobs.event(number) for number in range(start, start + count))
    return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


class Crowd:
    """Clients of one server, and who of them is free."""

    def __init__(self, port: int, size: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.free = deque(Client(port) for _ in range(size))
        for client in self.free:
            self.selector.register(client.socket, selectors.EVENT_READ, client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self.selector.get_map().values()):
            key.data.socket.close()
        self.selector.close()

    def answers(self, timeout: float) -> Iterator[Client]:
        """Yield clients whose answer is whole within so many seconds. Raises RuntimeError when the server says nothing for long."""
        found = self.selector.select(timeout)
        if not found and timeout >= STALLED:
            raise RuntimeError(f"no answer within {STALLED:.0f} s")
        for key, _ in found:
            if key.data.answered():
                yield key.data


def flood(crowd: Crowd, made: list[bytes]) -> dict[str, float]:
    """Keep every client busy until all requests are answered; return requests/s and latencies in ms."""
    sent_at: dict[int, float] = {}
    took: list[float] = []
    todo = iter(enumerate(made))

    def go(client: Client) -> None:
        found = next(todo, None)
        if found is not None:
            sent_at[found[0]] = time.monotonic()
            client.send(*found)

    began = time.monotonic()
    for client in crowd.free:
        go(client)
    while len(took) < len(made):
        for client in crowd.answers(STALLED):
            took.append(time.monotonic() - sent_at[client.number])
            go(client)
    return {"rate": len(made) / (time.monotonic() - began), "messages": len(made), **_latencies(took)}


def pace(
    crowd: Crowd, made: list[bytes], start: int, rate: float, due: Callable[[int, float], None]
) -> dict[str, float]:
    """Send each request when it is due, on whichever client is free; `due(number, instant)` is told when that was."""
    began = time.monotonic() + 0.05
    sent = answered = 0
    while answered < len(made):
        left = began + sent / rate - time.monotonic()
        if left <= SETTLE and crowd.free and sent < len(made):
            while time.monotonic() < began + sent / rate:
                pass
            due(start + sent, began + sent / rate)
            crowd.free.popleft().send(sent, made[sent])
            sent += 1
            continue
        for client in crowd.answers(max(0.0, left - SETTLE) if crowd.free and sent < len(made) else STALLED):
            crowd.free.append(client)
            answered += 1
    return {"messages": len(made)}


def _latencies(seconds: list[float]) -> dict[str, float]:
    p50, p95, p99 = np.percentile(np.array(seconds) * 1e3, (50, 95, 99))
    return {"p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99)}


def main() -> None:
    how, port, path, token, start, count, clients, *rest = sys.argv[1:]
    made = requests(path, token, int(start), int(count))
    with Crowd(int(port), int(clients)) as crowd:
        if how == "flood":
            print(json.dumps(flood(crowd, made)))
        else:
            due_at = jobs.Times(Path(rest[1])).at
            print(json.dumps(pace(crowd, made, int(start), float(rest[0]), due_at.__setitem__)))


if __name__ == "__main__":
    main()
