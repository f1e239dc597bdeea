"""A broker of Kafka that does one thing: it lets somebody in by SASL/PLAIN, or does not, and tells of one topic.

Its protocol is spoken as its guide writes it, in the oldest versions that a client takes. What it was told by whom is kept.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from contextlib import suppress

METADATA, HANDSHAKE, VERSIONS, AUTHENTICATE = 3, 17, 18, 36
NEWEST = {METADATA: 1, HANDSHAKE: 1, VERSIONS: 0, AUTHENTICATE: 0}
UNSUPPORTED, REFUSED = 35, 58


def text(told: str | None) -> bytes:
    """A string with its length before it."""
    return struct.pack(">h", -1) if told is None else struct.pack(">h", len(told)) + told.encode()


class LoginBroker:
    """Listens on loopback; `logins` are the (user, password) that were told, `refusals` why no TLS came about."""

    def __init__(self, user: str, password: str, topic: str, secured: ssl.SSLContext | None = None) -> None:
        self._wanted, self._topic, self._secured = (user, password), topic, secured
        self.logins: list[tuple[str, str]] = []
        self.asked: list[int] = []
        self.refusals: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            way = self._secured.wrap_socket(near, server_side=True) if self._secured else near
        except OSError as error:
            self.refusals.append(str(error))
            return
        with suppress(OSError, struct.error), way:
            let_in = False
            while size := way.recv(4, socket.MSG_WAITALL):
                request = way.recv(struct.unpack(">i", size)[0], socket.MSG_WAITALL)
                answer, let_in = self._answer(request, let_in)
                way.sendall(struct.pack(">i", len(answer)) + answer)

    def _answer(self, request: bytes, let_in: bool) -> tuple[bytes, bool]:
        key, version, correlation, named = struct.unpack(">hhih", request[:10])
        body, head = request[10 + max(0, named) :], struct.pack(">i", correlation)
        self.asked.append(key)
        if key == VERSIONS:
            told = b"".join(struct.pack(">hhh", one, 0, most) for one, most in NEWEST.items())
            wrong = UNSUPPORTED if version > NEWEST[VERSIONS] else 0
            return head + struct.pack(">hi", wrong, len(NEWEST)) + told, let_in
        if key == HANDSHAKE:
            return head + struct.pack(">hi", 0, 1) + text("PLAIN"), let_in
        if key == AUTHENTICATE:
            _, user, password = body[4:].decode().split("\0")
            self.logins.append((user, password))
            let_in = (user, password) == self._wanted
            wrong, words = (0, None) if let_in else (REFUSED, "no such login")
            return head + struct.pack(">h", wrong) + text(words) + struct.pack(">i", 0), let_in
        assert let_in, "it was asked for something by somebody who was not let in"
        broker = struct.pack(">ii", 1, 1) + text("127.0.0.1") + struct.pack(">i", self.port) + text(None)
        part = struct.pack(">hiiiiii", 0, 0, 1, 1, 1, 1, 1)
        told = struct.pack(">h", 0) + text(self._topic) + struct.pack(">?i", False, 1) + part
        return head + broker + struct.pack(">ii", 1, 1) + told, let_in
