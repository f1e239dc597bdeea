"""Reading by a manifest: pages, records, and what they say as messages and levels."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from pydantic import ValidationError

from controlplane.connectors import paging
from controlplane.connectors.contract import Context, Draft, Level, Record, UnmappedError
from controlplane.connectors.declared.manifest import Document, Levels, Read, RestRead, Since, Told
from controlplane.connectors.declared.request import Request
from controlplane.connectors.declared.soap import SoapClient
from controlplane.connectors.declared.values import (
    Scope,
    elements,
    evaluate,
    found,
    found_in,
    read_instant,
    tree,
    with_counts,
)
from controlplane.connectors.graphql import GraphqlClient
from controlplane.connectors.http import DEFAULT_WAIT, Answer, HttpClient, with_evidence
from controlplane.connectors.records import content_key, verbatim
from controlplane.errors import (
    BadInputError,
    ConnectorError,
    RejectedError,
    ThrottledError,
    UnavailableError,
    UnreadableError,
)
from rules.canonical import digest
from rules.model.messages import STATE_LIKE, TYPES, Data, as_json, parse, subject_of
from rules.personal import without_addresses

READ_AT = "_read_at"
"""Key of a record without a version that says when it was read: it is then an event of its own."""
PLACE = "_at"
"""Key of a file's record that says in which file, and in which line, it stands."""
BROKEN = "_broken"
"""Key of a file's record that could not be taken apart: why. It waits for a person; its neighbours go on."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How requests of a manifest are sent."""

    context: Context
    http: HttpClient
    auth: httpx.Auth | None
    document: Document
    options: Mapping[str, Any]
    soap: SoapClient | None = None

    def ask(self, request: Request, data: Mapping[str, Any], *, write: bool, accept: tuple[int, ...] = (), path: str = "",
            headers: Mapping[str, str] | None = None) -> Answer:  # fmt: skip
        """Send one request, `path` instead of its own where one is given. Raises ConnectorError, BadInputError before it is sent."""
        scope = Scope(data, self.context.codes.theirs, self.options)
        if request.operation is not None and self.soap:
            answer = self.soap.call(request.operation, tree(request.arguments, scope), write=write)
            self._refuse_errors(answer)
            return answer
        method, own, content = request.filled(scope)
        if path:
            content.pop("params", None)
        content["headers"] = {**content.get("headers", {}), **(headers or {})}
        if request.graphql is None:
            answer = self.http.send(method, path or own, write=write, auth=self.auth, accept=accept, **content)
        else:
            answer = self._graphql(own, content["json"], write=write)
        if answer.status < 300:
            self._refuse_errors(answer)
        return answer

    def _graphql(self, path: str, sent: Mapping[str, Any], *, write: bool) -> Answer:
        def read(errors: list[dict[str, Any]], extensions: Mapping[str, Any], _: bool) -> ConnectorError | None:
            return self._error({"errors": errors, "extensions": dict(extensions)})

        client = GraphqlClient(self.http, path, read, self.auth)
        send = client.tell if write else client.ask
        return send(sent["query"], **sent["variables"])[1]

    def _refuse_errors(self, answer: Answer) -> None:
        if not self.document.errors or not answer.content:
            return
        body = answer.json()
        try:
            error = self._error(body)
        except BadInputError as flaw:
            answer.fail(f"answered what `errors` of its manifest does not expect: {flaw}")
        if error:
            raise with_evidence(error, answer.evidence)

    def _error(self, body: Any) -> ConnectorError | None:
        for rule in self.document.errors:
            if not found(rule.when, body):
                continue
            detail = self.http.redactor.text(str(found(rule.detail or rule.when, body)))
            said = f"{self.context.system} says inside its answer: {without_addresses(detail)[:500]}"
            if rule.means == "throttled":
                return ThrottledError(said, _seconds(found(rule.wait, body) if rule.wait else None))
            return UnavailableError(said) if rule.means == "unavailable" else RejectedError(said)
        return None


def _seconds(told: Any) -> float:
    try:
        wait = float(told)
    except (TypeError, ValueError):
        return DEFAULT_WAIT
    return wait if math.isfinite(wait) and wait >= 0 else DEFAULT_WAIT


def pages(wire: Wire, read: RestRead, since: str | None) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
    """Yield the records of each page, with the answer that they came in. Raises ConnectorError."""
    for answer in _walk(wire, read, since):
        yield rows_of(read, answer), answer


def rows_of(read: RestRead, answer: Answer) -> list[dict[str, Any]]:
    """Return the records of an answer; without an answer there are none. What is no list of objects breaks the contract."""
    rows = found_in(answer, read.records, answer.json()) if answer.content else []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        answer.fail(f"answered no list of objects where '{read.records}' of the manifest looks for {read.entity}")
    return rows


def _walk(wire: Wire, read: RestRead, since: str | None) -> Iterator[Answer]:
    how = read.paging
    size = how.size

    def fetch(page: Any, path: str = "") -> Answer:
        data = {"since": since, "page": page, "size": size}
        return wire.ask(read.request, data, write=False, path=path)

    def rows(answer: Answer) -> list[dict[str, Any]]:
        return rows_of(read, answer)

    asked: Callable[[str | None], Answer] = paging.expiring(fetch) if how.expires else fetch
    match how.kind:
        case "token" | "relay":
            return paging.by_token(asked, lambda answer: _token(read, answer), rows)
        case "link":
            return paging.by_link(lambda path: fetch(None, path or ""), wire.context.endpoint, rows)
        case "next_url":
            return paging.by_next_url(
                lambda path: fetch(None, path or ""), wire.context.endpoint, lambda answer: _token(read, answer), rows
            )
        case "offset" | "numbered":
            step = 1 if how.kind == "numbered" else 0
            return paging.by_offset(
                fetch, rows, size, first=how.first, step=step, total_of=lambda answer: _total(read, answer)
            )
        case "key":
            return paging.by_key(fetch, rows, lambda row: _key_of(str(how.key), row), size)
    return iter((fetch(None),))


def _token(read: RestRead, answer: Answer) -> str | None:
    how, body = read.paging, answer.json()
    if how.kind == "relay":
        info = found_in(answer, f"{how.connection}.pageInfo", body)
        if not isinstance(info, dict) or "hasNextPage" not in info:
            answer.fail("answered a page without pageInfo")
        if info["hasNextPage"] and not info.get("endCursor"):
            answer.fail("promises another page and gives no cursor to it")
        return str(info["endCursor"]) if info["hasNextPage"] else None
    told = found_in(answer, str(how.token), body)
    return None if told in (None, "", False) else str(told)


def _total(read: RestRead, answer: Answer) -> int | None:
    if read.paging.total is None:
        return None
    told = found_in(answer, read.paging.total, answer.json())
    if not isinstance(told, int) or isinstance(told, bool):
        answer.fail(f"gives no number of rows where '{read.paging.total}' of the manifest looks for it")
    return told


def _key_of(path: str, row: Mapping[str, Any]) -> Any:
    try:
        key = found(path, row)
    except BadInputError as error:
        raise UnreadableError(f"answered a row that has no key by its manifest: {error}") from error
    return key if isinstance(key, str | int | float | None) else str(key)


def changed_at(since: Since, row: Mapping[str, Any]) -> datetime | None:
    """Return when a record changed by its own account; None where it does not say, or not so that it can be read."""
    try:
        told = found(since.field, row)
        if since.form in ("unix", "unix_ms"):
            return datetime.fromtimestamp(float(told) / (1000 if since.form == "unix_ms" else 1), UTC)
        return read_instant(told, ZoneInfo(since.zone or "UTC") if since.zone or since.form == "date" else None)
    except (BadInputError, TypeError, ValueError, OverflowError, OSError):
        return None


def asked_since(since: Since, last: datetime) -> str:
    """Return how the time from which on is read is written in the vendor's way, the overlap taken off."""
    at = last - since.overlap
    if since.form == "unix":
        return str(int(at.timestamp()))
    if since.form == "unix_ms":
        return str(int(at.timestamp() * 1000))
    local = at.astimezone(ZoneInfo(since.zone)) if since.zone else at
    return (
        local.date().isoformat()
        if since.form == "date"
        else local.strftime("%Y-%m-%dT%H:%M:%S") + ("" if since.zone else "Z")
    )


def record_of(read: Read, row: dict[str, Any], read_at: datetime) -> Record:
    """Return the record for intake: known by its content, unless nothing tells two of its states apart."""
    if _is_unversioned(read):
        return Record(read.entity, "", verbatim({**row, READ_AT: read_at.isoformat()}))
    body = verbatim(row)
    identity = str(row[PLACE] if PLACE in row else found(read.identity, row))
    return Record(read.entity, content_key(read.entity, identity, body), body)


def _is_unversioned(read: Read) -> bool:
    return any(told.type in STATE_LIKE and told.version is None for told in read.messages)


def drafts_of(read: Read, row: Mapping[str, Any], context: Context, options: Mapping[str, Any]) -> Iterator[Draft]:
    """Yield what a record says. Raises BadInputError (UnmappedError) naming the field."""
    if row.get(BROKEN):
        raise BadInputError(f"{row.get(PLACE)}: {row[BROKEN]}; correct the record, or drop it")
    for told in read.messages:
        within = elements(told.each, row, told.each) if told.each else iter((dict(row),))
        for data in within:
            if _is_told(told, data):
                yield _draft(told, Scope(data, context.codes.ours, options), context)


def _is_told(told: Told, data: Mapping[str, Any]) -> bool:
    if told.when is not None and not found(told.when, data):
        return False
    if told.status is None:
        return True
    status = str(found(told.status.path, data))
    if status in (*told.status.told, *told.status.ignored):
        return status in told.status.told
    raise BadInputError(
        f"the status '{status[:60]}' is neither told nor ignored by the manifest; add it to `status`", told.status.path
    )


def _draft(told: Told, scope: Scope, context: Context) -> Draft:
    fields = tree(told.fields, scope)
    version = evaluate(told.version, scope, "version")
    try:
        data = _typed(
            told.type,
            {name: one for name, one in fields.items() if one is not None or name not in _optional(told.type)},
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or told.type
        raise BadInputError(
            f"{told.type}.{field}: {first['msg']}; correct the record, or the manifest's `fields`", field
        ) from None
    subject, version = subject_of(data), None if version is None else str(version)
    occurred = _occurred(told, scope, version, context)
    return Draft(
        told.type,
        subject,
        _key(told.type, subject, version, fields),
        occurred,
        json.loads(as_json(data)),
        source_version=version,
    )


def _typed(kind: str, fields: dict[str, Any]) -> Data:
    """Return typed data; a count that a system gives as text or as 5.0 is read as one. Raises ValidationError."""
    try:
        return parse(kind, fields)
    except ValidationError as error:
        counts = [one["loc"] for one in error.errors(include_url=False) if one["type"] == "int_type"]
        return parse(kind, with_counts(fields, counts))


def _optional(kind: str) -> frozenset[str]:
    return frozenset(name for name, one in TYPES[kind].model_fields.items() if not one.is_required())


def _key(kind: str, subject: str, version: str | None, fields: Mapping[str, Any]) -> str:
    """A document is known by its reference; a state by its version and what it says, for two changes may share an instant."""
    if kind not in STATE_LIKE:
        return f"{kind}:{subject}"
    return "" if version is None else f"{kind}:{subject}:{version}:{digest(dict(fields))[:16]}"


def _occurred(told: Told, scope: Scope, version: str | None, context: Context) -> datetime:
    given = (
        evaluate(told.occurred_at, scope, "occurred_at")
        if told.occurred_at is not None
        else version or scope.data.get(READ_AT)
    )
    try:
        return read_instant(given)
    except (TypeError, ValueError):
        if told.occurred_at is not None:
            raise BadInputError(
                f"occurred_at: '{str(given)[:60]}' is no instant with a zone; correct the manifest", "occurred_at"
            ) from None
        return context.clock.now()


def levels_of(
    levels: Levels, row: Mapping[str, Any], answer: Answer, context: Context, options: Mapping[str, Any]
) -> Iterator[Level]:
    """Yield the levels that a record shows. What it cannot be read as breaks the contract (UnreadableError)."""
    try:
        for data in elements(levels.each, row, levels.each) if levels.each else (dict(row),):
            if levels.when is not None and not found(levels.when, data):
                continue
            scope = Scope(data, context.codes.ours, options)
            yield Level(
                sku=_text(levels.sku, scope, "sku"), location=_text(levels.location, scope, "location"),
                on_hand=_count(levels.on_hand, scope, "on_hand"), available=_count(levels.available, scope, "available"),
                source_at=_at(levels.source_at, scope), read_from=answer.started, read_to=answer.ended,
            )  # fmt: skip
    except UnmappedError:
        raise
    except BadInputError as error:
        answer.fail(f"answered a level that breaks its manifest: {error}")


def _text(value: Any, scope: Scope, name: str) -> str:
    told = evaluate(value, scope, name)
    if told in (None, ""):
        raise BadInputError(f"levels.{name} finds nothing", name)
    return str(told)


def _count(value: Any, scope: Scope, name: str) -> int | None:
    told = evaluate(value, scope, name)
    if told is None:
        return None
    try:
        if isinstance(told, bool) or float(told) != int(float(told)):
            raise ValueError(told)
        return int(float(told))
    except (TypeError, ValueError, OverflowError):
        raise BadInputError(f"levels.{name} finds '{str(told)[:60]}', which is no whole number", name) from None


def _at(value: Any, scope: Scope) -> datetime | None:
    told = evaluate(value, scope, "source_at")
    try:
        return None if told is None else read_instant(told)
    except ValueError:
        raise BadInputError(
            f"levels.source_at finds '{str(told)[:60]}', which is no instant with a zone", "source_at"
        ) from None
