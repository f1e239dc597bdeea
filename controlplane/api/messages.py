"""/api/v1/messages: canonical messages from whoever has no connector. CloudEvents 1.0, one or a batch; see docs/messages.md."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Request, Response, json, jsonify, request

from controlplane.api.answers import actor, commands, plane, veiled
from controlplane.api.contract import contract
from controlplane.api.problems import problem
from controlplane.api.schemas import TEXT, WHOLE, YES, Either, Null
from controlplane.connectors.envelope import LONGEST, NEEDED
from controlplane.errors import BadInputError, ForbiddenError
from controlplane.sync.ledger import Receipt
from controlplane.telemetry.tracing import HEADER, caller

messages = Blueprint("messages", __name__, url_prefix="/api/v1")
SINGLE = ("application/json", "application/cloudevents+json")
BATCH = ("application/x-ndjson", "application/ndjson", "application/jsonl")
TAKEN = frozenset({*SINGLE, *BATCH})
MANY = {"accepted": WHOLE, "duplicates": WHOLE, "refused": [{"line": WHOLE, "reason": TEXT}], "ids": [TEXT]}
ONE = {"accepted": YES, "new": YES, "id": Null(TEXT)}
_NAMED = {"type": "string", "minLength": 1, "maxLength": LONGEST}
EVENT = {
    "type": "object",
    "description": "a CloudEvents 1.0 event; docs/messages.md says which types there are, and what their data are",
    "properties": {
        "specversion": {"const": "1.0"}, **dict.fromkeys(("id", "source", "type", "subject"), _NAMED),
        "time": {"type": "string", "format": "date-time"}, "schemaversion": {"type": ["integer", "null"]},
        "causationid": {"type": ["string", "null"], "minLength": 1, "maxLength": 36}, "traceparent": {"type": ["string", "null"]},
        "datacontenttype": {}, "dataschema": {}, "tracestate": {}, "data": {"type": "object"},
    },
    "required": sorted(NEEDED), "additionalProperties": False,
}  # fmt: skip
LINES = {"type": "string", "description": "one event a line"}


UTF8 = frozenset({"utf-8", "utf8", "us-ascii"})


@messages.post("/messages")
@contract(
    {202: Either((ONE, MANY)), 207: MANY, 422: MANY},
    right="messages.accept",
    takes=dict.fromkeys(SINGLE, EVENT) | dict.fromkeys(BATCH, LINES),
)
def accept() -> tuple[Response, int] | Response:
    """Take one event (JSON) or a batch, one event a line (NDJSON). Answered after the commit.

    202: every line is accepted, now or before. 207: some lines were refused, each with its reason; the others are
    accepted. 422: none could be taken, as a problem document that names each line. 503 with Retry-After: nothing was
    taken, send the same again later.
    """
    sent: Request = request._get_current_object()  # type: ignore[attr-defined]  # asked often here: not by way of its proxy
    who = actor()
    mimetype, charset = sent.mimetype, sent.mimetype_params.get("charset", "utf-8").lower()
    if mimetype not in TAKEN:
        return problem(
            415, f"the content type '{mimetype or 'none'}' is not taken; send application/json for one event, "
            "application/x-ndjson for one a line", "urn:trueup:mediatype",
        )  # fmt: skip
    packed = sent.headers.get("Content-Encoding", "identity")
    if packed.lower() != "identity":
        return problem(415, f"the content encoding '{packed}' is not taken; send it unpacked", "urn:trueup:mediatype")
    if charset not in UTF8:
        return problem(415, f"the charset '{charset}' is not taken; JSON is UTF-8", "urn:trueup:mediatype")
    batch = mimetype in BATCH
    told, may = caller(sent.headers.get(HEADER)), None if who.reach.everything else _may
    with commands().gate.deed(who, "messages.accept"):
        receipt = plane().sync.acceptor.accept(sent.get_data(cache=False), batch=batch, told=told, by=who.name, may=may)
    if not batch:
        [identity] = (receipt.accepted or receipt.known).values()
        return jsonify(accepted=True, new=bool(receipt.accepted), id=identity or None), 202
    if receipt.accepted or receipt.known:
        return jsonify(_told(receipt)), 207 if receipt.refused else 202
    return _none_taken(receipt)


def _may(source: str, kind: str) -> None:
    try:
        commands().gate.refuse_source(actor(), source, kind)
    except ForbiddenError as error:
        raise BadInputError(str(error)) from None


def _none_taken(receipt: Receipt) -> Response:
    first = receipt.refused[0]
    detail = f"none of {len(receipt.refused)} lines could be taken; line {first.line}: {veiled(first.reason)}"
    answer = problem(422, detail, "urn:trueup:badinput")
    answer.set_data(json.dumps({**(answer.get_json() or {}), **_told(receipt)}))
    return answer


def _told(receipt: Receipt) -> dict[str, Any]:
    return {
        "accepted": len(receipt.accepted),
        "duplicates": len(receipt.duplicates),
        "refused": [{"line": one.line, "reason": veiled(one.reason)} for one in receipt.refused],
        "ids": list(receipt.accepted.values()),
    }
