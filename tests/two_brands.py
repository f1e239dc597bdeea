"""A retailer of two brands in one plane, with a row of each brand in every table: whatever is the second one's says `zebra`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Table, insert

from controlplane.access import Actor, create_account
from controlplane.clock import Clock
from controlplane.registry import revisions
from controlplane.registry.changes import Changes
from controlplane.registry.revisions import dump
from controlplane.store import tables as t
from controlplane.store.types import Amount, Instant, Json
from controlplane.wiring import Plane
from rules.policy.kinds import KINDS, Document
from rules.reach import Reach
from tests.web import PASSWORD

MARK, MINE = "zebra", "north"
NORTH = Reach(brands=frozenset({MINE}))
EDITOR = Actor("central", frozenset({"editor", "operator", "approver"}))
SYSTEM = {MARK: "zebra-shop", MINE: "shop"}
FLOW = {MARK: "zebra-orders", MINE: "orders"}
OFFERS = {MARK: "zebra-offers", MINE: "stock-offers"}
COMPARISON = {MARK: "zebra-stock", MINE: "stock-three-way"}
LEVEL = {MARK: "zebra-delivery", MINE: "north-delivery"}
FILLED = ("policy_revision", "registry_version", "change_request", "action")
"""Tables that the registry fills."""


def policies(plane: Plane) -> None:
    """Put the second brand beside the first: ERP and warehouse are of both."""
    known = {key: dump(one) for key, one in plane.registry.snapshot().documents.items()}
    made: list[dict[str, Any]] = []

    def put(kind: str, name: str, *, of: str = "", **spec: Any) -> None:
        document = copy.deepcopy(known[kind, of or name])
        document["metadata"] |= {"name": name} | (
            {"title": f"{name} of zebra", "description": ""} if name.startswith(MARK) else {}
        )
        document["spec"] |= spec
        made.append(document)

    put(
        "Team",
        "zebra-team",
        of="store-ops",
        members=[{"username": "zebra-pat", "name": "Pat Zebra", "contact": "pat@zebra.example"}],
    )
    for shared in ("erp", "wms"):
        put("System", shared, brand=[MINE, MARK], region=["eu", "zebraland"])
    put("System", "shop", brand=MINE, region="eu")
    put("System", "zebra-shop", of="shop", brand=MARK, region="zebraland", owner="zebra-team",
        references={"prefix": "ZEBRA-"})  # fmt: skip
    put("Flow", "zebra-orders", of="orders", source="zebra-shop", owner="zebra-team")
    put(
        "Flow",
        "zebra-offers",
        of="stock-offers",
        owner="zebra-team",
        targets=[{"system": "zebra-shop", "entity": "available"}],
    )
    shipments = known["Flow", "shipments"]["spec"]["targets"]
    put("Flow", "shipments", targets=[*shipments, {"system": "zebra-shop", "entity": "fulfillment"}])
    put("Domain", "orders", entities={
        "order": {"system_of_record": ["shop", "zebra-shop"]}, "sale": {"system_of_record": "tills"},
    })  # fmt: skip
    sides = known["Comparison", "stock-three-way"]["spec"]["sides"]
    put("Comparison", "zebra-stock", of="stock-three-way", owner="zebra-team",
        sides=[{**side, "system": "zebra-shop"} if side["system"] == "shop" else side for side in sides])  # fmt: skip
    put("Mapping", "zebra-location", of="shop-location", system="zebra-shop")
    put("AllocationRule", "zebra-rule", of="shop", channel="zebra-shop")
    for mark in (MARK, MINE):
        put("ServiceLevel", LEVEL[mark], of="delivery-success", labels={"target": SYSTEM[mark]})
    put("AlertRule", "zebra-age", of="queue-age", labels={"target": "zebra-shop"}, owner="zebra-team")
    documents: list[Document] = [KINDS[one["kind"]].model_validate(one) for one in made]
    with plane.store.write() as conn:
        revisions.write(conn, plane.clock, documents, author="central", origin="genesis", reason="zebra joins")


def people(plane: Plane, reach: Reach, prefix: str, roles: Mapping[str, tuple[str, ...]]) -> None:
    """Make an account for each set of roles, confined to a reach."""
    for name, held in roles.items():
        create_account(
            plane.store, plane.clock, f"{prefix}-{name}", PASSWORD, held, actor="setup", team="store-ops", reach=reach
        )


def story(plane: Plane, mark: str) -> dict[str, str]:
    """Write a row of a brand into each table; return table -> id of its row."""
    rows = _rows(plane, mark)
    for name, values in rows.items():
        table = t.metadata.tables[name]
        with plane.store.write() as conn:
            conn.execute(insert(table).values(**filled(plane.clock, table, mark, values)))
    changes = Changes(plane.registry)
    document = dump(plane.registry.snapshot().flows[FLOW[mark]])
    document["spec"]["promise"] = "7m"
    request = changes.open("Flow", FLOW[mark], document, f"Faster for {mark}", f"{mark} wants it", EDITOR)
    changes.comment(request.id, EDITOR, f"what {mark} said")
    with plane.store.write() as conn:
        for table in (t.change_vote, t.simulation):
            values = {"id": f"{mark}-{table.name}"[:36], "change_request_id": request.id, "decision": "approve"}
            only = {key: value for key, value in values.items() if key in table.c}
            conn.execute(insert(table).values(**filled(plane.clock, table, mark, only)))
    return {**{name: str(next(iter(values.values()))) for name, values in rows.items()}, "change_request": request.id}


def _rows(plane: Plane, mark: str) -> dict[str, dict[str, Any]]:
    """Table -> what its row has to say; the first value is its key."""
    system, flow, message = SYSTEM[mark], FLOW[mark], f"{mark}-message"
    retry = plane.registry.snapshot().revision("RetryPolicy", "default")
    level = plane.registry.snapshot().revision("ServiceLevel", LEVEL[mark])
    rule = plane.registry.snapshot().revision("AccountingRule", "shipment-revenue")
    now = plane.clock.now()
    return {
        "source_cursor": {"system": system, "entity": "orders"},
        "system_state": {"system": system, "paused_at": None, "last_error": f"{mark} is away"},
        "flow_state": {"flow": flow, "paused_at": None},
        "intake": {"id": f"{mark}-intake", "system": system, "state": "translated", "sealed": None},
        "message": {
            "id": message, "type": "order.placed", "source": system, "subject": f"{mark}-#1", "intake_id": f"{mark}-intake",
            "causation_id": None, "state": "processed", "data": {"ref": f"{mark}-#1"},
        },
        "product": {"sku": f"{mark}-sku", "message_id": message, "active": True},
        "stock_position": {"sku": f"{mark}-sku", "source": system, "message_id": message},
        "stock_change": {"sku": f"{mark}-sku", "message_id": message},
        "order_state": {"ref": f"{mark}-#1", "source": system, "state": "released_to_warehouse", "message_id": message},
        "order_line": {"order_ref": f"{mark}-#1", "line": 1},
        "posting": {
            "posting_key": f"{mark}-posting", "message_id": message, "rule_revision": rule, "business_date": "2026-03-02",
            "lines": [{"account": f"{mark}-4000", "debit": "1.00", "credit": "0", "memo": ""}],
        },
        "delivery": {
            "id": f"{mark}-delivery", "message_id": message, "flow": flow, "target": "erp", "state": "pending", "retry_revision": retry,
            "payload": {"about": mark}, "promise_at": now - timedelta(minutes=3), "finished_at": None, "head": True,
        },
        "attempt": {"id": f"{mark}-attempt", "delivery_id": f"{mark}-delivery", "system": "erp", "flow": flow, "retry_revision": retry,
                    "outcome": "unavailable", "kind": "write"},
        "target_level": {"system": system, "field": "available"},
        "target_effect": {"system": system, "field": "available"},
        "quarantine": {
            "id": f"{mark}-case", "stage": "delivery", "system": "erp", "flow": flow, "message_id": message, "state": "waiting",
            "delivery_id": f"{mark}-delivery", "intake_id": None, "record": {"ref": f"{mark}-#1"}, "record_sealed": None,
            "corrected": None, "corrected_sealed": None, "replayed_as": None, "previous_id": None, "reason_code": "rejected",
            "closed_at": None, "closed_by": None, "replay_at": None, "correction_id": None, "approved_by": None, "accepted": None,
        },
        "quarantine_event": {"id": f"{mark}-case-event", "case_id": f"{mark}-case", "kind": "opened"},
        "replay": {"id": f"{mark}-replay", "flow": flow, "target": None, "state": "running", "counts": {"erp": {"new": 1}},
                   "finished_at": None, "subject": None},
        "sample": {"indicator": "queue_depth", "labels": {"target": system}, "series": f"target={system}"},
        "rollup": {"indicator": "queue_depth", "series": f"target={system}"},
        "comparison_run": {"id": f"{mark}-run", "comparison": COMPARISON[mark], "state": "complete", "registry_version": 2, "unread": None},
        "finding": {"id": f"{mark}-finding", "comparison": COMPARISON[mark], "side": system, "run_id": f"{mark}-run", "state": "open",
                    "message_id": message, "cause": "missing", "registry_version": 2, "closed_at": None, "evidence": {}, "expected": [1],
                    "actual": 2},
        "finding_event": {"id": f"{mark}-finding-event", "finding_id": f"{mark}-finding", "kind": "opened"},
        "heal": {"id": f"{mark}-heal", "finding_id": f"{mark}-finding", "comparison": COMPARISON[mark], "state": "done"},
        "verdict": {"id": f"{mark}-verdict", "service_level": LEVEL[mark], "state": "meeting", "policy_revision": level, "tiers": []},
        "incident": {
            "id": f"{mark}-incident", "rule": f"service_level/{LEVEL[mark]}", "labels": {"target": system}, "state": "open",
            "severity": "page", "policy_revision": level, "resolved_at": None, "acknowledged_at": None, "acknowledged_by": None,
        },
        "incident_event": {"id": f"{mark}-incident-event", "incident_id": f"{mark}-incident", "kind": "opened", "message_id": None},
    }  # fmt: skip


def made_by_the_plane(plane: Plane) -> None:
    """Add what the plane made of each brand's order and of itself, and what it owes the shop for that."""
    for mark in (MARK, MINE):
        _offer(plane, mark, f"{mark}-offer", f"{mark}-message")
        _offer(plane, mark, f"{mark}-heal", None)


def _offer(plane: Plane, mark: str, name: str, cause: str | None) -> None:
    message = {"id": name, "type": "stock.offer", "source": "plane", "causation_id": cause, "state": "processed"}
    owed = {"id": f"{name}-owed", "message_id": name, "flow": OFFERS[mark], "target": SYSTEM[mark], "state": "pending",
            "retry_revision": plane.registry.snapshot().revision("RetryPolicy", "default"), "finished_at": None}  # fmt: skip
    with plane.store.write() as conn:
        conn.execute(insert(t.message).values(**filled(plane.clock, t.message, name, message)))
        conn.execute(insert(t.delivery).values(**filled(plane.clock, t.delivery, name, owed)))


def filled(clock: Clock, table: Table, mark: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what a row says beside that: something with the mark in it wherever there is room for it."""
    found = dict(values)
    for column in table.c:
        if column.name in found or (column.primary_key and column.autoincrement is True):
            continue
        match column.type:
            case Instant():
                found[column.name] = clock.now() - timedelta(minutes=1)
            case Json():
                found[column.name] = {"of": mark}
            case Amount():
                found[column.name] = Decimal("12.50")
            case _:
                found[column.name] = _plain(column, mark)
    return found


def _plain(column: Any, mark: str) -> Any:
    kind = column.type.python_type
    if kind is str:
        text = "EUR" if column.name == "currency" else f"{mark}-{column.name}"
        return text[: getattr(column.type, "length", None) or 200]
    if kind is bytes:
        return f"{mark}-{column.table.name}".encode()[:16] if column.name == "fingerprint" else mark.encode()
    return False if kind is bool else 1
