"""What each handler takes and answers, said once beside it: the declaration checks the request, and openapi.json is made of it.

A handler gets `query` and `asked`, the models that are declared, and only for whom has the right. What breaks the declaration is
refused with `urn:trueup:malformed` before the handler is called; what a rule of the plane refuses is its own to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, TypeVar

import orjson
from flask import request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import PreconditionRequired, UnsupportedMediaType

from controlplane.access import allowed, require
from controlplane.api import once
from controlplane.api.answers import actor
from controlplane.errors import MalformedError, NotFoundError
from controlplane.store.text import is_kept

Handler = Callable[..., ResponseReturnValue]
Model = TypeVar("Model", bound=BaseModel)
JSON = "application/json"
LONGEST = 200
"""Characters of a part of a path: no name or id is longer."""


@dataclass(frozen=True, slots=True)
class Link:
    """What can be asked next with something of an answer: endpoint, path parameter -> place in the answer (JSON pointer)."""

    endpoint: str
    places: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Contract:
    """The declaration of one handler."""

    gives: Mapping[int, Any]
    """Status -> what is answered, in the words of `schemas`."""
    rights: tuple[str, ...]
    """Any of them lets in."""
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    refuses: tuple[int, ...]
    """Statuses of problems beside those that follow from the rest."""
    if_match: Literal["", "heeded", "needed"]
    etag: bool
    once: bool
    """It takes an Idempotency-Key."""
    shown_once: str
    """Key of the answer that is never kept: sent again, the request is answered with null there."""
    links: tuple[Link, ...]
    takes: Mapping[str, Any]
    """Media type -> schema, of a body that the handler reads itself."""
    media: str


CONTRACTS: dict[Callable[..., Any], Contract] = {}
"""Handler as it is registered -> its declaration."""


def contract(
    gives: Any,
    *,
    right: str | tuple[str, ...] = "view",
    query: type[BaseModel] | None = None,
    body: type[BaseModel] | None = None,
    refuses: tuple[int, ...] = (),
    if_match: Literal["", "heeded", "needed"] = "",
    etag: bool = False,
    once: bool = False,
    shown_once: str = "",
    links: tuple[Link, ...] = (),
    takes: Mapping[str, Any] | None = None,
    media: str = JSON,
    status: int = 200,
) -> Callable[[Handler], Handler]:
    """Declare a handler. `gives`: the answer, with this `status`; or a mapping of statuses to answers."""
    answers = gives if isinstance(gives, dict) and all(isinstance(key, int) for key in gives) else {status: gives}
    rights = (right,) if isinstance(right, str) else right
    made = Contract(
        answers,
        rights,
        query,
        body,
        refuses,
        if_match,
        etag or bool(if_match),
        once,
        shown_once,
        links,
        takes or {},
        media,
    )

    def declare(handler: Handler) -> Handler:
        @wraps(handler)
        def checked(**path: str) -> ResponseReturnValue:
            return _checked(made, handler, path)

        CONTRACTS[checked] = made
        return checked

    return declare


def _checked(made: Contract, handler: Handler, path: Mapping[str, str]) -> ResponseReturnValue:
    _refuse_without(made.rights)
    _refuse_path(path)
    given: dict[str, Any] = dict(path)
    read = _query(made.query)
    if made.query is not None:
        given["query"] = read
    if made.body is not None:
        given["asked"] = _body(made.body)
    if made.if_match:
        _refuse_unseen(made)
    if made.once and once.HEADER in request.headers:
        return once.answered(lambda: handler(**given), made.shown_once)
    return handler(**given)


def _refuse_without(rights: tuple[str, ...]) -> None:
    if not any(allowed(actor(), right) for right in rights):
        require(actor(), rights[0])


def _refuse_path(path: Mapping[str, str]) -> None:
    for name, value in path.items():
        if len(value) > LONGEST or not is_kept(value):
            raise NotFoundError(f"nothing has the {name} {value[:LONGEST]!r}: it is too long, or no text that is kept")


# --- query ---


def _query(model: type[BaseModel] | None) -> BaseModel | None:
    if model is None and not request.query_string:
        return None
    given = request.args.to_dict(flat=False)
    known = model.model_fields if model is not None else {}
    for name, values in given.items():
        if name not in known:
            takes = f"it takes: {', '.join(known)}" if known else "it takes none"
            raise MalformedError(f"the query has no parameter '{name[:80]}' here; {takes}", name)
        if len(values) > 1:
            raise MalformedError(f"the query says '{name}' more than once; say it once", name)
    if model is None:
        return None
    try:
        return model.model_validate({name: values[0] for name, values in given.items()})
    except ValidationError as error:
        raise _malformed("the query", error) from None


# --- body ---


def may_be_left_out(model: type[BaseModel]) -> bool:
    """Say whether a body that says nothing is one of this model."""
    try:
        model()
    except ValidationError:
        return False
    return True


def _body(model: type[Model]) -> Model:
    raw = request.get_data()
    if not raw and may_be_left_out(model):
        return model()
    if request.mimetype != JSON:
        told = request.mimetype or "none"
        raise UnsupportedMediaType(f"the content type '{told}' is not taken; send a JSON object as {JSON}")
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"the body is no JSON: {error}; send a JSON object") from None
    try:
        return model.model_validate_json(orjson.dumps(found), strict=True)
    except ValidationError as error:
        raise _malformed("the body", error) from None


def _malformed(what: str, error: ValidationError) -> MalformedError:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    rule = first["msg"].removeprefix("Value error, ")
    where = f"{what}: `{place}`" if place else what
    return MalformedError(f"{where}: {rule}; GET /api/v1/openapi.json says what is taken", place)


# --- If-Match ---


def _refuse_unseen(made: Contract) -> None:
    if made.if_match == "needed" and "If-Match" not in request.headers:
        raise PreconditionRequired(
            "this replaces what others may have edited since you read it; read it again, and send its ETag as If-Match"
        )


def seen() -> frozenset[str] | None:
    """Return the versions that the caller has seen, of which one must be there still; None: it does not matter.

    What is no ETag of ours is one that nothing has.
    """
    given = request.if_match
    return None if "If-Match" not in request.headers or given.star_tag else frozenset(given.as_set())
