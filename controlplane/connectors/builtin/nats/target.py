"""A stream that events are put into: each under a subject of its own business key, so that it can be looked up there.

The server keeps `Nats-Msg-Id` for the stream's duplicate window (two minutes unless it was made otherwise), and a plane may be away for
longer. So the id protects only what is told again at once, and it is the look-up that proves.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from nats.errors import MaxPayloadError
from nats.js.api import RetentionPolicy
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from controlplane.connectors.builtin.nats.link import Link, named
from controlplane.connectors.contract import Write
from controlplane.connectors.events import event_of, headers_of
from controlplane.errors import RejectedError, UnavailableError, UnknownOutcomeError
from rules.model.messages import STATE_LIKE
from rules.outcomes import Outcome, Result

ID = "Nats-Msg-Id"
MOST = 10_000
"""Messages of one subject that are looked through."""
AHEAD = timedelta(minutes=5)
"""How far the server's clock may be from ours."""


def subject_of(prefix: str, request: Write) -> str:
    """Return the subject of a message: prefix, type, and the business key as one token."""
    key = quote(request.subject, safe="@:/#+=,;!$&'()-_~").replace(".", "%2E")
    return f"{prefix}.{request.entity}.{key}"


def publish(link: Link, request: Write) -> Outcome:
    """Put an event into the stream, acknowledged by the server. Raises ConnectorError."""
    address, login = link.address, link.login
    headers = {**headers_of(request), ID: request.idempotency_key}
    asked = link.js.publish(
        subject_of(address.subject, request),
        event_of(request),
        timeout=login.timeout,
        stream=address.stream,
        headers=headers,
    )
    try:
        with named(address, login):
            told = link.run(_translated(asked), login.timeout + 1)
    except RejectedError:
        raise
    except UnavailableError as error:
        if isinstance(error.__cause__, APIError) or "does not answer for a stream" in str(error):
            raise
        raise UnknownOutcomeError(f"{error}; it may have been stored: look there before it is told again") from error
    result = Result.ALREADY_DELIVERED if told.duplicate else Result.DELIVERED
    return Outcome(result, native_id=f"{told.stream}/{told.seq}")


async def _translated(asked: Any) -> Any:
    try:
        return await asked
    except MaxPayloadError as error:
        raise RejectedError(
            "the event is larger than the server takes; raise max_payload there, or correct it"
        ) from error
    except ServiceUnavailableError:
        raise
    except APIError as error:
        if error.code == 400:
            raise RejectedError(f"the stream refuses it: {error.description}; correct it, or the stream") from error
        raise


def find(link: Link, request: Write) -> Outcome:
    """Look an event up under its subject. Raises ConnectorError."""
    address, login = link.address, link.login
    subject = subject_of(address.subject, request)
    with named(address, login):
        last = _last(link, subject)
        if last is not None and _is(last, request):
            return _found(last)
        if request.entity in STATE_LIKE:
            return Outcome(Result.ABSENT, "the last state under its subject is another")
        if last is not None and (older := _among(link, subject, int(last.seq), request)):
            return older
        return _proof(link, request)


def _last(link: Link, subject: str) -> Any:
    try:
        return link.run(link.js.get_last_msg(link.address.stream, subject), link.login.timeout)
    except NotFoundError:
        return None


def _among(link: Link, subject: str, last: int, request: Write) -> Outcome | None:
    seq = 1
    for _ in range(MOST):
        asked = link.js.get_msg(link.address.stream, seq=seq, subject=subject, next=True)
        try:
            found = link.run(asked, link.login.timeout)
        except NotFoundError:
            return None
        if _is(found, request):
            return _found(found)
        seq = int(found.seq or 0) + 1
        if seq > last:
            return None
    return Outcome(Result.UNKNOWN, f"more than {MOST} messages lie under {subject}; look there")


def _is(message: Any, request: Write) -> bool:
    return bool((message.headers or {}).get(ID) == request.idempotency_key)


def _found(message: Any) -> Outcome:
    at = message.time.astimezone(UTC) if isinstance(message.time, datetime) else None
    return Outcome(Result.ALREADY_DELIVERED, target_at=at, native_id=str(message.seq))


def _proof(link: Link, request: Write) -> Outcome:
    """It is not there. That proves something only of a stream that has removed nothing since it was owed."""
    told = link.run(link.js.stream_info(link.address.stream), link.login.timeout)
    state = told.state
    if told.config.retention not in (RetentionPolicy.LIMITS, None):
        return Outcome(
            Result.UNKNOWN,
            "the stream forgets what was consumed, so that its absence proves nothing; look at its consumers",
        )
    if state.last_seq == 0 or (state.first_seq <= 1 and not state.num_deleted):
        return Outcome(Result.ABSENT, "the stream has all that it was ever told, and not this")
    if state.messages and not state.num_deleted and request.owed_since is not None:
        first = link.run(link.js.get_msg(link.address.stream, seq=state.first_seq), link.login.timeout)
        if isinstance(first.time, datetime) and first.time.astimezone(UTC) < request.owed_since - AHEAD:
            return Outcome(Result.ABSENT, "the stream has all that it was told since this was owed, and not this")
    return Outcome(
        Result.UNKNOWN, "the stream has removed messages since this was owed, so that its absence proves nothing"
    )
