"""Idempotency keys: a request that is sent again under its key gets the answer that it got, and has no second effect.

The first transaction that a request commits notes its key as effective, in the same commit. So a process that dies in between
leaves no doubt: nothing was committed, and another request may take the key over (after which the first can commit nothing any
more); or something was, and whoever sends the key again is told so.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from flask import Response, current_app, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection, Row, delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from controlplane.api.answers import actor, plane
from controlplane.errors import BadInputError, ConflictError, MalformedError, TrueupError
from controlplane.sealing import Keys
from controlplane.store import tables as t
from controlplane.store.upsert import insert_new
from rules.ids import new_id

HEADER = "Idempotency-Key"
AGAIN = "Idempotent-Replayed"
"""Header of an answer that was given before."""
SHAPE = re.compile(r"^[!-~]{1,200}$")
KEPT = timedelta(hours=24)
PATIENCE = timedelta(minutes=2)
"""After which a request that has committed nothing may be overtaken: nobody waits longer for an answer."""
CARRIED = ("Content-Type", "Location", "ETag")
K = t.request_key.c


@dataclass(frozen=True, slots=True)
class Claim:
    """One request under a key."""

    id: str
    key: str
    route: str
    body: str
    mine: str
    now: datetime

    @classmethod
    def of_request(cls) -> Claim:
        """Read it from the request. Raises MalformedError; KeyMissingError where the plane has lost its keys."""
        key = request.headers.get(HEADER, "")
        if SHAPE.match(key) is None:
            raise MalformedError(f"{HEADER}: {key[:80]!r} is none; give 1 to 200 visible ASCII characters", HEADER)
        now, route = plane().clock.now(), f"{request.method} {request.path}"
        asked = hashlib.sha256(request.query_string + b"\n" + request.get_data()).hexdigest()
        body = (
            Keys(plane().settings).ring().hashed(asked)
        )  # a password may stand in it, and a bare hash of it can be guessed at
        named = "\n".join((actor().name, str(actor().reach), route, key)).encode()  # an answer is for that reach alone
        return cls(hashlib.sha256(named).hexdigest(), key, route, body, new_id(now), now)

    def take(self) -> Row[tuple[object, ...]] | None:
        """Claim the key; return the row of one that was answered before. Raises BadInputError, ConflictError."""
        with plane().store.write() as conn:
            conn.execute(delete(t.request_key).where(K.at <= self.now - KEPT))
            if insert_new(conn, t.request_key, [self._row()]):
                return None
            found = conn.execute(select(t.request_key).where(K.id == self.id).with_for_update()).one()
            if found.body != self.body:
                raise BadInputError(
                    f"{HEADER}: '{self.key}' was sent with another body before; a new request takes a new key", HEADER
                )
            if found.state == "answered":
                return found
            self._overtake(conn, found)
        return None

    def _row(self) -> dict[str, object]:
        return {
            "id": self.id, "actor": actor().name, "route": self.route, "key": self.key, "body": self.body, "claim": self.mine,
            "state": "claimed", "at": self.now,
        }  # fmt: skip

    def _overtake(self, conn: Connection, found: Row[tuple[object, ...]]) -> None:
        waited = self.now - found.at
        if waited < PATIENCE:
            raise ConflictError(
                f"a request with the key '{self.key}' is under way; wait for it, and send this one then"
            )
        if found.state == "effective":
            raise ConflictError(
                f"a request with the key '{self.key}' has taken effect and was never answered; look at what is "
                "there now, and send what is missing with a new key"
            )
        conn.execute(update(t.request_key).where(K.id == self.id).values(claim=self.mine, at=self.now))

    def note(self, conn: Connection) -> None:
        """Note that something is committed under the key. Raises ConflictError when another request has taken it over."""
        mine = (K.id == self.id) & (K.claim == self.mine)
        if conn.execute(update(t.request_key).where(mine).values(state="effective")).rowcount != 1:
            raise ConflictError(f"another request has taken the key '{self.key}' over; wait for its answer")

    def let_go(self) -> None:
        """Give the key free when nothing was committed under it."""
        mine = (K.id == self.id) & (K.claim == self.mine)
        with plane().store.write() as conn:
            conn.execute(delete(t.request_key).where(mine, K.state == "claimed"))

    def keep(self, answer: Response, shown_once: str = "") -> None:
        """Keep what was answered, without what is shown once; but of a refusal that changed nothing, nothing: it may be tried again."""
        mine = (K.id == self.id) & (K.claim == self.mine)
        headers = {name: answer.headers[name] for name in CARRIED if name in answer.headers}
        told = {
            "state": "answered",
            "status": answer.status_code,
            "headers": headers,
            "answer": _kept(answer, shown_once),
        }
        if answer.status_code >= 400:
            self.let_go()
        with plane().store.write() as conn:
            conn.execute(update(t.request_key).where(mine).values(**told))


def _kept(answer: Response, shown_once: str) -> bytes:
    if not shown_once or answer.status_code >= 400:
        return answer.get_data()
    return orjson.dumps({**orjson.loads(answer.get_data()), shown_once: None})


def answered(make: Callable[[], ResponseReturnValue], shown_once: str = "") -> Response:
    """Answer a request under its key: as before, or by `make`. `shown_once`: the key of an answer whose value is kept nowhere.

    Raises MalformedError, BadInputError, ConflictError.
    """
    claim = Claim.of_request()
    before = claim.take()
    if before is not None:
        return _again(before)
    try:
        with plane().store.beside(claim.note):
            answer = current_app.make_response(make())
    except (TrueupError, HTTPException) as error:
        answer = current_app.make_response(current_app.handle_user_exception(error))
    except Exception:
        with suppress(SQLAlchemyError):  # the database may not answer, and not yet
            claim.let_go()
        raise
    claim.keep(answer, shown_once)
    return answer


def _again(found: Row[tuple[object, ...]]) -> Response:
    answer = Response(found.answer, status=found.status)
    for name, value in found.headers.items():
        answer.headers[name] = value
    answer.headers[AGAIN] = "true"
    return answer
