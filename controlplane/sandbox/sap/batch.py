"""`$batch`: each part is a request by itself; a changeset of which one part is refused is answered by that refusal alone."""

import json
import uuid
from collections.abc import Callable, Mapping
from email import message_from_bytes
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl

from controlplane.sandbox.sap.books import Erp, Refusal
from controlplane.sandbox.sap.services import Told

Handle = Callable[[str, str, Mapping[str, str], Mapping[str, str], Any], Told]
"""(method, path, what is asked, headers, body) -> the answer of a service."""


class _Failed(Refusal):
    def __init__(self, told: Told) -> None:
        super().__init__("", "")
        self.told = told


def answered(erp: Erp, handle: Handle, content_type: str, body: bytes, *, whole: bool = True) -> tuple[str, bytes]:
    """Return (content type, body). Raises Refusal for what is no batch. Not `whole`: it ends with the first part that is refused."""
    asked = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    if not asked.is_multipart():
        raise Refusal("/IWFND/CM_MGW/001", "Malformed batch request")
    answers: list[bytes] = []
    for part in _parts(asked):
        refused, answer = _answer(erp, handle, part)
        answers.append(answer)
        if refused and not whole:
            break
    return _joined(answers)


def _answer(erp: Erp, handle: Handle, part: Message) -> tuple[bool, bytes]:
    if not part.is_multipart():
        found = _one(handle, part)
        return found.status >= 400, _written(found)
    try:
        told = erp.together(lambda: [_kept(_one(handle, inside)) for inside in _parts(part)])
    except _Failed as failed:
        return True, _written(failed.told)
    kind, body = _joined([_written(one) for one in told])
    return False, f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _kept(told: Told) -> Told:
    if told.status >= 400:
        raise _Failed(told)
    return told


def _one(handle: Handle, part: Message) -> Told:
    head, _, rest = str(part.get_payload()).replace("\r\n", "\n").partition("\n\n")
    first, *lines = head.split("\n")
    method, target, _ = first.split(" ", 2)
    path, _, query = target.partition("?")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = json.loads(rest) if rest.strip() else None
    return handle(method, path.lstrip("/"), dict(parse_qsl(query)), headers, body)


def _parts(message: Message) -> list[Message]:
    held: Any = message.get_payload()
    return [one for one in held if isinstance(one, Message)] if isinstance(held, list) else []


def _joined(parts: list[bytes]) -> tuple[str, bytes]:
    boundary = uuid.uuid4().hex.upper()
    mark = f"--{boundary}".encode()
    return f"multipart/mixed; boundary={boundary}", b"".join(
        mark + b"\r\n" + one + b"\r\n" for one in parts
    ) + mark + b"--\r\n"


def _written(told: Told) -> bytes:
    body = b"" if told.body is None else json.dumps(told.body).encode()
    headers: Mapping[str, str] = {"Content-Type": "application/json", **told.headers, "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    inside = f"HTTP/1.1 {told.status} {'OK' if told.status < 400 else 'Bad Request'}\r\n{lines}\r\n".encode() + body
    outer = (
        f"Content-Type: application/http\r\nContent-Length: {len(inside)}\r\ncontent-transfer-encoding: binary\r\n\r\n"
    )
    return outer.encode() + inside + b"\r\n"
