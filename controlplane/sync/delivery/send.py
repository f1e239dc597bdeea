"""Send one claimed delivery, or read it back; always end with a named outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from controlplane.clock import Clock
from controlplane.connectors.contract import Connector, Write
from controlplane.errors import ConnectorError, RejectedError, ThrottledError, TrueupError
from controlplane.sync.delivery.claim import Claimed
from rules.outcomes import Outcome, Result


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery and what came of it."""

    claimed: Claimed
    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    late_effect: float
    """Seconds within which the request may still take effect, if the outcome is unknown."""
    seen_at: datetime | None = None
    """The target's clock at the reading that the write was computed from, when we had to read first."""


def send(connector: Connector, clock: Clock, claimed: Claimed) -> Sent:
    """Make one try. Never raises what a system did: a refused record must not take its neighbours down."""
    started = clock.now()
    seen_at = None
    try:
        late_effect = connector.manifest.write_spec(claimed.entity).late_effect
        if claimed.entity == "available" and claimed.payload["expected"] is None and not claimed.read_back:
            claimed, seen_at = _with_base(connector, claimed)
        request = _request(claimed)
        outcome = connector.read_back(request) if claimed.read_back else connector.write(request)
    except ThrottledError as error:
        outcome, late_effect = Outcome(Result.THROTTLED, str(error), retry_after=error.retry_after), 0.0
    except RejectedError as error:
        outcome, late_effect = Outcome(Result.REJECTED, str(error)), 0.0
    except ConnectorError as error:
        outcome, late_effect = Outcome(Result.UNAVAILABLE, str(error)), 0.0
    except TrueupError as error:
        outcome, late_effect = Outcome(Result.REJECTED, str(error)), 0.0
    except Exception as error:  # noqa: BLE001 - a defect of a plugin is this record's problem, not its neighbours'
        outcome, late_effect = Outcome(Result.UNKNOWN, f"defect in the connector: {error!r}"), 60.0
    return Sent(claimed, outcome, started, clock.now(), late_effect, seen_at)


def _request(claimed: Claimed) -> Write:
    ref = business_ref(claimed.payload, claimed.subject)
    return Write(claimed.entity, claimed.subject, claimed.idempotency_key, claimed.payload, ref)


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
    return replace(claimed, payload=payload), levels[0].source_at
