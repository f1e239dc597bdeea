"""A broker of Kafka that does one thing: it lets somebody in by SASL (PLAIN, or SCRAM as RFC 5802 and 7677 write it), or does not,
and tells of one topic.

Its protocol is spoken as its guide writes it, in the oldest versions that a client takes. What it was told by whom is kept.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

METADATA, HANDSHAKE, VERSIONS, AUTHENTICATE = 3, 17, 18, 36
NEWEST = {METADATA: 1, HANDSHAKE: 1, VERSIONS: 0, AUTHENTICATE: 0}
UNSPOKEN, UNSUPPORTED, REFUSED = 33, 35, 58
ITERATIONS = 4096


def text(told: str | None) -> bytes:
    """A string with its length before it."""
    return struct.pack(">h", -1) if told is None else struct.pack(">h", len(told)) + told.encode()


class Plain:
    """One login by PLAIN: the password is told."""

    name, steps = "PLAIN", 1

    def __init__(self, password: str) -> None:
        self._password = password

    def step(self, told: bytes) -> tuple[str, str, bytes | None]:
        """Return the user, what was told in proof, and the answer; None: not let in."""
        _, user, password = told.decode().split("\0")
        return user, password, b"" if password == self._password else None


class Scram:
    """One login by SCRAM: both prove that they know the password, and neither tells it. The server may be one that does not know it."""

    steps = 2

    def __init__(self, password: str, digest: str = "sha256", knows: bool = True) -> None:
        self.name, self._digest, self._knows = f"SCRAM-{digest[:3].upper()}-{digest[3:]}", digest, knows
        self._password, self._salt, self._said = password, os.urandom(16), ""
        self._user = ""

    def step(self, told: bytes) -> tuple[str, str, bytes | None]:
        """Return the user, the proof, and the answer; None: not let in."""
        if not self._said:
            bare = told.decode().removeprefix("n,,")
            named = dict(part.split("=", 1) for part in bare.split(","))
            self._user, salt = named["n"], base64.b64encode(self._salt).decode()
            answer = f"r={named['r']}{os.urandom(9).hex()},s={salt},i={ITERATIONS}"
            self._said = f"{bare},{answer}"
            return self._user, "", answer.encode()
        unproved, proof = told.decode().rsplit(",p=", 1)
        salted = hashlib.pbkdf2_hmac(self._digest, self._password.encode(), self._salt, ITERATIONS)
        said = f"{self._said},{unproved}"
        key = self._of(salted, "Client Key")
        signature = self._of(hashlib.new(self._digest, key).digest(), said)
        right = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        if not self._knows:  # somebody in between: lets in whoever comes, and cannot prove a thing
            return self._user, proof, b"v=" + base64.b64encode(os.urandom(len(key)))
        if not hmac.compare_digest(base64.b64decode(proof), right):
            return self._user, proof, None
        return self._user, proof, b"v=" + base64.b64encode(self._of(self._of(salted, "Server Key"), said))

    def _of(self, key: bytes, text_: str) -> bytes:
        return hmac.new(key, text_.encode(), self._digest).digest()


@dataclass
class _Asking:
    """One connection: its login, and how far that is."""

    login: Plain | Scram
    steps: int = 0


class LoginBroker:
    """Listens on loopback; `logins` are the (user, proof) that were told, `refusals` why no TLS came about."""

    def __init__(
        self, user: str, login: Callable[[], Plain | Scram], topic: str, secured: ssl.SSLContext | None = None
    ) -> None:
        self._user, self._login, self._topic, self._secured = user, login, topic, secured
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
        with suppress(OSError, struct.error), way, way.makefile("rb") as asked:
            asking = _Asking(self._login())
            while size := asked.read(4):
                answer = self._answer(asked.read(struct.unpack(">i", size)[0]), asking)
                way.sendall(struct.pack(">i", len(answer)) + answer)

    def _answer(self, request: bytes, asking: _Asking) -> bytes:
        key, version, correlation, named = struct.unpack(">hhih", request[:10])
        body, head = request[10 + max(0, named) :], struct.pack(">i", correlation)
        self.asked.append(key)
        if key == VERSIONS:
            told = b"".join(struct.pack(">hhh", one, 0, most) for one, most in NEWEST.items())
            wrong = UNSUPPORTED if version > NEWEST[VERSIONS] else 0
            return head + struct.pack(">hi", wrong, len(NEWEST)) + told
        if key == HANDSHAKE:
            wrong = 0 if body[2:].decode() == asking.login.name else UNSPOKEN
            return head + struct.pack(">hi", wrong, 1) + text(asking.login.name)
        if key == AUTHENTICATE:
            user, proof, answer = asking.login.step(body[4:])
            asking.steps += 1
            if proof:
                self.logins.append((user, proof))
            if user != self._user or answer is None:
                return head + struct.pack(">h", REFUSED) + text("no such login") + struct.pack(">i", 0)
            return head + struct.pack(">h", 0) + text(None) + struct.pack(">i", len(answer)) + answer
        assert asking.steps == asking.login.steps, "it was asked for something by somebody who was not let in"
        broker = struct.pack(">ii", 1, 1) + text("127.0.0.1") + struct.pack(">i", self.port) + text(None)
        part = struct.pack(">hiiiiii", 0, 0, 1, 1, 1, 1, 1)
        told = struct.pack(">h", 0) + text(self._topic) + struct.pack(">?i", False, 1) + part
        return head + broker + struct.pack(">ii", 1, 1) + told
