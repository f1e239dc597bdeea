"""The keys of an installation, and envelopes: AES-256-GCM, bound to the row that they lie in.

An envelope is `TS1`, the id of its key, a random nonce and the sealed bytes. What is authenticated with it is the row's name, so
that the envelope of one row opens in no other. Of a key that was destroyed its id is kept, so that nobody looks for it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from controlplane.errors import BadInputError, KeyMissingError, NotFoundError, SealError

FORMAT = 1
MAGIC = b"TS1"
ID, NONCE, KEY = 8, 12, 32
"""Characters of a key's id, bytes of a nonce and of a key."""
HEAD = len(MAGIC) + ID
HASHED = 16
"""Hexadecimal digits that are kept of a keyed hash."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key and since when there is one of it."""

    id: str
    secret: bytes = field(repr=False)
    made_at: str

    @classmethod
    def new(cls, at: datetime) -> Self:
        """Make one."""
        return cls(secrets.token_hex(ID // 2), os.urandom(KEY), at.isoformat(timespec="seconds"))

    def told(self) -> dict[str, str]:
        """Return it as it is written down."""
        return {"id": self.id, "key": base64.b64encode(self.secret).decode(), "made_at": self.made_at}

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """Read what `told` wrote. Raises ValueError, KeyError, TypeError."""
        secret = base64.b64decode(found["key"], validate=True)
        if len(secret) != KEY or len(found["id"]) != ID:
            raise ValueError(f"the key '{found['id']}' is none of ours")
        return cls(str(found["id"]), secret, str(found["made_at"]))


@dataclass(frozen=True, slots=True)
class Ring:
    """Immutable. The newest key seals, every one opens, and one of its own hashes, so that equal values stay equal after a rotation."""

    hashing: Key
    keys: tuple[Key, ...]
    """The oldest first."""
    destroyed: Mapping[str, str] = field(default_factory=dict)
    """Id -> since when."""

    @classmethod
    def new(cls, at: datetime) -> Self:
        """Make one with new keys."""
        return cls(Key.new(at), (Key.new(at),))

    @classmethod
    def read(cls, text: str | bytes, where: str) -> Self:
        """Read what `text` wrote. Raises BadInputError naming where it stands, and nothing of what it says."""
        try:
            found = json.loads(text)
            if found["format"] != FORMAT:
                raise BadInputError(f"{where}: keys of format {found['format']}; read them with a later version")
            keys = tuple(map(Key.read, found["keys"]))
            if not keys:
                raise ValueError("no key")
            return cls(Key.read(found["hashing"]), keys, dict(found.get("destroyed", {})))
        except (ValueError, KeyError, TypeError) as error:
            raise BadInputError(
                f"{where} holds no keys ({type(error).__name__}); restore it from a backup: what is sealed opens with its keys only"
            ) from None

    @property
    def text(self) -> str:
        """The ring as it is written down."""
        told = {
            "format": FORMAT, "hashing": self.hashing.told(), "keys": [key.told() for key in self.keys],
            "destroyed": dict(self.destroyed),
        }  # fmt: skip
        return json.dumps(told, indent=1)

    # --- envelopes ---

    def seal(self, label: str, content: bytes) -> bytes:
        """Return an envelope that opens under the same label only: the name of the row and column that it lies in."""
        key = self.keys[-1]
        head, nonce = MAGIC + key.id.encode(), os.urandom(NONCE)
        return head + nonce + AESGCM(key.secret).encrypt(nonce, content, head + label.encode())

    def open(self, label: str, envelope: bytes) -> bytes:
        """Return what was sealed. Raises KeyMissingError, and SealError for a destroyed key or what was tampered with."""
        key_id = key_of(envelope)
        if key_id in self.destroyed:
            raise SealError(
                f"{label}: its key {key_id} was destroyed at {self.destroyed[key_id]}, so nobody can read it any more; "
                "have its source send the record anew, or drop it"
            )
        key = next((key for key in self.keys if key.id == key_id), None)
        if key is None:
            raise KeyMissingError(
                f"{label}: it is sealed with the key {key_id}, which this process does not have; give it the keys of the "
                "installation (TRUEUP_SEAL_KEYS, or seal-keys.json in TRUEUP_HOME)"
            )
        nonce, sealed = envelope[HEAD : HEAD + NONCE], envelope[HEAD + NONCE :]
        try:
            return AESGCM(key.secret).decrypt(nonce, sealed, envelope[:HEAD] + label.encode())
        except (InvalidTag, ValueError):
            raise SealError(
                f"{label}: the envelope was changed after it was sealed, or belongs to another row; compare it with a backup"
            ) from None

    def hashed(self, value: str) -> str:
        """Return a short keyed hash, the same for the same text within the installation."""
        made = hmac.new(self.hashing.secret, value.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()
        return f"hmac:{self.hashing.id}:{made[:HASHED]}"

    # --- changes ---

    def rotated(self, at: datetime) -> Ring:
        """Return a ring whose newest key is a new one."""
        return replace(self, keys=(*self.keys, Key.new(at)))

    def rehashed(self, at: datetime) -> Ring:
        """Return a ring that hashes with a new key: what was hashed before cannot be guessed at, or matched, any more."""
        return replace(self, hashing=Key.new(at))

    def without(self, key_id: str, at: datetime) -> Ring:
        """Return a ring without a key. Raises NotFoundError; SealError for the newest, which seals."""
        if key_id not in {key.id for key in self.keys}:
            known = ", ".join(key.id for key in self.keys)
            raise NotFoundError(f"there is no key '{key_id}'; there are: {known}")
        if key_id == self.keys[-1].id:
            raise SealError(f"the key {key_id} is the one that seals; rotate first, then destroy it")
        left = tuple(key for key in self.keys if key.id != key_id)
        return replace(self, keys=left, destroyed={**self.destroyed, key_id: at.isoformat(timespec="seconds")})


def key_of(envelope: bytes) -> str:
    """Return the id of an envelope's key. Raises SealError for what is no envelope."""
    if not envelope.startswith(MAGIC) or len(envelope) < HEAD + NONCE:
        raise SealError("this is no sealed envelope, or its beginning was changed; compare the row with a backup")
    return envelope[len(MAGIC) : HEAD].decode("ascii", errors="replace")
