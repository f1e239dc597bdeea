"""The Square connector: stock, sales and money are read, counts written, webhooks taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from controlplane.connectors import settings
from controlplane.connectors.auth import signed_by
from controlplane.connectors.builtin.square import payments, sales
from controlplane.connectors.builtin.square.api import Api, rows_in
from controlplane.connectors.builtin.square.counts import Counts
from controlplane.connectors.contract import (
    Connector,
    Context,
    Draft,
    Inbound,
    Level,
    Manifest,
    Page,
    ReadSpec,
    Record,
    Setting,
    SignatureError,
    Write,
    WriteSpec,
)
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.connectors.records import content_key, read_json
from controlplane.errors import BadInputError
from rules.outcomes import Guarantee, Outcome

OVERLAP = timedelta(minutes=5)
COUNTED, ORDERS = "inventory.count.updated", ("order.created", "order.updated")
SIGNATURE = "x-square-hmacsha256-signature"


class SquareConnector(Connector):
    """A seller's tills. Options: locations (ours, mapped to Square's ids), webhook_url (as subscribed, byte for byte), api_version,
    marketplaces (as Square names the sources of orders whose tax a marketplace remits itself)."""

    manifest: ClassVar[Manifest] = Manifest(
        name="square",
        title="Square (point of sale)",
        reads=(
            ReadSpec("counts", snapshot=True),
            ReadSpec("sales", changes=True),
            *(ReadSpec(entity, changes=True) for entity in payments.POLLED),
        ),
        writes=(WriteSpec("count", ("stock.offer",), Guarantee.KEYED, late_effect=60.0, how="`idempotency_key`"),),
        receives=(COUNTED, *ORDERS, *payments.TOLD),
        secrets=("access_token", "webhook_secret"),
        webhook_secrets=("webhook_secret",),
        options=("locations", "webhook_url", "api_version", "marketplaces"),
        verified_against="Square's OpenAPI description, a simulator",
        kind="till",
        auth="bearer token; webhooks by HMAC-SHA256 of address and body",
        limits="not published; 1,000 counts, 500 orders a page, ten locations a search; 100 payments or payouts a page",
        gaps=(
            "fees that are settled apart from their payments (gross settlement), which then count twice",
            "a payout that changes after 30 days",
            "stock in other states than IN_STOCK",
            "goods by weight",
        ),
        statuses={
            "order.state": {"COMPLETED": "sold", "OPEN": "not yet", "CANCELED": "nothing"},
            "payout.status": payments.STATES,
        },
        option_schemas={
            "locations": {"type": "array", "items": {"type": "string"}},
            "marketplaces": {"type": "array", "items": {"type": "string"}},
        },
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._api = Api(context)
        self._locations = [str(name) for name in context.options.get("locations", ())]
        self._counts = Counts(context, self._api, self._locations)

    def close(self) -> None:
        """Close the connections."""
        self._api.http.close()

    def ping(self) -> None:
        """List the locations."""
        self._api.ask("GET", "/v2/locations")

    def settings(self) -> list[Setting]:
        """Read whether each location is there, and in use."""
        answer = self._api.ask("GET", "/v2/locations")
        known = {str(one.get("id")): one.get("status") == "ACTIVE" for one in rows_in(answer, "locations")}
        return settings.locations(self.context, settings.among(known), "Account & Settings > Business > Locations")

    # --- reading ---
    def receive(self, inbound: Inbound) -> Record:
        """Check the HMAC of the subscribed address and the raw body; the event's id stays the same over Square's retries."""
        address = str(self.context.options.get("webhook_url", ""))
        signed = address.encode() + inbound.body
        if not signed_by(self.context.secret("webhook_secret"), signed, inbound.headers.get(SIGNATURE)) or not address:
            raise SignatureError(
                f"{SIGNATURE} does not match; check webhook_secret, and that options.webhook_url is the subscribed address"
            )
        told = read_json(inbound.body)
        topic, event = str(told.get("type") or "unknown"), told.get("event_id")
        body = payments.kept_event(told) if topic in payments.TOLD else inbound.body
        return Record(topic, f"{topic}:{event}" if event else content_key(topic, "", inbound.body), body)

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield `sales`, `payments`, `refunds` or `payouts` that changed since the cursor, which moves at the end."""
        places = [self.context.codes.theirs("location", name) for name in self._locations]
        if entity in payments.POLLED:
            yield from payments.poll(self._api, entity, places, cursor)
            return
        if entity != "sales":
            yield from super().poll(entity, cursor)
        held = cursor or {}
        since = datetime.fromisoformat(held["since"]) - OVERLAP if held else None
        seen = held.get("since", "")
        for records, latest in sales.completed(self._api, places, since):
            seen = max(seen, latest)
            yield Page(tuple(records), held)
        yield Page((), {"since": seen} if seen else {})

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read sales as `sale.recorded`, counts as `stock.level`, money as `payment.recorded` and `settlement.changed`.

        Of a webhook of an order, a payment or a refund only the id is read, and the rest looked up.
        """
        told = read_json(body)
        try:
            if topic in payments.topics():
                return payments.drafts(self._api, topic, told)
            if topic == "orders":
                return sales.drafts(self.context, self._api, told)
            if topic == COUNTED:
                rows = told["data"]["object"]["inventory_counts"]
                return [draft for row in rows for draft in self._counts.draft(row)]
            return self._order_of(told) if topic in ORDERS else []
        except BadInputError:
            raise
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise BadInputError(f"the record breaks Square's contract: {error!r}; correct it, or drop it") from error

    def _order_of(self, told: dict[str, Any]) -> list[Draft]:
        [(_, event)] = told["data"]["object"].items()
        if event.get("state") != "COMPLETED":
            return []
        answer = self._api.ask("GET", f"/v2/orders/{event['order_id']}")
        return sales.drafts(self.context, self._api, answer.json()["order"])

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield the `counts` of the configured locations, or of the keys."""
        if entity != "counts":
            yield from super().snapshot(entity, keys)
        yield from self._counts.snapshot(keys)

    # --- writing ---
    @answering_write
    def write(self, request: Write) -> Outcome:
        """Tell a count."""
        self.manifest.write_spec(request.entity)
        return self._counts.tell(request)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look at the count."""
        self.manifest.write_spec(request.entity)
        return self._counts.read_back(request)
