"""Rows of a retailer on a bad morning, for the pages' tests and for looking at them: the ERP is down, one till row is unmapped,
one SKU drifted. Written as the rooms write them; used by tests only."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import insert

from controlplane.health.observations import Observation, record
from controlplane.store import tables as t
from controlplane.wiring import Plane
from rules.ids import new_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
MINUTE = timedelta(minutes=1)


class Seed:
    """Writes one story into a plane's tables, ending at the plane's present."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.now: datetime = plane.clock.now()
        self.ids: dict[str, str] = {}

    def everything(self) -> dict[str, str]:
        """Write the whole story; return the ids of what tests look at."""
        self.series()
        self.orders(14)
        self.offers(60)
        self.order_that_waits_for_the_erp()
        self.unmapped_till_row()
        self.drift()
        self.verdicts()
        self.told()
        return self.ids

    def add(self, table: Any, **values: Any) -> str:
        """Insert a row; return its id."""
        with self.plane.store.write() as conn:
            conn.execute(insert(table).values(**values))
        return str(values.get("id", ""))

    def ago(self, minutes: float) -> datetime:
        """Return the instant so many minutes before the present."""
        return self.now - timedelta(minutes=minutes)

    def series(self) -> None:
        """An hour of observations: the queue to the ERP grows, the first ten minutes are missing."""
        seen = []
        for back in range(50, -1, -1):
            at, swing = self.ago(back), math.sin(back / 6)
            down = max(0, 18 - back)
            values = {
                "queue_depth": 6 + 3 * swing + 2.2 * down, "oversell_rate": 0.012 if 20 < back < 26 else 0.0,
                "order_backlog": 12 + 4 * swing + down / 2, "posting_failures": 0.35 if down else 0.01,
                "failed_messages": 1.0 if back < 30 else 0.0, "mismatch_rate": 0.004 if back < 12 else 0.0,
            }  # fmt: skip
            for name, value in values.items():
                seen.append(Observation(name, at, value, {"target": "erp"} if name == "queue_depth" else {}))
        with self.plane.store.write() as conn:
            record(conn, seen)

    def message(self, kind: str, source: str, subject: str, at: datetime, data: dict[str, Any], **more: Any) -> str:
        """A message of the ledger."""
        return self.add(
            t.message, id=new_id(at), type=kind, schema_version=1, source=source, subject=subject,
            dedupe_key=f"{kind}:{subject}:{at.isoformat()}", occurred_at=at - timedelta(seconds=1), accepted_at=at,
            trace_id=TRACE, data=data, state=more.pop("state", "processed"), processed_at=at, registry_version=1, **more,
        )  # fmt: skip

    def delivery(
        self, message: str, flow: str, target: str, entity: str, subject: str, at: datetime, **more: Any
    ) -> str:
        """A delivery of a message."""
        values = {
            "id": new_id(at), "message_id": message, "flow": flow, "target": target, "entity": entity, "subject": subject,
            "order_key": subject, "idempotency_key": f"{message}:{target}:{entity}", "coalesce": entity == "available", "payload": {},
            "state": "delivered", "due_at": at, "deadline_at": at + timedelta(hours=24),
            "promise_at": at + timedelta(minutes=5), "attempts": 1, "created_at": at,
            "retry_revision": self.plane.registry.snapshot().revision("RetryPolicy", "default"), "registry_version": 1,
        }  # fmt: skip
        return self.add(t.delivery, **(values | more))

    def attempt(
        self, delivery: str, flow: str, system: str, number: int, at: datetime, outcome: str, detail: str
    ) -> None:
        """One try at a delivery."""
        self.add(
            t.attempt, id=new_id(at), delivery_id=delivery, number=number, kind="write", system=system, flow=flow,
            started_at=at, finished_at=at + timedelta(seconds=0.4), outcome=outcome, detail=detail,
            evidence={"status": 503 if outcome == "unavailable" else 200},
            retry_revision=self.plane.registry.snapshot().revision("RetryPolicy", "default"),
        )  # fmt: skip

    def orders(self, count: int) -> None:
        """Orders whose goods have not left."""
        for n in range(count):
            at = self.ago(4 + 5 * n)
            self.add(
                t.order_state, ref=f"#{1001 + n}", source="shop", native_id=str(9000 + n), state="released_to_warehouse",
                location="WH1", placed_at=at, value=Decimal("84.50") + 13 * n, currency="EUR", updated_at=at,
                message_id=new_id(at),
            )  # fmt: skip

    def offers(self, count: int) -> None:
        """Stock offers that reached the shop within their promise."""
        for n in range(count):
            at = self.ago(49 - n * 0.8)
            subject = f"TEE-{n % 7:03}@WH1"
            message = self.message("stock.offer", "plane", subject, at, {"sku": subject[:7], "quantity": 40 - n % 9})
            took = timedelta(seconds=1.2 + 0.8 * math.sin(n) + (4 if n % 17 == 0 else 0))
            self.delivery(
                message, "stock-offers", "shop", "available", subject, at, finished_at=at + took, outcome="delivered"
            )

    def order_that_waits_for_the_erp(self) -> None:
        """An order that the warehouse has and the ERP, which is down, has not."""
        at = self.ago(17)
        taken = self.add(
            t.intake, id=new_id(at), system="shop", channel="webhook", topic="orders/create", event_key="orders/create:77",
            headers={"x-shopify-topic": "orders/create"}, received_at=at, trace_id=TRACE, state="translated",
            body=b'{"name": "#1003", "email": "somebody@example.org", "total_price": "110.50", "currency": "EUR"}',
            translated_at=at,
        )  # fmt: skip
        data = {"ref": "#1003", "currency": "EUR", "lines": [{"sku": "TEE-003", "quantity": 2, "unit_price": "55.25"}]}
        message = self.message("order.placed", "shop", "#1003", at + timedelta(seconds=0.2), data, intake_id=taken)
        self.message(
            "stock.offer", "plane", "TEE-003@WH1", at + timedelta(seconds=0.4), {"quantity": 7}, causation_id=message
        )
        worth = {"money": Decimal("110.50"), "currency": "EUR"}
        done = self.delivery(message, "orders", "wms", "order", "#1003", at, finished_at=at + timedelta(seconds=2),
                             outcome="delivered", **worth)  # fmt: skip
        self.attempt(done, "orders", "wms", 1, at + timedelta(seconds=1), "delivered", "order 5512 created")
        owed = self.delivery(message, "orders", "erp", "sales_order", "#1003", at, state="pending", attempts=4,
                             outcome="unavailable", detail="503 Service Unavailable", **worth)  # fmt: skip
        for number, wait in enumerate((1, 3, 9, 40), start=1):
            self.attempt(
                owed, "orders", "erp", number, at + timedelta(seconds=wait), "unavailable", "503 Service Unavailable"
            )
        self.add(
            t.system_state, system="erp", consecutive_failures=9, blocked_until=self.now + MINUTE, last_ok_at=self.ago(18),
            blocked_reason="9 failures in a row", last_error="503 Service Unavailable", last_error_at=self.ago(0.3),
        )  # fmt: skip
        self.ids["message"] = message

    def unmapped_till_row(self) -> None:
        """A sale of a PLU that nobody has mapped."""
        at = self.ago(28)
        row = {"file": "sales_ST1_77.csv", "line": 2, "header": "store;receipt;line;plu;qty;unit_price;sold_at",
               "row": f"ST1;ST1-000077;1;999999;1;9,90;{at:%Y-%m-%dT%H:%M:%SZ}"}  # fmt: skip
        taken = self.add(
            t.intake, id=new_id(at), system="tills", channel="poll", topic="sales", event_key="sales:sales_ST1_77.csv:2",
            headers={}, body=json.dumps(row).encode(), received_at=at, trace_id=TRACE, state="quarantined",
        )  # fmt: skip
        self.ids["case"] = self.add(
            t.quarantine, id=new_id(at), stage="intake", system="tills", flow="till-sales", reason_code="unmapped_sku",
            reason="tills calls a sku '999999', and no Mapping policy translates it", subject="sales:sales_ST1_77.csv:2",
            remedy="add the code to the sku mapping of tills, or correct the record", intake_id=taken, state="waiting",
            record={"topic": "sales", "body": row},
            owner="store-ops", opened_at=at,
        )  # fmt: skip

    def drift(self) -> None:
        """Somebody edited the stock of a SKU by hand in the shop."""
        at = self.ago(8)
        run = self.add(
            t.comparison_run, id=new_id(at), comparison="stock-three-way", started_at=at,
            finished_at=at + timedelta(seconds=3), state="complete", trigger="schedule", keys=240, agree=237, in_flight=2,
            drift=1, indeterminate=0, unread=None, registry_version=1,
        )  # fmt: skip
        self.add(
            t.product, sku="TEE-005", title="Organic tee, navy, M", unit_cost=Decimal("6.10"), unit_price=Decimal("24.90"),
            currency="EUR", updated_at=at, message_id=new_id(at),
        )  # fmt: skip
        read = {
            system: {
                "on_hand": on_hand, "available": available, "source_at": None,
                "read_from": (at + timedelta(seconds=n)).isoformat(), "read_to": (at + timedelta(seconds=n + 1.4)).isoformat(),
            }
            for n, (system, on_hand, available) in enumerate((("erp", 24, None), ("wms", 24, 21), ("shop", None, 50)))
        }  # fmt: skip
        self.ids["finding"] = self.add(
            t.finding, id=new_id(at), comparison="stock-three-way", subject="TEE-005@WH1", side="shop",
            cause="changed_at_target", state="healing", first_seen_at=at, confirmed_at=at + timedelta(seconds=4),
            expected=[19], actual=50, money=Decimal("771.90"), currency="EUR", run_id=run, registry_version=1,
            explanation="shop shows 50 and may rightly show 19 only: the last delivery put 19 there at 08:41, nothing is "
            "on its way, and no event explains the change, so it was changed at the shop.",
            evidence={"read": read, "owed": [], "position": {"on_hand": 24, "available": 21, "source_at": at.isoformat()}},
        )  # fmt: skip
        message = self.message("stock.offer", "plane", "TEE-005@WH1", at + timedelta(seconds=6), {"quantity": 19})
        self.delivery(message, "stock-offers", "shop", "available", "TEE-005@WH1", at + timedelta(seconds=6),
                      payload={"quantity": 19}, finished_at=at + timedelta(seconds=8), outcome="delivered")  # fmt: skip

    def verdicts(self) -> None:
        """One promise is kept, the other is not."""
        revision = self.plane.registry.snapshot().revision
        for name, state, share, left, burn in (
            ("stock-freshness", "meeting", 0.9981, 0.81, 0.2), ("delivery-success", "breached", 0.921, -0.58, 7.4),
        ):  # fmt: skip
            self.add(
                t.verdict, id=new_id(self.ago(0.5)), service_level=name, at=self.ago(0.5), state=state, attainment=share,
                budget_left=left, coverage=0.97, policy_revision=revision("ServiceLevel", name),
                tiers=[{"severity": "page", "long_burn": burn, "short_burn": burn, "firing": burn > 6}],
            )  # fmt: skip

    def told(self) -> None:
        """The page that the outage raised, and a ticket that somebody looks after."""
        level = self.plane.registry.snapshot().revision("ServiceLevel", "delivery-success")
        rows = (
            ("Deliveries to erp fail", "page", "open", 15, "finance-systems", "310.20",
             "erp answers unavailable since 08:43; 1 delivery waits, the oldest for 17 min"),
            ("A till row waits in quarantine", "ticket", "acknowledged", 27, "store-ops", None,
             "1 record of till-sales is held: unmapped sku 999999"),
        )  # fmt: skip
        for title, severity, state, minutes, owner, money, cause in rows:
            at, incident_id = self.ago(minutes), new_id(self.ago(minutes))
            self.add(
                t.incident, id=incident_id, fingerprint=title, open_key=title, title=title, severity=severity, state=state,
                rule="service_level/delivery-success", owner=owner, cause=cause, opened_at=at, updated_at=at, labels={},
                money_at_risk=Decimal(money) if money else None, currency="EUR" if money else None, escalation_level=0,
                acknowledged_by="olga" if state == "acknowledged" else None, policy_revision=level,
            )  # fmt: skip
            self.add(
                t.incident_event,
                id=new_id(at),
                incident_id=incident_id,
                at=at,
                kind="opened",
                actor="plane",
                note=cause,
            )
            self.ids.setdefault("incident", incident_id)

    def business(self) -> None:
        """Stock of a SKU that changed once and is shown by the shop, the lines of an order, a posting, and two runs."""
        at, sku = self.ago(6), {"sku": "TEE-005", "location": "WH1"}
        level = {
            "on_hand": 24,
            "allocated": 3,
            "available": 21,
            "in_transit": 0,
            "source_at": at,
            "message_id": new_id(at),
        }
        self.add(t.stock_position, **sku, **level, source="wms", updated_at=at)
        self.add(t.stock_change, **sku, **level, changed_at=at)
        self.add(t.target_level, **sku, system="shop", field="available", value=19, as_of=at, updated_at=at)
        self.add(
            t.target_effect, **sku, system="shop", field="available", delta=-1, value=19, earliest=at, latest=at,
            cause="delivery", cause_id=new_id(at),
        )  # fmt: skip
        self.add(t.order_line, order_ref="#1001", line=1, **sku, quantity=2, unit_price=Decimal("42.25"))
        lines = [
            {"account": "1200", "debit": "84.50", "credit": "0.00", "memo": "#1001"},
            {"account": "4000", "debit": "0.00", "credit": "84.50", "memo": "#1001"},
        ]
        rule = self.plane.registry.snapshot().revision("RetryPolicy", "default")
        self.add(
            t.posting, posting_key="#1001/shipped/revenue", document="#1001", business_date=f"{at:%Y-%m-%d}", currency="EUR",
            lines=lines, rule_revision=rule, created_at=at, message_id=new_id(at),
        )  # fmt: skip
        for back in (3, 2):
            started = self.ago(back)
            self.ids["run"] = self.add(
                t.run, id=new_id(started), schedule="evaluate", scheduled_for=started, state="done", started_at=started,
                finished_at=started, detail={"judged": 2}, owner="test",
            )  # fmt: skip
