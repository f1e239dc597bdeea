"""Send claimed deliveries, or read them back; always end with a named outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isfinite
from typing import Literal

from controlplane.clock import Clock
from controlplane.connectors.contract import (
    BatchRefusedError,
    Connector,
    UnmappedError,
    UnsupportedError,
    Write,
    WriteSpec,
)
from controlplane.connectors.http import ours_until
from controlplane.connectors.outcomes import AWAITED, DEFECTIVE, outcome_of
from controlplane.errors import (
    BadInputError,
    ConnectorError,
    RejectedError,
    ThrottledError,
    TrueupError,
    UnknownOutcomeError,
)
from controlplane.store.text import plain
from controlplane.sync.delivery.claim import Claimed
from rules.outcomes import REPEATABLE, Guarantee, Outcome, Result
from rules.pacing import Allowance
from rules.personal import without_addresses

DEFECT = timedelta(seconds=60)
"""How long the effect of a write is awaited whose connector failed in a way nobody foresaw."""
TOOK_EFFECT = frozenset({Result.DELIVERED, Result.ALREADY_DELIVERED})
NOTHING_SENT = (BatchRefusedError, BadInputError, UnsupportedError)
"""What says that nothing of a batch took effect, for the sake of one record of it or before any was sent."""
Kind = Literal["write", "read-back", "repeat"]


@dataclass(slots=True)  # not frozen, which would double the time to make one; nobody changes it
class Sent:
    """A delivery and what came of it."""

    claimed: Claimed
    outcome: Outcome
    kind: Kind
    started_at: datetime
    finished_at: datetime
    late_effect: timedelta
    """Within which the request may still take effect, if the outcome is unknown."""
    seen_at: datetime | None = None
    """The target's clock at the reading that the write was computed from, when we had to read first."""
    allowance: Allowance | None = None
    """What the system said is left of its limit."""


def batch_of(connector: Connector, entity: str) -> int:
    """Return how many deliveries of an entity one request can carry."""
    try:
        return connector.manifest.write_spec(entity).batch
    except TrueupError:
        return 1


def grouped(connector: Connector, claimed: Sequence[Claimed]) -> list[list[Claimed]]:
    """Return the requests that the claimed deliveries are sent with.

    What is read back goes alone, and what was; and a level of which has to be read first what it is computed from.
    """
    found: list[list[Claimed]] = []
    open_: dict[str, list[Claimed]] = {}
    for item in claimed:
        size = 1 if item.alone or _lacks_base(item) else batch_of(connector, item.entity)
        group = open_.get(item.entity)
        if size == 1:
            found.append([item])
        elif group is None or len(group) >= size:
            open_[item.entity] = [item]
            found.append(open_[item.entity])
        else:
            group.append(item)
    return found


def _lacks_base(claimed: Claimed) -> bool:
    """Whether it is a level that nothing is known of: it has to be read before it is set."""
    return claimed.entity == "available" and claimed.payload["expected"] is None


def send(connector: Connector, clock: Clock, request: Sequence[Claimed]) -> list[Sent]:
    """Make one request. Never raises what a system did: a refused record must not take its neighbours down.

    What is not ours any more, because its lease ran out while we waited, is not sent, and left out of the answer.
    """
    now = clock.now()
    ours = [item for item in request if item.lease_until > now]
    if not ours:
        return []
    token = ours_until.set(lambda: min(item.lease_until for item in ours))
    try:
        return _together(connector, clock, ours) if len(ours) > 1 else [_alone(connector, clock, ours[0])]
    finally:
        ours_until.reset(token)


def _alone(connector: Connector, clock: Clock, claimed: Claimed) -> Sent:
    started = clock.now()
    seen_at, late, kind, settles = None, timedelta(0), _kind(claimed, None), True
    try:
        spec = connector.manifest.write_spec(claimed.entity)
        late, kind, settles = timedelta(seconds=spec.late_effect), _kind(claimed, spec), spec.settles
        if _lacks_base(claimed) and kind == "write":
            claimed, seen_at = _with_base(connector, claimed)
        request = request_of(claimed)
        outcome = _named(connector.read_back(request) if kind == "read-back" else connector.write(request))
    except Exception as error:  # noqa: BLE001 - a defect of a plugin is this record's problem, not its neighbours'
        outcome, late = _outcome(error, late)
        if (
            kind == "read-back" and outcome.result is Result.REJECTED
        ):  # it was the reading that failed: nothing is proven
            outcome = replace(outcome, result=Result.UNKNOWN, detail=f"it cannot be read back: {outcome.detail}")
    outcome = _sound(outcome)
    if kind == "read-back" and not settles and outcome.result in REPEATABLE:
        outcome = _open(outcome)
    outcome = _hiding(connector, outcome)
    return Sent(claimed, outcome, kind, started, clock.now(), late, seen_at, _allowance(connector))


def _open(seen: Outcome) -> Outcome:
    """It is not there, and may come yet: somebody can start it again in the target's queue."""
    told = f"{seen.detail}; it may be started again there, so it is not sent again before somebody has looked"
    return replace(
        seen, result=Result.UNKNOWN, detail=told, evidence={**seen.evidence, AWAITED: "it may be in the target's queue"}
    )


def _kind(claimed: Claimed, spec: WriteSpec | None) -> Kind:
    if not claimed.read_back:
        return "write"
    # where nothing can be read and nothing protects: policy named the risk, and the repeat is counted as what it is
    return "repeat" if spec is not None and spec.guarantee is Guarantee.NONE else "read-back"


def _together(connector: Connector, clock: Clock, claimed: Sequence[Claimed]) -> list[Sent]:
    """Send a batch; one of which nothing took effect, for the sake of one record, is halved until the poison is alone."""
    started = clock.now()
    late = timedelta(seconds=connector.manifest.write_spec(claimed[0].entity).late_effect)
    try:
        outcomes = [_named(outcome) for outcome in connector.write_many([request_of(item) for item in claimed])]
        if len(outcomes) != len(claimed):
            raise ValueError(f"it answered {len(outcomes)} of {len(claimed)} writes of a batch")
    except NOTHING_SENT:
        middle = len(claimed) // 2
        return [sent for half in (claimed[:middle], claimed[middle:]) for sent in send(connector, clock, half)]
    except Exception as error:  # noqa: BLE001 - as above
        outcome, late = _outcome(error, late)
        outcomes = [outcome] * len(claimed)
    finished, allowance = clock.now(), _allowance(connector)
    return [
        Sent(item, _hiding(connector, _sound(outcome)), "write", started, finished, late, None, allowance)
        for item, outcome in zip(claimed, outcomes, strict=True)
    ]


def _named(outcome: object) -> Outcome:
    """Return what a connector answered. Raises TypeError for what is no outcome: a defect."""
    if not isinstance(outcome, Outcome) or not isinstance(outcome.result, Result):
        raise TypeError(f"it answered {repr(outcome)[:200]}, which is no outcome")
    return outcome


def _sound(outcome: Outcome) -> Outcome:
    """Leave out what no outcome can say, or turn it into text: recording it must not fail, for its neighbours' sake."""
    wait, at = outcome.retry_after, outcome.target_at
    if wait is not None and not (isinstance(wait, int | float) and wait >= 0):
        outcome = replace(outcome, retry_after=None)
    if at is not None and not (isinstance(at, datetime) and at.tzinfo):
        outcome = replace(outcome, target_at=None)
    if not isinstance(outcome.detail, str) or not all(isinstance(one, str) for one in outcome.effects):
        outcome = replace(outcome, detail=str(outcome.detail), effects=tuple(map(str, outcome.effects)))
    if outcome.evidence:
        found = plain(outcome.evidence)
        outcome = replace(outcome, evidence=found if isinstance(found, dict) else {"told": found})
    return outcome


def _allowance(connector: Connector) -> Allowance | None:
    """What is left of the system's limit; nothing, where the connector fails at telling it or tells no number."""
    try:
        told = connector.allowance()
        numbers = [] if told is None else [told.remaining, told.reset_after or 0.0]
        return told if all(isfinite(number) for number in numbers) else None
    except Exception:  # noqa: BLE001 - a defect of a plugin is no reason to forget what became of a write
        return None


def _hiding(connector: Connector, outcome: Outcome) -> Outcome:
    """What a failure tells may be the system's own words, and those may hold what it was sent, or name a person by address."""
    if outcome.result in TOOK_EFFECT:
        return outcome
    hidden = connector.context.hidden
    return replace(
        outcome, detail=without_addresses(hidden.text(outcome.detail)), evidence=hidden.value(outcome.evidence)
    )


def _outcome(error: Exception, late: timedelta) -> tuple[Outcome, timedelta]:
    match error:
        case ThrottledError():
            return Outcome(Result.THROTTLED, str(error), retry_after=error.retry_after), late
        case UnknownOutcomeError():
            return Outcome(Result.UNKNOWN, str(error)), late
        case RejectedError():
            return Outcome(Result.REJECTED, str(error)), late
        case ConnectorError():
            return Outcome(Result.UNAVAILABLE, str(error), retry_after=error.retry_after), late
        case UnmappedError():
            return outcome_of(error), late
        case TrueupError():
            return Outcome(Result.REJECTED, str(error)), late
    told = Outcome(Result.UNKNOWN, f"defect in the connector: {error!r}", evidence={DEFECTIVE: type(error).__name__})
    return told, max(late, DEFECT)


def request_of(claimed: Claimed) -> Write:
    """Return the write that a connector is asked for."""
    ref = business_ref(claimed.payload, claimed.subject)
    return Write(
        claimed.entity, claimed.subject, claimed.idempotency_key, claimed.payload, ref, owed_since=claimed.created_at
    )


def business_ref(payload: Mapping[str, object], subject: str) -> str:
    """Return what people call the document."""
    for name in ("shipment", "receipt", "return_ref", "posting_key", "ref", "incident"):
        if payload.get(name):
            return str(payload[name])
    return subject


def _with_base(connector: Connector, claimed: Claimed) -> tuple[Claimed, datetime | None]:
    """Read the level that a compare-and-set has to start from, because nothing is known of it yet."""
    key = (str(claimed.payload["sku"]), str(claimed.payload["location"]))
    levels = [level for page in connector.snapshot("levels", [key]) for level in page]
    if not levels:
        raise RejectedError(
            f"{claimed.target} does not list {claimed.subject}; add the item there, or take it out of the flow, and replay"
        )
    payload = {**claimed.payload, "expected": levels[0].available}
    return replace(claimed, payload=payload, filled=True), levels[0].source_at
