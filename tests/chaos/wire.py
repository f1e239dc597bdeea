"""A wire between a program and its server that can be cut: at once, or at the very moment that some bytes pass."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Literal

LINGER = struct.pack("ii", 1, 0)
"""Close without a word: the other side sees a reset, as of a machine that is gone."""


@dataclass
class Cut:
    """Cut the connection that carries `pattern` to the server: `before` the server gets it, or `after`, unanswered."""

    pattern: bytes
    when: Literal["before", "after"]
    times: int
    within: bytes = b""
    """Only where this was sent on the same connection since the pattern was sent last: `COMMIT` of a certain transaction."""


@dataclass(eq=False)
class Strand:
    """One connection through the wire."""

    client: socket.socket
    server: socket.socket
    muted: bool = False
    """What the server answers does not arrive any more."""
    sent: bytearray = field(default_factory=bytearray)
    """What went to the server since the last pattern that was looked for."""

    def cut(self) -> None:
        """End both sides as if the machine between were gone."""
        for end in (self.client, self.server):
            reset(end)


def reset(end: socket.socket) -> None:
    """Close a connection with a reset; one that is closed already stays so."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        end.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        end.close()


class Wire:
    """Forwards connections to a port of loopback; `port` is the one to connect to."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._strands: set[Strand] = set()
        self._cuts: list[Cut] = []
        self.cut_so_far = 0
        """Connections that a `Cut` ended."""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> int:
        """Cut every connection now; return how many there were."""
        with self._lock:
            strands = list(self._strands)
        for strand in strands:
            strand.cut()
        return len(strands)

    def cut_when(self, pattern: bytes, when: Literal["before", "after"], times: int = 1, within: bytes = b"") -> None:
        """Cut the next connections on which the pattern is sent to the server, and `within` before it (see `Cut`)."""
        with self._lock:
            self._cuts.append(Cut(pattern, when, times, within))

    def close(self) -> None:
        """Let go of the port and of every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
                except OSError:
                    client.close()  # nobody is there: the client finds the same
                    continue
                server.settimeout(None)
                self._join(Strand(client, server))

    def _join(self, strand: Strand) -> None:
        for end in (strand.client, strand.server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._strands.add(strand)
        for work in (self._to_server, self._to_client):
            threading.Thread(target=work, args=(strand,), daemon=True).start()

    def _to_server(self, strand: Strand) -> None:
        with contextlib.suppress(OSError):
            while part := strand.client.recv(65536):
                when = self._armed(strand, part)
                if when == "after":
                    strand.muted = True
                    strand.server.sendall(part)
                    reset(strand.client)  # the other side is ended when the server has answered, so that it has acted
                    return
                if when == "before":
                    break
                strand.server.sendall(part)
        self._end(strand)

    def _to_client(self, strand: Strand) -> None:
        with contextlib.suppress(OSError):
            while (part := strand.server.recv(65536)) and not strand.muted:
                strand.client.sendall(part)
        self._end(strand)

    def _armed(self, strand: Strand, part: bytes) -> str | None:
        with self._lock:
            strand.sent += part
            here = [cut for cut in self._cuts if cut.pattern in part]
            for cut in here:
                if cut.times and cut.within in strand.sent:
                    cut.times -= 1
                    self.cut_so_far += 1
                    return cut.when
            if here:
                strand.sent.clear()
        return None

    def _end(self, strand: Strand) -> None:
        strand.cut()
        with self._lock:
            self._strands.discard(strand)
