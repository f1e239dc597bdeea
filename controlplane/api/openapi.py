"""GET /api/v1/openapi.json: OpenAPI 3.1, made of the routes, their docstrings and their contracts. See docs/api.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify
from werkzeug.routing import Rule

from controlplane.api import once
from controlplane.api.contract import CONTRACTS, JSON, LONGEST, Contract, contract, may_be_left_out
from controlplane.api.fields import KEPT
from controlplane.api.gate import CSRF_HEADER, SESSION_COOKIE
from controlplane.api.routes import PREFIX
from controlplane.api.schemas import OBJECT, Schemas

openapi = Blueprint("openapi", __name__, url_prefix="/api/v1")
PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `detail` names the thing, the rule and the remedy.",
    "properties": {
        "type": {"type": "string", "description": "about:blank, or urn:trueup:… with the class of the error"},
        "title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail"],
}  # fmt: skip
ABOUT = """REST for what the plane knows and does. Errors are problem documents (RFC 9457). Lists that grow are read by \
`limit` and `cursor`. What is edited has an ETag. A POST that has an effect takes an Idempotency-Key."""
REFUSED = {
    401: "Nobody is signed in.", 403: "The right is missing, or the CSRF header of a session.", 404: "There is no such thing.",
    409: "The state of the thing, or another request, does not allow it.", 412: "It has changed since it was read.",
    413: "The body is too large.", 415: "The content type is not taken.", 422: "What was sent breaks the contract or a rule.",
    428: "If-Match is missing.", 429: "The caller asks too often; Retry-After says when to go on.",
    502: "A system that was asked did not answer as it should.",
    503: "The plane cannot answer now; Retry-After says when to ask again.",
}  # fmt: skip


@openapi.get("/openapi.json")
@contract(OBJECT)
def get_openapi() -> Response:
    """Give this description of the API."""
    return jsonify(document(current_app))


def document(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of an application."""
    found = list(_operations(app))
    schemas = Schemas(
        [answer for _, _, made in found for answer in made.gives.values()],
        {made.body for _, _, made in found if made.body is not None},
    )
    paths: dict[str, dict[str, Any]] = {}
    for rule, method, made in found:
        paths.setdefault(_path(rule), {})[method.lower()] = _operation(app, rule, method, made, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trueup", "version": "1", "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**schemas.components, "Problem": PROBLEM},
            "responses": {str(status): _problem(why) for status, why in REFUSED.items()},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "a service token"},
                "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
                "csrf": {
                    "type": "apiKey",
                    "in": "header",
                    "name": CSRF_HEADER,
                    "description": "the cookie _csrf_token",
                },
            },
        },
    }


def _operations(app: Flask) -> Iterator[tuple[Rule, str, Contract]]:
    """Yield rule, method and contract. Raises LookupError for a handler that declares nothing."""
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith(PREFIX):
            continue
        made = CONTRACTS.get(app.view_functions[rule.endpoint])
        if made is None:
            raise LookupError(f"{rule.endpoint} has no contract; declare one with @contract below its route")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule, method, made


def _path(rule: Rule) -> str:
    return "".join(f"{{{part}}}" if dynamic else part for dynamic, part in _parts(rule))


def _parts(rule: Rule) -> Iterator[tuple[bool, str]]:
    for piece in rule.rule.replace(">", "<").split("<"):
        name = piece.rpartition(":")[2]
        yield name in rule.arguments, name if name in rule.arguments else piece


def _operation(app: Flask, rule: Rule, method: str, made: Contract, schemas: Schemas) -> dict[str, Any]:
    about = (app.view_functions[rule.endpoint].__doc__ or "").strip()
    parameters = [*_in_path(rule), *_in_query(made), *_in_headers(made)]
    found: dict[str, Any] = {
        "operationId": rule.endpoint.replace(".", "_"),
        "tags": [rule.endpoint.partition(".")[0]],
        "summary": about.split("\n")[0],
        "description": "\n".join(line.strip() for line in about.split("\n")[1:]).strip(),
        "parameters": parameters,
        "responses": _responses(rule, made, schemas),
        "security": _security(method, made),
    }
    taken = _request_body(made, schemas)
    return {name: value for name, value in found.items() if value} | ({"requestBody": taken} if taken else {})


def _security(method: str, made: Contract) -> list[dict[str, list[str]]]:
    """Return the ways in, each with the right that it takes; any of several will do."""
    csrf: dict[str, list[str]] = {} if method == "GET" else {"csrf": []}
    return [way for right in made.rights for way in ({"token": [right]}, {"session": [right], **csrf})]


# --- what is sent ---


def _in_path(rule: Rule) -> Iterator[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": KEPT}
    for dynamic, name in _parts(rule):
        if dynamic:
            yield {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(made: Contract) -> Iterator[dict[str, Any]]:
    if made.query is None:
        return
    whole = made.query.model_json_schema()
    for name, schema in whole["properties"].items():
        shown = {key: value for key, value in schema.items() if key not in ("title", "description")}
        told = {"name": name, "in": "query", "required": name in whole.get("required", ()), "schema": _not_null(shown)}
        yield told | ({"description": schema["description"]} if "description" in schema else {})


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query that leaves something out does so by not saying it."""
    ways = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default") or value is not None}
    return {**ways[0], **{key: value for key, value in rest.items() if key != "anyOf"}} if len(ways) == 1 else rest


def _in_headers(made: Contract) -> Iterator[dict[str, Any]]:
    if made.if_match:
        schema = {"type": "string"}
        about = "ETag of what was read; with another one there by now the answer is 412"
        yield {
            "name": "If-Match",
            "in": "header",
            "required": made.if_match == "needed",
            "schema": schema,
            "description": about,
        }
    if made.once:
        schema = {"type": "string", "pattern": once.SHAPE.pattern}
        about = "the same key, sent again within a day, gives the same answer and has no second effect"
        yield {"name": once.HEADER, "in": "header", "required": False, "schema": schema, "description": about}


def _request_body(made: Contract, schemas: Schemas) -> dict[str, Any]:
    if made.takes:
        return {"required": True, "content": {media: {"schema": schema} for media, schema in made.takes.items()}}
    if made.body is None:
        return {}
    return {"required": not may_be_left_out(made.body), "content": {JSON: {"schema": schemas.request(made.body)}}}


# --- what is answered ---


def _responses(rule: Rule, made: Contract, schemas: Schemas) -> dict[str, Any]:
    given = {str(status): _given(status, made, schemas) for status, told in made.gives.items()}
    return given | {
        str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(_refuses(rule, made))
    }


def _refuses(rule: Rule, made: Contract) -> set[int]:
    reads = made.body is not None or bool(made.takes)
    follows = {
        404: bool(rule.arguments), 422: True, 413: reads, 415: reads, 409: made.once, 412: bool(made.if_match),
        428: made.if_match == "needed",
    }  # fmt: skip
    found = {401, 403, 429, 503, *made.refuses} | {status for status, does in follows.items() if does}
    return found - set(made.gives)


def _given(status: int, made: Contract, schemas: Schemas) -> dict[str, Any]:
    schema = schemas.answer(made.gives[status])
    content: dict[str, Any] = {made.media: {"schema": schema} if made.media == JSON else {}}
    if status >= 400:
        content |= _problem("")["content"]
    found: dict[str, Any] = {"description": HTTPStatus(status).phrase, "content": content}
    if made.etag:
        found["headers"] = {"ETag": {"schema": {"type": "string"}}}
    if made.links and status < 300:
        found["links"] = {_name(one.endpoint, one.places): _link(one.endpoint, one.places) for one in made.links}
    return found


def _name(endpoint: str, places: Mapping[str, str]) -> str:
    return f"{endpoint.replace('.', '_')}_by_{'_'.join(places)}"


def _link(endpoint: str, places: Mapping[str, str]) -> dict[str, Any]:
    parameters = {name: place if place.startswith("$") else f"$response.body#{place}" for name, place in places.items()}
    return {"operationId": endpoint.replace(".", "_"), "parameters": parameters}


def _problem(why: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": why, "content": {"application/problem+json": {"schema": schema}}}
