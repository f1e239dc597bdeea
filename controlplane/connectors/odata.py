"""OData V2 as SAP's gateways and others speak it: a service with its CSRF token, pages, ETags, errors, and `$batch`.

Instants are `/Date(ms)/`, decimals are text, answers are wrapped in `d`. A change that needs an ETag is sent with If-Match; when the entity
is not any more what it was when it was read, ChangedMeanwhileError says so, and nothing took effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, NoReturn
from urllib.parse import quote, urlsplit

import httpx

from controlplane.connectors import odata_batch
from controlplane.connectors.http import Answer, HttpClient, with_evidence
from controlplane.connectors.paging import Seen, by_next_url
from controlplane.connectors.records import loads
from controlplane.connectors.sessions import CsrfToken
from controlplane.errors import RejectedError, UnavailableError

REFUSED = (400, 403, 404, 409, 412, 422, 423, 428)
"""Statuses whose body says what is wrong."""
CHANGED = 412
LOCKED = 423
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(r"/Date\((-?\d{1,17})(?:([+-])(\d{1,4}))?\)/")


class ChangedMeanwhileError(UnavailableError):
    """The entity changed since it was read (412); nothing took effect. Read it anew and decide again."""


class LockedError(UnavailableError):
    """Somebody else is working on what is to be changed; nothing took effect, and it is free in a while."""


Row = Mapping[str, Any]


class Service:
    """One service. `root`: its path below the endpoint. `locks`: codes of errors by which the system says that something is locked."""

    kinds: ClassVar[Row] = {"Accept": "application/json"}
    """Headers that say what is spoken; of a request in a batch, too."""
    together: ClassVar[Row] = {}
    """Headers of a batch, beside what it is."""

    def __init__(
        self, http: HttpClient, auth: httpx.Auth, root: str, *, locks: frozenset[str] = frozenset(), wait: float = 30.0
    ) -> None:
        self.http, self.root, self._locks, self._wait = http, root, locks, wait
        base = urlsplit(http.context.endpoint).path.rstrip("/")
        self._auth = CsrfToken(auth, f"{base}{root}/")

    def ask(self, path: str, **params: str) -> Answer:
        """Read; parameters are told without their `$`. Raises ConnectorError."""
        asked = {f"${name}": value for name, value in params.items()}
        return self._sent("GET", path, write=False, params=asked)

    def found(self, path: str) -> tuple[dict[str, Any], str] | None:
        """Return an entity and its ETag, None where there is none of that key."""
        answer = self._sent("GET", path, write=False, missing=True)
        if answer.status == httpx.codes.NOT_FOUND:
            return None
        entity = self._one(answer)
        return entity, self.tag(answer, entity)

    def rows(self, path: str, **params: str) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
        """Yield the pages of a list along the `__next` that each gives."""
        first = {f"${name}": value for name, value in params.items()}
        root = self.http.context.endpoint.rstrip("/") + self.root

        def fetch(further: str | None) -> Answer:
            if further:
                return self._sent("GET", further, write=False)
            return self._sent("GET", path, write=False, params=first)

        for answer in by_next_url(fetch, root, self._further, self._results):
            yield self._results(answer), answer

    def by_key(self, path: str, key: str, size: int, **params: str) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
        """Yield the pages of a list by a unique key that it is ordered by: rows that come or go meanwhile move no other.

        A page that is short ends the walk only where it promises no further one: a gateway may give fewer rows than it was asked for.
        """
        after, chosen, was_full, seen = "", params.pop("filter", ""), False, Seen("")
        while True:
            further = f"{key} gt {text(after)}" if after else ""
            wanted = " and ".join(one for one in (chosen, further) if one)
            asked = {**params, **({"filter": wanted} if wanted else {}), "orderby": key, "top": str(size)}
            answer = self.ask(path, **asked)
            rows = self._results(answer)
            if rows:
                yield rows, answer
            if not rows or (was_full and len(rows) < size and not self._further(answer)):
                return
            was_full = was_full or len(rows) >= size
            after = str(rows[-1].get(key) or "")
            seen.once(after, answer)

    def create(self, path: str, body: Row) -> tuple[dict[str, Any], Answer]:
        """Create an entity, with what belongs to it; return it as it is then."""
        answer = self._sent("POST", path, write=True, json=dict(body))
        return self._one(answer), answer

    def merge(self, path: str, body: Row, tag: str) -> Answer:
        """Change some properties of an entity that is still as it was read."""
        answer = self._sent("PATCH", path, write=True, json={"d": dict(body)}, headers={"If-Match": tag})
        if answer.status != httpx.codes.NO_CONTENT:
            answer.fail(f"answered a change with {answer.status}, and 204 is how it says that it is made")
        return answer

    def call(self, function: str, tag: str = "", **params: str) -> Answer:
        """Call a function that changes something; parameters are literals."""
        headers = {"If-Match": tag} if tag else {}
        answer = self._sent("POST", f"/{function}", write=True, params=params, headers=headers)
        found = answer.json()
        if not isinstance(found.get("d") if isinstance(found, Mapping) else None, Mapping):
            answer.fail(f"answered {function} without `d`")
        return answer

    def batch(
        self, operations: Sequence[odata_batch.Operation], *, write: bool
    ) -> tuple[list[odata_batch.Reply | list[odata_batch.Reply]], Answer]:
        """Ask several things at once; return a reply to each. An answer that is no batch, or too short, leaves a write unknown."""
        kind, body = odata_batch.build(operations)
        headers = {"Content-Type": kind, "Accept": "multipart/mixed", **self.together}
        answer = self._sent("POST", "/$batch", write=write, content=body, headers=headers)
        try:
            replies = odata_batch.parse(answer.headers.get("content-type", ""), answer.content)
        except odata_batch.BatchFormatError as error:
            answer.fail(f"answered a batch that cannot be read: {error}")
        if len(replies) != len(operations):
            answer.fail(f"answered {len(replies)} of the {len(operations)} parts of a batch")
        return replies, answer

    def refusal(self, status: int, body: Any, evidence: Row) -> RejectedError | UnavailableError:
        """Return what a refusal means, with the system's own words."""
        code, told = problem(body)
        words = (
            f"{self.http.context.system} refused ({status}): {told or 'without a word'}{f' [{code}]' if code else ''}"
        )
        kind = ChangedMeanwhileError if status == CHANGED else RejectedError
        error: Any = kind(words[:600])
        if status == LOCKED or code in self._locks:
            error = LockedError(words[:600])
            error.retry_after = self._wait
        with_evidence(error, evidence)
        return error  # type: ignore[no-any-return]

    def _sent(self, method: str, path: str, *, write: bool, missing: bool = False, **content: Any) -> Answer:
        accept = {**self.kinds, **content.pop("headers", {})}
        answer = self.http.send(
            method, self.root + path, write=write, auth=self._auth, accept=REFUSED, headers=accept, **content
        )
        if answer.status in REFUSED and not (missing and answer.status == httpx.codes.NOT_FOUND):
            self._refuse(answer)
        return answer

    # --- how bodies are written ---
    @staticmethod
    def entity_of(body: Any) -> dict[str, Any] | None:
        """Return the entity that a body is; None where it is none."""
        found = body.get("d") if isinstance(body, Mapping) else None
        return dict(found) if isinstance(found, Mapping) and "results" not in found else None

    @staticmethod
    def rows_of(body: Any) -> list[dict[str, Any]] | None:
        """Return the rows that a body lists, None where it is no list; older services give them without `results`."""
        found = body.get("d") if isinstance(body, Mapping) else None
        rows = found.get("results") if isinstance(found, Mapping) else found
        return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None

    @staticmethod
    def further_of(body: Any) -> str | None:
        """Return where a list goes on."""
        found = body.get("d") if isinstance(body, Mapping) else None
        told = found.get("__next") if isinstance(found, Mapping) else None
        return str(told) if told else None

    @staticmethod
    def nested(rows: Sequence[Row]) -> Any:
        """Return what an entity is made with under a navigation."""
        return {"results": list(rows)}

    @staticmethod
    def inside(entity: Row, name: str) -> list[dict[str, Any]]:
        """Return what an entity holds under a navigation that was expanded. Raises KeyError, TypeError where it was not."""
        return inner(entity, name)

    @staticmethod
    def day(told: str) -> str:
        """Return a day."""
        return date(told)

    @staticmethod
    def tag(answer: Answer, entity: Row) -> str:
        """Return the ETag of an entity: of the header, or of its metadata; empty where it has none."""
        about = entity.get("__metadata")
        told = about.get("etag") if isinstance(about, Mapping) else None
        return str(answer.headers.get("etag") or told or "")

    def _one(self, answer: Answer) -> dict[str, Any]:
        return self.entity_of(answer.json()) or answer.fail("answered without an entity")

    def _results(self, answer: Answer) -> list[dict[str, Any]]:
        found = self.rows_of(answer.json())
        return answer.fail("answered a list without results") if found is None else found

    def _further(self, answer: Answer) -> str | None:
        return self.further_of(answer.json())

    def _refuse(self, answer: Answer) -> NoReturn:
        try:
            body = loads(answer.content)
        except ValueError:
            body = None
        if not problem(body)[1] and answer.status not in (CHANGED, LOCKED):
            self.http.refuse(answer)
        raise self.refusal(answer.status, body, answer.evidence)


def inner(entity: Row, name: str) -> list[dict[str, Any]]:
    """Return what an entity holds under a navigation that was expanded. Raises KeyError, TypeError where it was not."""
    held = entity[name]
    return [dict(row) for row in (held["results"] if isinstance(held, Mapping) else held)]


def problem(body: Any) -> tuple[str, str]:
    """Return code and words of an error body, with the details that say more than its headline."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return "", ""
    message = error.get("message")
    words = [str(message.get("value", "") if isinstance(message, Mapping) else message or "")]
    inside = error.get("innererror")
    details = error.get("details") or (inside.get("errordetails") if isinstance(inside, Mapping) else None)
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, Mapping) and str(detail.get("severity", "error")) == "error":
            words.append(str(detail.get("message", "")))
    return str(error.get("code") or ""), "; ".join(dict.fromkeys(filter(None, words)))


def warnings(headers: Row) -> str:
    """Return what an answer says beside its success, in the header `sap-message` (V4: `sap-messages`); empty where it says nothing."""
    try:
        told = loads(str(headers.get("sap-message") or headers.get("sap-messages") or "null"))
    except ValueError:
        return ""
    first = told if isinstance(told, list) else [told]
    more = told.get("details") if isinstance(told, Mapping) else None
    all_told = [one for one in (*first, *(more if isinstance(more, list) else ())) if isinstance(one, Mapping)]
    return "; ".join(str(one.get("message")) for one in all_told if one.get("message"))


def text(value: str) -> str:
    """Return a literal of a text."""
    return "'" + value.replace("'", "''") + "'"


def key(value: str) -> str:
    """Return the literal of a text as a part of a path."""
    return quote(text(value), safe="'")


def instant(at: datetime) -> str:
    """Return a literal of an instant, to the second."""
    return f"datetimeoffset'{at.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}'"


def date(day: datetime | str) -> str:
    """Return a day as bodies have it: the first instant of it, without a zone."""
    start = datetime.fromisoformat(day[:10]) if isinstance(day, str) else day
    return f"/Date({int((start.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC) - EPOCH).total_seconds() * 1000)})/"


def read_instant(told: str) -> datetime:
    """Read an instant; what stands behind the milliseconds is the zone that it was written in, and moves nothing. Raises ValueError."""
    found = _INSTANT.fullmatch(told)
    if found is None:
        raise ValueError(told)
    try:
        return EPOCH + timedelta(milliseconds=int(found[1]))
    except OverflowError as error:
        raise ValueError(told) from error


def decimal(told: Any) -> Decimal:
    """Read a decimal, which is told as text. Raises ValueError for everything else, for what is no number or endless too."""
    if not isinstance(told, str) or not re.fullmatch(r"\s*-?\d{1,40}(\.\d{1,40})?\s*", told):
        raise ValueError(told)
    return Decimal(told.strip())


def whole(told: Any) -> int:
    """Read a quantity of pieces. Raises ValueError for a fraction."""
    number = decimal(told)
    if number != number.to_integral_value():
        raise ValueError(told)
    return int(number)


def as_text(number: Any) -> str:
    """Return a number as bodies have it: without an exponent."""
    return format(Decimal(str(number)), "f")
