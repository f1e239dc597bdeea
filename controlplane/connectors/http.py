"""The one HTTP client of all connectors: pool, limits, time-outs, and what became of a request, classed by consequence.

    never left (no connection, refused before it was read)   UnavailableError
    never left (the address is none that may be spoken to)    BlockedAddressError, an UnavailableError
    slow down (429)                                           ThrottledError
    refused for good (3xx, 4xx)                               RejectedError
    left, and no answer that tells                            UnknownOutcomeError for a write, UnavailableError for a read
    answered against the contract                             UnknownOutcomeError for a write, UnreadableError for a read

A write is a request that changes something at the system when it is carried out; everything else is a read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

import httpx

from controlplane.connectors.allowances import Left
from controlplane.connectors.contract import Context
from controlplane.connectors.downloads import whole
from controlplane.connectors.pace import Pace
from controlplane.connectors.records import loads
from controlplane.connectors.redaction import Redactor
from controlplane.connectors.transport import PinnedTransport, within
from controlplane.errors import (
    BlockedAddressError,
    ConnectorError,
    RejectedError,
    ThrottledError,
    UnavailableError,
    UnknownOutcomeError,
    UnreadableError,
)
from controlplane.telemetry.tracing import HEADER, outgoing

DEFAULT_WAIT = 2.0
"""Seconds to wait when a system says 'slow down' and not for how long."""
LARGEST = 64 * 2**20
"""Bytes of the largest answer that is taken."""
PART = 2**18
"""Bytes that a file is handed on in."""
ours_until: ContextVar[Callable[[], datetime] | None] = ContextVar("ours_until", default=None)
"""Says until when what is being sent may be sent by us; afterwards another worker may send it."""
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a system answered. `started` and `ended` are instants of our clock around the exchange."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    started: datetime
    ended: datetime
    wrote: bool
    told: Callable[[], dict[str, Any]] = dict
    """Makes the evidence, which costs more than reading the answer, and which nobody asks for of most reads."""
    system: str = "the system"
    """Whose answer it is, for messages."""
    _parsed: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def evidence(self) -> dict[str, Any]:
        """The redacted exchange."""
        return self.told()

    def json(self) -> Any:
        """Return the body read as JSON, once: whoever asks gets the same, and changes nothing in it.

        Raises UnreadableError, of a write UnknownOutcomeError.
        """
        try:
            if not self._parsed:
                self._parsed.append(loads(self.content))
            return self._parsed[0]
        except ValueError:
            kind = self.headers.get("content-type", "no content type")
            self.fail(f"answered {self.status} with {len(self.content)} bytes that are not JSON ({kind})")

    def fail(self, what: str) -> NoReturn:
        """Raise for an answer that breaks the contract; of a write the effect is then unknown."""
        raise with_evidence(
            (UnknownOutcomeError if self.wrote else UnreadableError)(f"{self.system} {what}"), self.evidence
        )


def with_evidence(error: ConnectorError, evidence: Mapping[str, Any]) -> ConnectorError:
    """Attach the redacted exchange to the error and return it."""
    error.evidence = dict(evidence)
    return error


class HttpClient:
    """The way to one system. Make one per connector; it may be used from several threads."""

    def __init__(self, context: Context, redactor: Redactor, *, headers: Mapping[str, str] | None = None) -> None:
        self.context, self.redactor = context, redactor.beside(context.hidden)
        self._headers = {"user-agent": "trueup/1", **(headers or {})}
        self._wall = max(context.timeout * context.clock.pace, 0.001)
        self._places = threading.BoundedSemaphore(context.concurrency)
        self._pace = Pace(context)
        limits = httpx.Limits(max_connections=context.concurrency + 1, max_keepalive_connections=context.concurrency)
        # no redirects: a redirected write would be sent twice; no proxy from the environment: policy names the way
        transport = PinnedTransport(context.door, limits)
        self._client = httpx.Client(transport=transport, timeout=self._wall, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        write: bool,
        auth: httpx.Auth | None = None,
        accept: tuple[int, ...] = (),
        limited: bool = True,
        **content: Any,
    ) -> Answer:
        """Send one request to endpoint + path (already percent-encoded) and return the answer.

        `content` is httpx's: json, content, data, params, headers. Statuses other than 2xx are raised unless accepted.
        `limited` is False only for fetching a token, which happens while the request that needs it holds its place. Such an answer is
        read as it came: a system may give out the same token again, which is hidden everywhere else by then.
        Raises the ConnectorErrors above, each with the redacted exchange as evidence.
        """
        request = self._request(method, path, content)
        with self._place() if limited else nullcontext():
            self.context.meter()
            answer = self._exchange(request, auth, write=write, plain=not limited)
        if answer.status not in accept and not 200 <= answer.status < 300:
            self.refuse(answer)
        return answer

    def parts(self, path: str, *, auth: httpx.Auth | None = None) -> Iterator[bytes]:
        """Get a file of any size and yield its bytes as they come, in parts; a place is held until the last one, or `close`.

        Each part may take the time-out of one request, for the whole has no size to tell it from. It is read on where it breaks off, if
        the system lets it. Raises as `send` does, UnavailableError where it ends in the middle. Nothing is hidden in it: it is data,
        which no credential belongs in.
        """
        pause = partial(self.context.clock.wait, threading.Event(), 1.0)
        with self._place():
            yield from whole(partial(self._stream, path, auth), pause)

    def _stream(
        self, path: str, auth: httpx.Auth | None, headers: Mapping[str, str]
    ) -> tuple[httpx.Response, Iterator[bytes]]:
        request, began = self._request("GET", path, {"headers": headers}), self.context.clock.now()
        self.context.meter()
        with self._classed(request, write=False), within(self._wall):
            response = self._client.send(request, auth=auth, stream=True)
        if 200 <= response.status_code < 300:
            return response, self._parts(request, response)
        try:
            self.refuse(self._answer(request, response, self._body(request, response), began, write=False))
        finally:
            response.close()

    def _body(self, request: httpx.Request, response: httpx.Response) -> bytes:
        with self._classed(request, write=False), within(self._wall):
            return self.redactor.content(self._read(response))

    def _parts(self, request: httpx.Request, response: httpx.Response) -> Iterator[bytes]:
        coming = response.iter_bytes(PART)
        while True:
            with self._classed(request, write=False), within(self._wall):
                part = next(coming, None)
            if part is None:
                return
            yield part

    def refuse(self, answer: Answer) -> NoReturn:
        """Raise what the status of an answer that was accepted means after all. Raises ConnectorError."""
        raise with_evidence(self._refusal(answer), answer.evidence)

    def _request(self, method: str, path: str, content: dict[str, Any]) -> httpx.Request:
        traced = outgoing.get()
        headers = {**self._headers, **({HEADER: traced} if traced else {}), **content.pop("headers", {})}
        try:
            url = httpx.URL(self.context.endpoint.rstrip("/") + path)
        except httpx.InvalidURL as error:
            raise RejectedError(f"the endpoint of {self.context.system} is no address: {error}") from error
        request = self._client.build_request(method, url, headers=headers, **content)
        request.read()  # a form with files is a stream until it is read, and could not be shown as evidence
        return request

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=self._wall):
            raise UnavailableError(
                f"{self.context.system}: all {self.context.concurrency} connections were busy for "
                f"{self.context.timeout:g} s; nothing was sent. Raise `concurrency` if the system can take more"
            )
        try:
            self._pace.step()
            yield
        finally:
            self._places.release()

    def _exchange(self, request: httpx.Request, auth: httpx.Auth | None, *, write: bool, plain: bool) -> Answer:
        started = self.context.clock.now()
        if write and (until := ours_until.get()) is not None and started >= until():
            raise UnavailableError(
                f"{self.context.system}: our claim ran out while the request waited for its turn; nothing was sent"
            )
        with self._classed(request, write=write), within(self._wall):
            response = self._client.send(request, auth=auth, stream=True)
            try:
                read = self._read(response)
                content = read if plain else self.redactor.content(read)
            finally:
                response.close()
        if not plain:
            self.context.left.heard(response.headers, self.context.clock.now())
        return self._answer(request, response, content, started, write=write)

    @contextmanager
    def _classed(self, request: httpx.Request, *, write: bool) -> Iterator[None]:
        try:
            yield
        except BlockedAddressError as error:
            with_evidence(error, error.evidence or self._evidence(request, None, b""))
            raise
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise with_evidence(self._failure(error, write=write), self._evidence(request, None, b"")) from error

    def _answer(
        self, request: httpx.Request, response: httpx.Response, content: bytes, started: datetime, *, write: bool
    ) -> Answer:
        return Answer(
            status=response.status_code,
            headers=response.headers,
            content=content,
            started=started,
            ended=self.context.clock.now(),
            wrote=write,
            told=partial(self._evidence, request, response, content),
            system=self.context.system,
        )

    def _read(self, response: httpx.Response) -> bytes:
        parts, size = [], 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                raise httpx.ReadError(f"the answer was not over after {size} bytes, and no more are taken")
        return b"".join(parts)

    def _failure(self, error: Exception, *, write: bool) -> ConnectorError:
        system, told = self.context.system, self.redactor.text(str(error)) or type(error).__name__
        if isinstance(error, NOT_SENT):
            return UnavailableError(f"{system}: no connection, nothing was sent: {told}")
        if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
            return RejectedError(f"the endpoint of {system} is no address: {told}; correct it in the System policy")
        if write:
            return UnknownOutcomeError(
                f"{system}: the request left and no answer came: {told}; read back before any retry"
            )
        return UnavailableError(f"{system}: no answer: {told}")

    def _refusal(self, answer: Answer) -> ConnectorError:
        status, system = answer.status, self.context.system
        told = f"{system} answered {status}: {self._told(answer)}"
        if status == 429:
            return ThrottledError(told, retry_after(answer.headers, self.context.clock.now()))
        if status == 401:
            # nothing is wrong with the document: it waits until the credentials are put right
            self.context.refused()
            return UnavailableError(f"{told}; check the secrets of the System policy")
        if status < 500 and status != 408:
            return RejectedError(told)
        if answer.wrote and not (status == 503 and "retry-after" in answer.headers):
            return UnknownOutcomeError(f"{told}; it may have taken effect")
        error = UnavailableError(told)
        if "retry-after" in answer.headers:
            error.retry_after = retry_after(answer.headers, self.context.clock.now())
        return error

    def _told(self, answer: Answer) -> str:
        if "html" in answer.headers.get("content-type", ""):
            return "an HTML page"
        return self.redactor.body(answer.content, 500, self.context.personal) or "no body"

    def _evidence(self, request: httpx.Request, response: httpx.Response | None, content: bytes) -> dict[str, Any]:
        asked = {
            "method": request.method,
            "url": self.redactor.text(str(request.url)),
            "body": self.redactor.body(request.content, 1500, self.context.personal),
        }
        if response is None:
            return {"request": asked, "response": None}
        return {
            "request": asked,
            "response": {
                "status": response.status_code,
                "body": self.redactor.body(content, 1500, self.context.personal),
            },
        }


@contextmanager
def elsewhere(context: Context, url: str, *signed: str) -> Iterator[tuple[HttpClient, str]]:
    """Give a client of another address that a system named, for a file, and the path there; the system's door and limits hold.

    Whatever its query says is as good as a password and hidden, and so is what is `signed`. Raises UnreadableError for no address.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise UnreadableError(f"{context.system} names a file at an address that is none")
    hidden = [*signed, *(value for _, value in parse_qsl(parts.query))]
    other = replace(context, endpoint=f"{parts.scheme}://{parts.netloc}", left=Left())
    client = HttpClient(other, Redactor(hidden))
    try:
        yield client, f"{parts.path}?{parts.query}" if parts.query else parts.path
    finally:
        client.close()


def retry_after(headers: Mapping[str, str], now: datetime) -> float:
    """Return the seconds that a Retry-After header asks for, given as seconds or as a date; else the default."""
    given = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(given)
    except (ValueError, OverflowError):  # a year of twenty digits
        return DEFAULT_WAIT
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
