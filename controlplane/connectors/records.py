"""Records in the form in which intake takes them: bytes, and a key that the same content always gets."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from controlplane.connectors.envelope import constant, pairs
from controlplane.errors import BadInputError


def verbatim(document: Any) -> bytes:
    """Return what was polled as bytes; equal content gives equal bytes. Half a character, which no bytes stand for, stays escaped."""
    try:
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def content_key(topic: str, identity: str, body: bytes) -> str:
    """Return the event key of a record whose vendor gives none: topic, identity and what it says.

    An overlapping poll finds the same key again; a changed record gets a new one.
    """
    told = hashlib.sha256(body).hexdigest()[:24]
    plain = identity.encode(errors="backslashreplace")
    readable = plain.decode() if len(identity) <= 100 else hashlib.sha256(plain).hexdigest()[:24]
    return f"{topic}:{readable}:{told}" if readable else f"{topic}:{told}"


def loads(text: bytes | str, **how: Any) -> Any:
    """Read JSON as `json.loads` does. Raises ValueError for all that is none, for what is nested without end too."""
    try:
        return json.loads(text, **how)
    except RecursionError:
        raise ValueError("it is nested deeper than anything that is read") from None


def read_json(body: bytes) -> dict[str, Any]:
    """Return the record as a JSON object. Raises BadInputError when it is none, or says one thing twice: nobody knows which it means."""
    try:
        found = loads(body, object_pairs_hook=pairs, parse_constant=constant)
    except ValueError as error:
        raise BadInputError(f"the record is not JSON: {error}; correct it, or drop it") from error
    if not isinstance(found, dict):
        raise BadInputError(f"the record is {type(found).__name__}, not an object; correct it, or drop it")
    return found
