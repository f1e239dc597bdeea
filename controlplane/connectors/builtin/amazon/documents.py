"""Documents that Amazon keeps at its store of objects: an address that is good for five minutes, of bytes that may be compressed."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NoReturn
from urllib.parse import urlsplit

from controlplane.connectors.contract import Context
from controlplane.connectors.http import Answer, HttpClient, with_evidence
from controlplane.connectors.redaction import Redactor
from controlplane.errors import UnavailableError

STORES = (".amazonaws.com", ".amazonaws.com.cn")
"""Where documents may lie, beside the endpoint itself."""
CHUNK = 2**16
LARGEST = 2**31
"""Bytes of a document that are unpacked at most."""
LONGEST = 2**20
"""Bytes of the longest line."""
GZIP = "GZIP"


@dataclass(frozen=True, slots=True)
class Document:
    """What came of an address; kept as it came, and unpacked anew each time that it is read."""

    answer: Answer
    packed: bool

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield (number from 1, line without its end); no more than a piece is held unpacked. Raises ConnectorError, ValueError."""
        number, rest = 0, b""
        for piece in self._pieces():
            *whole, rest = (rest + piece).split(b"\n")
            if len(rest) > LONGEST:
                raise ValueError(f"line {number + len(whole) + 1} is longer than {LONGEST} bytes")
            for line in whole:
                number += 1
                yield number, self._text(line)
        if rest:
            yield number + 1, self._text(rest)

    def content(self) -> bytes:
        """Return all of it. Raises ConnectorError."""
        return b"".join(self._pieces())

    def _text(self, line: bytes) -> str:
        bare = line.rstrip(b"\r").removeprefix(b"\xef\xbb\xbf")
        told = re.search(r"charset=[\"']?([\w-]+)", self.answer.headers.get("content-type", ""), re.IGNORECASE)
        for charset in (told[1] if told else "utf-8", "utf-8"):
            try:
                return bare.decode(charset)
            except (LookupError, UnicodeDecodeError):
                continue
        return bare.decode("cp1252", errors="replace")

    def _pieces(self) -> Iterator[bytes]:
        if not self.packed:
            yield from (self.answer.content[at : at + CHUNK] for at in range(0, len(self.answer.content), CHUNK))
            return
        unpacker, size, left = zlib.decompressobj(zlib.MAX_WBITS | 16), 0, self.answer.content
        while not unpacker.eof:
            try:
                piece = unpacker.decompress(left, CHUNK)
            except zlib.error as error:
                self.answer.fail(f"answered a document that is no gzip: {error}")
            left, size = unpacker.unconsumed_tail, size + len(piece)
            if size > LARGEST or (not piece and not left and not unpacker.eof):
                self.answer.fail(f"answered a document that breaks off, or is too large, after {size} bytes")
            yield piece


def download(context: Context, url: str, algorithm: str | None, source: Answer) -> Document:
    """Fetch a document. `source`: the answer that named its address. Raises ConnectorError."""
    if algorithm not in (None, GZIP):
        source.fail(f"packs a document by {algorithm}, which is not known")
    http, path = _client(context, url, source)
    try:
        answer = http.send("GET", path, write=False, accept=(403,))
    finally:
        http.close()
    if answer.status == 403:
        _ran_out(context, answer)
    return Document(answer, algorithm == GZIP)


def upload(context: Context, url: str, content: bytes, kind: str, source: Answer) -> None:
    """Put a document where `source` says that it is expected. Raises ConnectorError."""
    http, path = _client(context, url, source)
    try:
        answer = http.send("PUT", path, write=False, accept=(403,), content=content, headers={"content-type": kind})
    finally:
        http.close()
    if answer.status == 403:
        _ran_out(context, answer)


def _client(context: Context, url: str, source: Answer) -> tuple[HttpClient, str]:
    """The address is a credential for as long as it is good: what signs it is hidden."""
    parts, own = urlsplit(url), urlsplit(context.endpoint)
    ours = (parts.scheme, parts.netloc) == (own.scheme, own.netloc)
    if not ours and (parts.scheme != "https" or not (parts.hostname or "").endswith(STORES) or "@" in parts.netloc):
        source.fail(f"keeps a document at {parts.hostname}, which is no store of Amazon's")
    redactor = Redactor([value for value in (parts.query,) if value])
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return HttpClient(replace(context, endpoint=f"{parts.scheme}://{parts.netloc}"), redactor), path


def _ran_out(context: Context, answer: Answer) -> NoReturn:
    told = f"{context.system}: the address of a document ran out before it was used; it is asked for again"
    raise with_evidence(UnavailableError(told), answer.evidence)
