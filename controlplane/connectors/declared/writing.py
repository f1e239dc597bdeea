"""Writing by a manifest: one request, what its answer means, and how it is found out afterwards whether it took effect."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from controlplane.connectors.contract import Write
from controlplane.connectors.declared.access import told
from controlplane.connectors.declared.manifest import Condition, DeclaredWrite
from controlplane.connectors.declared.reading import Wire
from controlplane.connectors.declared.values import found, found_in, read_instant
from controlplane.connectors.http import Answer, retry_after
from controlplane.errors import BadInputError
from rules.outcomes import Guarantee, Outcome, Result

NOT_FOUND = (404, 410)


def asked(request: Write) -> dict[str, Any]:
    """Return what expressions of a write see."""
    return {
        "payload": dict(request.payload), "ref": request.business_ref, "subject": request.subject, "key": request.idempotency_key,
    }  # fmt: skip


def write(wire: Wire, spec: DeclaredWrite, request: Write) -> Outcome:
    """Send it once. Raises ConnectorError, and BadInputError before anything is sent."""
    data = asked(request)
    if spec.before:
        before = wire.ask(spec.before.request, data, write=False, accept=NOT_FOUND)
        data["before"] = told(before)["body"]
        if spec.before.needs is not None and not found_in(before, spec.before.needs, data["before"]):
            waits = f"{wire.context.system} has nothing yet where '{spec.before.needs}' looks; the {spec.entity} waits for it"
            return Outcome(Result.UNAVAILABLE, waits, evidence={"waits_for": waits})
    headers: dict[str, str] = {}
    if spec.condition:
        current, etag, answer = _shown(wire, spec.condition, request)
        expected = request.payload.get("expected")
        if expected is not None and current != expected:
            return Outcome(
                Result.STALE,
                f"it shows {current}, not {expected} as was computed with",
                current=current,
                evidence=answer.evidence,
            )
        headers = {"If-Match": etag}
    answer = wire.ask(spec.request, data, write=True, accept=tuple(spec.answers), headers=headers)
    return _outcome(wire, spec, answer)


def _shown(wire: Wire, condition: Condition, request: Write) -> tuple[int | None, str, Answer]:
    answer = wire.ask(condition.request, asked(request), write=False)
    seen = told(answer)
    current, etag = found_in(answer, condition.current, seen["body"]), found_in(answer, condition.etag, seen)
    if not isinstance(etag, str) or not etag:
        answer.fail(f"gives no tag where '{condition.etag}' of the manifest looks for it; nothing was sent")
    try:
        return None if current is None else int(current), etag, answer
    except (TypeError, ValueError, OverflowError):
        answer.fail(f"shows no whole number where '{condition.current}' of the manifest looks for it; nothing was sent")


def _outcome(wire: Wire, spec: DeclaredWrite, answer: Answer) -> Outcome:
    meaning = spec.answers.get(answer.status)
    if meaning is None:
        if answer.content.strip() and not answer.headers.get("content-type", "").startswith("text/plain"):
            answer.json()  # a page of some proxy, given with 200, says nothing of the system
        return Outcome(Result.DELIVERED, native_id=_native(spec, answer), evidence=answer.evidence)
    said = f"{wire.context.system} answered {answer.status}, which the manifest reads as {meaning}"
    wait = retry_after(answer.headers, wire.context.clock.now()) if meaning == "throttled" else None
    return Outcome(Result(meaning), said, retry_after=wait, evidence=answer.evidence)


def _native(spec: DeclaredWrite, answer: Answer) -> str | None:
    """What it is called there; that it cannot be told makes nothing of the write uncertain."""
    if spec.native_id is None:
        return answer.headers.get("location", "").rpartition("/")[2] or None
    try:
        name = found(spec.native_id, told(answer)["body"])
    except BadInputError:
        return None
    return None if name in (None, "") else str(name)


def read_back(wire: Wire, spec: DeclaredWrite, request: Write) -> Outcome:
    """Find out whether it took effect: by the lookup; else, of what is conditional, by what is shown; else only the key protects."""
    if spec.lookup is None:
        return _by_condition(wire, spec, request)
    answer = wire.ask(spec.lookup.request, asked(request), write=False, accept=NOT_FOUND)
    if answer.status in NOT_FOUND:
        return Outcome(
            Result.ABSENT,
            f"{wire.context.system} has no {spec.entity} {request.business_ref}",
            evidence=answer.evidence,
        )
    body = answer.json() if answer.content else None
    seen: Mapping[str, Any] = (
        {**body, "asked": asked(request)} if isinstance(body, dict) else {"items": body, "asked": asked(request)}
    )
    if not found_in(answer, spec.lookup.found, seen):
        return Outcome(
            Result.ABSENT,
            f"{wire.context.system} shows no {spec.entity} {request.business_ref}",
            evidence=answer.evidence,
        )
    native = found_in(answer, spec.lookup.id, seen) if spec.lookup.id else None
    at = _at(found_in(answer, spec.lookup.at, seen)) if spec.lookup.at else None
    detail = f"{wire.context.system} has it" + (f" as {native}" if native else "")
    shown = found_in(answer, spec.lookup.ids, seen) if spec.lookup.ids else None
    return Outcome(
        Result.ALREADY_DELIVERED, detail, target_at=at, native_id=None if native is None else str(native),
        effects=tuple(map(str, shown)) if isinstance(shown, list) else (),
    )  # fmt: skip


def _by_condition(wire: Wire, spec: DeclaredWrite, request: Write) -> Outcome:
    if spec.condition is None:
        what = (
            "its key makes the same write harmless"
            if spec.guarantee is Guarantee.KEYED
            else "nothing protects a second write"
        )
        result = Result.UNSEEN if spec.guarantee is Guarantee.KEYED else Result.UNKNOWN
        return Outcome(result, f"the manifest has no lookup of {spec.entity}; {what}")
    current, _, answer = _shown(wire, spec.condition, request)
    wanted, expected = request.payload.get("quantity"), request.payload.get("expected")
    if current == wanted:
        return Outcome(
            Result.ALREADY_DELIVERED, f"it shows {current} already", current=current, evidence=answer.evidence
        )
    if expected is not None and current == expected:
        return Outcome(Result.ABSENT, f"it still shows {current}", current=current, evidence=answer.evidence)
    return Outcome(Result.STALE, f"it shows {current}", current=current, evidence=answer.evidence)


def _at(given: Any) -> datetime | None:
    try:
        return read_instant(given)
    except (TypeError, ValueError):
        return None
