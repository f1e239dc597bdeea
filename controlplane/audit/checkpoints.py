"""Checkpoints: the head of the chain, signed with Ed25519 and written where whoever owns the store cannot reach it.

A chain that was written anew from its first action is whole, and one that lost its newest actions is too. A checkpoint outside
contradicts both.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import func, insert, select, update

from controlplane.clock import Clock
from controlplane.errors import BadInputError, TrueupError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.place import Hashed, Place
from rules.canonical import canonical_json

FORMAT = 1
_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """That the chain of an installation had this hash at this action."""

    installation: str
    seq: int
    hash: str
    at: datetime
    key: str
    """SHA-256 of the public key, 16 digits: which key signed."""
    signature: str
    public_key: str

    @property
    def signed(self) -> dict[str, Any]:
        """What the signature is about."""
        return {
            "format": FORMAT, "installation": self.installation, "seq": self.seq, "hash": self.hash,
            "at": self.at.isoformat(timespec="microseconds"), "key": self.key,
        }  # fmt: skip

    @property
    def text(self) -> str:
        """The checkpoint as it is written outside: one line of canonical JSON."""
        return canonical_json({"checkpoint": self.signed, "signature": self.signature, "public_key": self.public_key})

    @property
    def name(self) -> str:
        """Of its file; the order of names is that of the chain."""
        return f"{self.seq:012d}-{self.hash[:16]}.json"

    @classmethod
    def read(cls, text: str | bytes, where: str) -> Self:
        """Read what `text` wrote. Raises BadInputError naming where it stands."""
        try:
            found = json.loads(text)
            told = found["checkpoint"]
            if told["format"] != FORMAT:
                raise BadInputError(f"{where}: a checkpoint of format {told['format']}; read it with a later version")
            return cls(
                str(told["installation"]), int(told["seq"]), str(told["hash"]), datetime.fromisoformat(told["at"]),
                str(told["key"]), str(found["signature"]), str(found["public_key"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            raise BadInputError(f"{where}: is no checkpoint ({type(error).__name__}: {error})") from None

    def fault(self, trusted: Sequence[str] = ()) -> str:
        """Return what is wrong with the signature, or "". `trusted`: public keys (base64) of which one must have signed."""
        if trusted and self.public_key not in trusted:
            return f"was signed with the key {self.key}, which is none of those that are trusted"
        try:
            raw = base64.b64decode(self.public_key, validate=True)
            Ed25519PublicKey.from_public_bytes(raw).verify(
                base64.b64decode(self.signature, validate=True), canonical_json(self.signed).encode()
            )
        except (InvalidSignature, ValueError, binascii.Error):
            return "its signature does not fit what it says; it was changed after it was signed"
        return "" if fingerprint_of(raw) == self.key else "names another key than the one it was signed with"


def fingerprint_of(public_key: bytes) -> str:
    """Return the short name of a public key."""
    return hashlib.sha256(public_key).hexdigest()[:16]


class Signer:
    """The plane's signing key, made at first use and readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self._key = _load(path)
        raw = self._key.public_key().public_bytes(*_RAW)
        self.key, self.public_key = fingerprint_of(raw), base64.b64encode(raw).decode()

    def sign(self, installation: str, seq: int, known: str, at: datetime) -> Checkpoint:
        """Return a signed checkpoint."""
        draft = Checkpoint(installation, seq, known, at, self.key, "", self.public_key)
        signature = base64.b64encode(self._key.sign(canonical_json(draft.signed).encode())).decode()
        return Checkpoint(installation, seq, known, at, self.key, signature, self.public_key)


def _load(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise BadInputError(
            f"{path} is no private key ({error}); restore it, or move it away and a new one is made"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInputError(f"{path} is a key of another kind than Ed25519; move it away and a new one is made")
    return key


class Anchors:
    """Signs the head of a plane's chain and writes it outside. What cannot be written waits for the next time."""

    def __init__(self, store: Store, clock: Clock, key: Path, places: Sequence[str]) -> None:
        self._store, self._clock, self._path = store, clock, key
        self.places = tuple(places)

    def advance(self) -> dict[str, Any]:
        """Sign the head if it moved, and write what no place has yet; return what was done.

        Raises UnavailableError when a place cannot be written to; the others have been.
        """
        signed = self._sign()
        c = t.audit_checkpoint.c
        with self._store.read() as connection:
            rows = connection.execute(select(c.seq, c.body).where(c.written_to == "").order_by(c.seq)).all()
        if not rows:
            return {"signed": signed, "written": 0}
        faults = list[TrueupError]()
        for place in self.places:
            try:
                for row in rows:
                    put(place, Checkpoint.read(row.body, f"audit_checkpoint {row.seq}"))
            except TrueupError as error:
                faults.append(error)
        if faults:
            raise faults[0]
        with self._store.write() as connection:
            mine = update(t.audit_checkpoint).where(c.seq.in_([row.seq for row in rows]))
            connection.execute(mine.values(written_to=" ".join(self.places)))
        return {"signed": signed, "written": len(rows)}

    def _sign(self) -> int:
        """Sign the head; return the action it stands at, or 0 when there is nothing new."""
        h, c = t.audit_head.c, t.audit_checkpoint.c
        with self._store.read() as connection:
            head = connection.execute(select(h.installation, h.seq, h.hash).where(h.id == 1)).one()
            last = connection.execute(select(func.max(c.seq))).scalar() or 0
        if head.seq <= last:
            return 0
        made = Signer(self._path).sign(head.installation, head.seq, head.hash, self._clock.now())
        with self._store.write() as connection:
            if connection.execute(select(c.seq).where(c.seq == head.seq)).first() is None:
                connection.execute(
                    insert(t.audit_checkpoint).values(seq=made.seq, at=made.at, body=made.text, written_to="")
                )
        return made.seq


def put(uri: str, one: Checkpoint) -> None:
    """Write a checkpoint to a place, beneath its installation; one that is there is never overwritten."""
    place = Place(f"{uri.rstrip('/')}/{one.installation}")
    there = place.read(one.name)
    if there is not None:
        if there.decode(errors="replace") != one.text:
            raise BadInputError(f"{place.uri}/{one.name} holds another checkpoint; look at who wrote it, and keep both")
        return

    def fill(sink: Hashed) -> None:
        sink.write(one.text.encode())

    place.write(one.name, fill)


def found_in(uri: str, installation: str) -> list[Checkpoint]:
    """Read the checkpoints of an installation from a place. Raises BadInputError for a file that is none."""
    place = Place(f"{uri.rstrip('/')}/{installation}")
    names = [name for name in place.names() if name.endswith(".json")]
    return [Checkpoint.read(place.read(name) or b"", f"{place.uri}/{name}") for name in names]
