"""`$batch` of OData (multipart/mixed): several requests in one, those of a changeset carried out together or not at all. Pure.

A changeset that fails is answered with one reply in the place of all of its own.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from controlplane.connectors.records import loads

_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r?$")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


class BatchFormatError(ValueError):
    """An answer that is no batch. `position`: of which part, counted from 1, within a changeset after a dot; empty: the whole."""

    def __init__(self, position: str, what: str) -> None:
        super().__init__(f"part {position} {what}" if position else f"the batch {what}")
        self.position = position


class Asked(NamedTuple):
    """A request within a batch; the path is relative to the service, with its query, percent-encoded."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered to one request, or to a changeset that failed. Names of headers are in lower case."""

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """Return the body read as JSON; None where it is none."""
        try:
            return loads(self.content)
        except ValueError:
            return None


Operation = Asked | Sequence[Asked]
"""A read, or a changeset."""


def build(operations: Sequence[Operation]) -> tuple[str, bytes]:
    """Return (content type, body) of a batch."""
    boundary = f"batch_{uuid.uuid4().hex}"
    parts = [_part(one) if isinstance(one, Asked) else _changeset(one) for one in operations]
    return f"multipart/mixed; boundary={boundary}", _joined(boundary, parts)


def _joined(boundary: str, parts: Sequence[bytes]) -> bytes:
    mark = boundary.encode()
    return b"".join(b"--" + mark + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + mark + b"--\r\n"


def _changeset(asked: Sequence[Asked]) -> bytes:
    boundary = f"changeset_{uuid.uuid4().hex}"
    head = f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n"
    return head.encode() + _joined(boundary, [_part(one, str(at)) for at, one in enumerate(asked, 1)])


def _part(asked: Asked, content_id: str = "") -> bytes:
    body = b"" if asked.body is None else json.dumps(asked.body).encode()
    outer = {"Content-Type": "application/http", "Content-Transfer-Encoding": "binary"}
    inner = {"Accept": "application/json", **asked.headers}
    if content_id:
        outer["Content-ID"] = content_id
    if body:
        inner = {
            **inner,
            "Content-Type": inner.get("Content-Type", "application/json"),
            "Content-Length": str(len(body)),
        }
    return _head(outer) + f"{asked.method} {asked.path} HTTP/1.1\r\n".encode() + _head(inner) + body


def _head(headers: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n"


def parse(content_type: str, content: bytes) -> list[Reply | list[Reply]]:
    """Return the replies in their order; of a changeset that was carried out a list. Raises BatchFormatError."""
    found: list[Reply | list[Reply]] = []
    for at, part in enumerate(_split(content_type, content, ""), 1):
        headers, body = _parted(part, str(at))
        kind = headers.get("content-type", "")
        if kind.lower().startswith("multipart/mixed"):
            found.append([_inner(one, f"{at}.{n}") for n, one in enumerate(_split(kind, body, str(at)), 1)])
        else:
            found.append(_reply(kind, body, str(at)))
    return found


def _inner(part: bytes, position: str) -> Reply:
    headers, body = _parted(part, position)
    return _reply(headers.get("content-type", ""), body, position)


def _split(content_type: str, content: bytes, position: str) -> list[bytes]:
    told = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/mixed") or not told:
        raise BatchFormatError(position, f"is '{content_type[:100]}', not multipart/mixed with a boundary")
    mark = re.escape((told[1] or told[2]).encode("latin-1", "replace"))
    marks = list(re.finditer(rb"(?:^|\r?\n)--" + mark + rb"(--)?[ \t]*(?=\r?\n|$)", content))
    if not marks or not marks[-1][1]:
        raise BatchFormatError(position, "is not ended by its boundary: some of it is missing")
    if any(one[1] for one in marks[:-1]):
        raise BatchFormatError(position, "goes on after the boundary that ends it")
    return [content[one.end() : after.start()].lstrip(b"\r\n") for one, after in pairwise(marks)]


def _parted(part: bytes, position: str) -> tuple[dict[str, str], bytes]:
    """Split a part into its headers and what follows."""
    end = _END_OF_HEAD.search(part)
    head, body = (part[: end.start()], part[end.end() :]) if end else (part, b"")
    headers: dict[str, str] = {}
    for line in head.splitlines():
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name.strip():
            raise BatchFormatError(position, "has a line among its headers that is none")
        headers[name.strip().lower()] = value.strip()
    return headers, body


def _reply(kind: str, body: bytes, position: str) -> Reply:
    if not kind.lower().startswith("application/http"):
        raise BatchFormatError(position, f"is '{kind[:100]}', not application/http")
    line, _, rest = body.partition(b"\n")
    status = _STATUS.match(line)
    if status is None:
        raise BatchFormatError(position, "does not begin with a status line of HTTP")
    if rest.lstrip(b"\r").startswith(b"\n"):
        return Reply(int(status[1]), rest.lstrip(b"\r")[1:])
    headers, content = _parted(rest, position) if rest.strip() else ({}, b"")
    return Reply(int(status[1]), content, headers)
