"""The depot's connector: one entity per guarantee. Knows the connector contract and the shared client, like any other.

Documents go in by POST, levels by PUT. A level from the source carries the source's own change time as its version; one
that the plane makes (`stock.offer`) carries what it was computed from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from controlplane.connectors.contract import (
    Connector,
    Context,
    Draft,
    Inbound,
    Level,
    Manifest,
    ReadSpec,
    Record,
    Write,
    WriteSpec,
)
from controlplane.connectors.http import Answer, HttpClient
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.connectors.redaction import Redactor
from controlplane.errors import BadInputError, RejectedError, UnavailableError
from rules.outcomes import Guarantee, Outcome, Result

LATE = 1.0
"""Seconds within which a request that was not answered may still take effect. The depot keeps to it unless told not to."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INLETS = {
    "keyed_doc": "keyed",
    "readable_doc": "readable",
    "none_doc": "none",
    "conditional_state": "conditional",
    "readable_state": "state",
    "available": "offers",
}
"""Entity -> inlet."""
DOCUMENT, LEVEL = "receipt.received", "stock.level"


class DepotConnector(Connector):
    """The depot. Takes CloudEvents (structured, JSON) as webhooks, so that it can be a source too."""

    manifest: ClassVar[Manifest] = Manifest(
        name="depot",
        title="Depot (the judge of the chaos tests)",
        reads=(ReadSpec("levels", snapshot=True),),
        writes=(
            WriteSpec("keyed_doc", (DOCUMENT,), Guarantee.KEYED, LATE),
            WriteSpec("readable_doc", (DOCUMENT,), Guarantee.READABLE, LATE),
            WriteSpec("none_doc", (DOCUMENT,), Guarantee.NONE, LATE),
            WriteSpec("conditional_state", (LEVEL,), Guarantee.CONDITIONAL, LATE),
            WriteSpec("readable_state", (LEVEL,), Guarantee.READABLE, LATE),
            WriteSpec("available", ("stock.offer",), Guarantee.CONDITIONAL, LATE),
        ),
        receives=(DOCUMENT, LEVEL),
        probes=(),
        verified_against="the depot itself",
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._http = HttpClient(context, Redactor([]))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ping(self) -> None:
        """Ask whether it is there."""
        self._http.send("GET", "/healthz", write=False)

    # --- in ---
    def receive(self, inbound: Inbound) -> Record:
        """Take a CloudEvent; its id makes it known again. There is no signature on loopback."""
        event = read_event(inbound.body)
        return Record(event["type"], f"{event['type']}:{event['id']}", inbound.body)

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read the CloudEvent as the message that it is."""
        event = read_event(body)
        occurred = datetime.fromisoformat(event["time"])
        key = f"{event['type']}:{event['subject']}:{event['id']}"
        return [Draft(event["type"], event["subject"], key, occurred, event["data"], event.get("sourceversion"))]

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield the offers' levels of the keys; one that was never written shows 0. All of them: there are none at first."""
        if entity != "levels":
            yield from super().snapshot(entity, keys)
        yield [self._level(sku, location) for sku, location in keys or ()]

    def _level(self, sku: str, location: str) -> Level:
        answer = self._shown("available", f"{sku}@{location}")
        value = answer.json()["effects"][-1]["value"] if answer.status == 200 else 0
        return Level(sku, location, None, value, answer.started, answer.started, answer.ended)

    # --- out ---
    @answering_write
    def write(self, request: Write) -> Outcome:
        """Write to the inlet of the entity."""
        spec = self.manifest.write_spec(request.entity)
        document = DOCUMENT in spec.message_types
        ref = request.business_ref if document else request.subject
        headers = {"Idempotency-Key": quote(request.idempotency_key, safe=":/@#")}
        body = dict(request.payload) if document else level_body(request.payload)
        answer = self._http.send(
            "POST" if document else "PUT", _path(request.entity, ref), write=True, headers=headers, json=body,
            accept=(409,),
        )  # fmt: skip
        return _outcome(answer, request)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look the reference up where the inlet shows it; a keyed inlet takes the same write again without harm."""
        spec = self.manifest.write_spec(request.entity)
        if spec.guarantee is Guarantee.KEYED:
            return Outcome(Result.UNSEEN, "nothing is shown here; the key makes a second write harmless")
        if spec.guarantee is Guarantee.NONE:
            return Outcome(Result.UNKNOWN, "this inlet shows nothing and has no key: nobody can tell")
        document = DOCUMENT in spec.message_types
        answer = self._shown(request.entity, request.business_ref if document else request.subject)
        effects = answer.json()["effects"] if answer.status == 200 else []
        mine = [effect for effect in effects if effect["idempotency_key"] == _sent_key(request)]
        if mine:
            shown = tuple(str(effect["number"]) for effect in mine) if document else ()
            return Outcome(
                Result.ALREADY_DELIVERED, target_at=_instant(mine[-1]), native_id=str(mine[-1]["number"]), effects=shown
            )
        return Outcome(Result.ABSENT, f"{request.business_ref} is not there") if document else _newer(effects, request)

    def _shown(self, entity: str, ref: str) -> Answer:
        return self._http.send("GET", _path(entity, ref), write=False, accept=(404,))


def read_event(body: bytes) -> dict[str, Any]:
    """Read a CloudEvent. Raises BadInputError naming what is missing."""
    try:
        event = json.loads(body)
        missing = {"id", "type", "subject", "time", "data"} - event.keys()
    except (ValueError, AttributeError) as error:
        raise BadInputError(f"not a CloudEvent in JSON: {error}; send one object") from error
    if missing:
        raise BadInputError(f"a CloudEvent without {', '.join(sorted(missing))}; add it")
    return dict(event)


def level_body(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a level as the depot takes it: its value, and what the write rests on."""
    if "expected" in payload:
        return {"value": payload["quantity"], "expected": payload["expected"] or 0}
    return {"value": payload["available"], "version": version_of(payload)}


def version_of(payload: Mapping[str, Any]) -> int:
    """Return the source's change time as a number that grows with it: microseconds since the epoch, exactly."""
    changed = datetime.fromisoformat(str(payload["source_at"]).replace("Z", "+00:00"))
    return (changed - EPOCH) // timedelta(microseconds=1)


def _path(entity: str, ref: str) -> str:
    return f"/{INLETS[entity]}/{quote(ref, safe='')}"


def _sent_key(request: Write) -> str:
    return quote(request.idempotency_key, safe=":/@#")


def _instant(effect: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(effect["at"], UTC)


def _outcome(answer: Answer, request: Write) -> Outcome:
    """Return what the depot's answer means; a 200 may have an error inside."""
    told = answer.json()
    if not isinstance(told, dict):
        answer.fail("answered a write with something that is not an object")
    if isinstance(error := told.get("error"), dict):
        kind = UnavailableError if error.get("code") == "busy" else RejectedError
        raise kind(f"the depot answered {answer.status} with an error inside: {error.get('message')}")
    if told.get("verdict") == "stale":
        return _stale(told.get("shown"))
    if told.get("verdict") not in ("effect", "duplicate") or not told.get("effect"):
        answer.fail("answered a write without saying what became of it")
    done = Result.DELIVERED if told["verdict"] == "effect" else Result.ALREADY_DELIVERED
    effect = told["effect"]
    return Outcome(done, target_at=_instant(effect), native_id=str(effect["number"]), evidence=answer.evidence)


def _stale(shown: Mapping[str, Any] | None) -> Outcome:
    """Return the outcome for a level that holds something else than the write rests on."""
    current = shown["value"] if shown else 0
    at = _instant(shown) if shown else None
    return Outcome(Result.STALE, f"the depot shows {current}", current=current, target_at=at)


def _newer(effects: Sequence[Mapping[str, Any]], request: Write) -> Outcome:
    """Tell a level that holds something newer from one that has not been written yet."""
    shown = effects[-1] if effects else None
    ours = level_body(request.payload)
    if "expected" in ours:
        moved = (shown["value"] if shown else 0) != ours["expected"]
    else:
        moved = shown is not None and shown["version"] >= ours["version"]
    return _stale(shown) if moved else Outcome(Result.ABSENT, f"{request.subject} has not been written yet")
