"""The Stripe connector: movements of the balance and payouts are read, refunds asked for, webhooks taken."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from controlplane.connectors.builtin.stripe import events, money, refunds, signature
from controlplane.connectors.builtin.stripe.api import VERSION, Api
from controlplane.connectors.contract import (
    Connector,
    Context,
    Draft,
    Inbound,
    Manifest,
    Page,
    ReadSpec,
    Record,
    SignatureError,
    Write,
    WriteSpec,
)
from controlplane.connectors.http import Answer
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.connectors.records import content_key, read_json, verbatim
from controlplane.errors import BadInputError
from rules.outcomes import Guarantee, Outcome

OVERLAP = timedelta(hours=1)
OPEN = timedelta(days=30)
"""How long a payout may still change: one that was paid may fail days later, and its time of creation stays."""
BALANCE, SETTLED = "balance_transactions", "payouts"


class StripeConnector(Connector):
    """An account at Stripe. Options: api_version, order_metadata (key of a payment's metadata that names the order)."""

    manifest: ClassVar[Manifest] = Manifest(
        name="stripe",
        title="Stripe",
        reads=(ReadSpec(BALANCE, changes=True), ReadSpec(SETTLED, changes=True)),
        writes=(
            WriteSpec(
                "refund",
                ("refund.requested",),
                Guarantee.KEYED,
                late_effect=600.0,
                how="`Idempotency-Key` for a day; looked up by the key in its metadata",
            ),
        ),
        receives=(*events.PAYOUTS, *events.MOVED),
        secrets=("secret_key", "webhook_secret"),
        webhook_secrets=("webhook_secret",),
        options=("api_version", "order_metadata"),
        verified_against=f"Stripe's description and fixtures ({VERSION}), localstripe (refunds, payouts, webhooks), a simulator",
        kind="payment",
        auth="secret key as bearer token; webhooks by Stripe-Signature, five minutes",
        limits="100 requests a second, 25 in test mode; pages of 100",
        gaps=(
            "a payout that changes after 30 days",
            "which movements a payout is made up of",
            "a refund that Stripe makes more than ten minutes after it answered 500, which could be given twice",
        ),
        statuses={"balance_transaction.type": dict(money.KINDS)},
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._api = Api(context)
        self._order_key = str(context.options.get("order_metadata", "order_ref"))

    def close(self) -> None:
        """Close the connections."""
        self._api.http.close()

    def ping(self) -> None:
        """Read the balance."""
        self._api.ask("/v1/balance")

    def receive(self, inbound: Inbound) -> Record:
        """Check the signature of time and body; the event's id stays the same over Stripe's retries. What tells of a person is not kept."""
        wrong = signature.check(
            inbound.headers.get("stripe-signature", ""),
            inbound.body,
            self.context.secret("webhook_secret"),
            self.context.clock.now(),
        )
        if wrong:
            raise SignatureError(
                f"Stripe-Signature: {wrong}; check webhook_secret of the System policy, and the clocks"
            )
        told = read_json(inbound.body)
        topic, event = str(told.get("type") or "unknown"), told.get("id")
        key = f"{topic}:{event}" if event else content_key(topic, "", inbound.body)
        return Record(topic, key, events.kept(told))

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield `balance_transactions` or `payouts` since the cursor. Stripe gives the newest first, so the cursor moves at the end."""
        if entity not in (BALANCE, SETTLED):
            yield from super().poll(entity, cursor)
        held = cursor or {}
        since = datetime.fromisoformat(held["since"]) - (OVERLAP if entity == BALANCE else OPEN) if held else None
        seen = held.get("since", "")
        for rows, answer in self._pages(entity, since):
            try:
                records = tuple(self._record(entity, row) for row in rows)
                seen = max([seen, *(datetime.fromtimestamp(int(row["created"]), UTC).isoformat() for row in rows)])
            except (KeyError, TypeError, ValueError, OverflowError, OSError):
                answer.fail(f"answered one of {entity} that breaks its contract")
            yield Page(records, held)
        yield Page((), {"since": seen} if seen else {})

    def _pages(self, entity: str, since: datetime | None) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
        asked: dict[str, Any] = {"created[gte]": int(since.timestamp())} if since else {}
        if entity == BALANCE:
            asked |= {"expand[0]": "data.source", "expand[1]": "data.source.charge"}
        yield from self._api.rows(f"/v1/{entity}", asked)

    def _record(self, entity: str, row: dict[str, Any]) -> Record:
        whole = entity == BALANCE
        told = money.kept_movement(row, self._order_key) if whole else {name: row.get(name) for name in money.PAYOUT}
        body = verbatim(told)
        return Record(entity, content_key(entity, str(row["id"]), body), body)

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read movements as `payment.recorded`, payouts as `settlement.changed`. What other events are about is read anew."""
        told = read_json(body)
        try:
            if topic == BALANCE:
                return [money.movement(told)]
            if topic == SETTLED:
                return [money.payout(told, self._since(told))]
            if topic in events.MOVED:
                return events.movements(self._api, told, self._order_key)
            if topic in events.PAYOUTS:
                return [money.payout(told["data"]["object"], datetime.fromtimestamp(int(told["created"]), UTC))]
        except BadInputError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError, OSError, AttributeError) as error:
            raise BadInputError(f"the record breaks Stripe's contract: {error!r}; correct it, or drop it") from error
        return []

    @staticmethod
    def _since(told: dict[str, Any]) -> datetime:
        """A polled payout does not say when it came into its state: when it was made, or was to arrive, is known."""
        made = (
            told["created"]
            if told["status"] in ("pending", "in_transit")
            else max(told["created"], told["arrival_date"])
        )
        return datetime.fromtimestamp(int(made), UTC)

    # --- writing ---
    @answering_write
    def write(self, request: Write) -> Outcome:
        """Ask for a refund."""
        self.manifest.write_spec(request.entity)
        return refunds.ask(self._api, request)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look for the refund."""
        self.manifest.write_spec(request.entity)
        return refunds.read_back(self._api, request)
