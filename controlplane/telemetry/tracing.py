"""Traces in the terms of W3C Trace Context: a message's trace id, and span ids that follow from the ids of rows.

Whoever knows a row knows the id of its span. So spans that different processes make, or one process before and after a restart,
belong together without anything being handed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Literal, NamedTuple, Protocol

Kind = Literal["server", "consumer", "internal", "client"]
HEADER = "traceparent"
TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")


class Caller(NamedTuple):
    """The trace that a caller told, and its span."""

    trace_id: str
    span_id: str


def caller(header: str | None) -> Caller | None:
    """Read a `traceparent`; None without one, and where it is not as the standard has it, which says to go on without."""
    match = PARENT.fullmatch(header.strip()) if header else None
    return Caller(match[1], match[2]) if match else None


def span_id(kind: str, row_id: str) -> str:
    """Return the id of the span that stands for a step of a row: 16 hex digits, always the same."""
    return blake2b(f"{kind}:{row_id}".encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Span:
    """A step that is over. It names things by our own ids and by policy names, never by what a business record holds."""

    name: str
    trace_id: str
    span_id: str
    parent: str
    """Span id; empty for the first of a trace."""
    began: datetime
    ended: datetime
    kind: Kind = "internal"
    attributes: Mapping[str, str | int | bool] = field(default_factory=dict)
    failed: bool = False


class Tracer(Protocol):
    """Who takes spans."""

    on: bool
    """Whether anybody looks at traces; while not, nothing is to be made for them."""

    def takes(self, trace_id: str) -> bool:
        """Say whether spans of a trace are taken: for each of its steps, in every process, the same answer."""
        ...

    def record(self, spans: Iterable[Span]) -> None:
        """Take spans that are over, of traces that are taken."""
        ...

    def traceparent(self, trace_id: str, span_id: str) -> str:
        """Return the header that makes a request belong to a span; empty for a trace that has no proper id."""
        ...

    def close(self) -> None:
        """Send what is left, within seconds, and end."""
        ...


class _Off:
    on = False

    def takes(self, trace_id: str) -> bool:
        """Take none."""
        return False

    def record(self, spans: Iterable[Span]) -> None:
        """Take nothing."""

    def traceparent(self, trace_id: str, span_id: str) -> str:
        """Return no header: a caller that does not trace must not decide for those who do."""
        return ""

    def close(self) -> None:
        """End nothing."""


OFF: Tracer = _Off()
outgoing: ContextVar[str] = ContextVar("outgoing", default="")
"""The `traceparent` of the requests that are made in this context; empty: they carry none."""


@contextmanager
def carrying(header: str) -> Iterator[None]:
    """Let the requests made inside carry the header."""
    token = outgoing.set(header)
    try:
        yield
    finally:
        outgoing.reset(token)
