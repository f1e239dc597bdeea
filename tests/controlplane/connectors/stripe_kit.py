"""A simulated account at Stripe and a connector to it; where the vendor's description is at hand, every exchange is held against it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from controlplane.connectors.builtin.stripe.connector import StripeConnector
from controlplane.connectors.contract import Draft, Inbound
from controlplane.sandbox.stripe.account import Account, signed
from controlplane.sandbox.stripe.app import KEY, create
from rules.model.messages import PaymentRecorded, SettlementChanged, parse
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.simulators import SPECS, hanging_up, held_against


@dataclass
class Bench:
    """An account, a connector to it, and one clock for both."""

    account: Account
    connector: StripeConnector
    given: Given

    def read(self, entity: str, cursor: dict[str, Any] | None = None) -> list[Draft]:
        records = [record for page in self.connector.poll(entity, cursor) for record in page.records]
        return [draft for record in records for draft in self.connector.translate(record.topic, record.body)]

    def cursor(self, entity: str) -> dict[str, Any]:
        return list(self.connector.poll(entity, None))[-1].cursor

    def moved(self, cursor: dict[str, Any] | None = None) -> dict[str, PaymentRecorded]:
        found = [parse(one.type, one.data) for one in self.read("balance_transactions", cursor)]
        return {one.native_kind: one for one in found if isinstance(one, PaymentRecorded)}

    def settled(self, cursor: dict[str, Any] | None = None) -> list[tuple[str, str, str]]:
        found = [(one.dedupe_key, parse(one.type, one.data)) for one in self.read("payouts", cursor)]
        return [(key, one.state, one.reason) for key, one in found if isinstance(one, SettlementChanged)]

    def told(self, event: dict[str, Any]) -> list[Draft]:
        """What an event brings."""
        body, mark = signed("whsec", self.given.clock.now(), event)
        record = self.connector.receive(Inbound({"stripe-signature": mark}, body))
        return self.connector.translate(record.topic, record.body)


@contextmanager
def an_account() -> Iterator[Bench]:
    """Serve an account; whatever was said in an exchange has to be as the description says."""
    given = Given("", timeout=10, secrets={"secret_key": KEY, "webhook_secret": "whsec"})
    account = Account(given.clock.now)
    app = create(account)
    contract = held_against(app, [SPECS / "stripe/spec3-legacy.json"])
    with hanging_up(app) as port:
        given.endpoint = f"http://127.0.0.1:{port}"
        connector = StripeConnector(given.context())
        yield Bench(account, connector, given)
        connector.close()
    assert contract is None or contract.broken == []
