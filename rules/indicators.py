"""Every indicator that we ship: what it says and in which unit. The one list: policies are checked and metrics are described by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TARGET, SYSTEM, FLOW = {"target": "System"}, {"system": "System"}, {"flow": "Flow"}
COMPARISON, CHANNEL, BAND, CURRENCY = (
    {"comparison": "Comparison"},
    {"channel": "System"},
    {"band": ""},
    {"currency": ""},
)
SHOWN = TARGET | {"quantile": ""}


@dataclass(frozen=True, slots=True)
class Indicator:
    """What an indicator says; `unit` is seconds, count, share, money or state."""

    help: str
    unit: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """Label that its series have -> the kind of policy that its values name; empty where they name none."""


INDICATORS: dict[str, Indicator] = {
    "api_latency": Indicator("Time that the system took to answer a ping", "seconds", SYSTEM),
    "api_up": Indicator("1 the system answers us, 0 it does not", "state", SYSTEM),
    "api_down": Indicator("1 the system does not answer us, 0 it does", "state", SYSTEM),
    "queue_depth": Indicator("Deliveries owed and not finished, without those in quarantine", "count", TARGET | FLOW),
    "queue_age": Indicator("Age of the oldest delivery that is owed and not finished, 0 when none is", "seconds", TARGET | FLOW),
    "broker_depth": Indicator("Messages at the broker that are not acknowledged; unknown where it cannot tell", "count", SYSTEM),
    "broker_age": Indicator("Age of the oldest message at the broker; unknown where it does not say", "seconds", SYSTEM),
    "failed_messages": Indicator("Records that wait in quarantine for a person", "count", FLOW),
    "deliveries_given_up": Indicator("Deliveries that wait in quarantine for a person", "count", TARGET),
    "retries": Indicator("Attempts beyond the first since the last observation", "count", TARGET),
    "order_backlog": Indicator("Orders with units not shipped yet, by age", "count", BAND),
    "order_backlog_value": Indicator("Value of the units not shipped yet, by age", "money", BAND | CURRENCY),
    "shipment_update_delay": Indicator("Shipped to shown by the shop; those not shown yet at their present age", "seconds", SHOWN),
    "shipments_not_shown": Indicator("Shipments that the shop does not show yet", "count", TARGET),
    "posting_failures": Indicator("Postings that failed at first, or could not be tried, / all, last hour", "share"),
    "postings_unresolved": Indicator("Postings that are not in the ledger yet", "count"),
    "postings_unresolved_value": Indicator("Debits of the postings that are not in the ledger yet", "money", CURRENCY),
    "freshness": Indicator("Age of the oldest message that is not at all its targets; unknown without a fresh watermark", "seconds", FLOW),
    "stock_freshness": Indicator("Stock keys whose last offer is delivered or younger than the threshold / keys known", "share", CHANNEL),
    "delivery_success": Indicator(
        "Writes that took effect / writes that were answered or lost, since the last observation", "share", TARGET
    ),
    "oversell_rate": Indicator("Order lines above the stock known sellable when accepted / lines accepted, last hour", "share"),
    "mismatch_rate": Indicator("Keys in unexplained drift / keys compared, last complete comparison", "share", COMPARISON),
    "drift_findings": Indicator("Confirmed findings that are not closed", "count", COMPARISON),
    "drift_recent": Indicator("Findings confirmed within the last ten minutes, healed ones too", "count", COMPARISON),
    "drift_age": Indicator("Time since the oldest finding that is not closed was confirmed; 0 without one", "seconds", COMPARISON),
    "registry_drift": Indicator("Settings at the system that are not as policy promises; unknown while it was not read", "count", SYSTEM),
    "registry_untold": Indicator("Settings that policy leans on and the system does not tell", "count", SYSTEM),
}  # fmt: skip
