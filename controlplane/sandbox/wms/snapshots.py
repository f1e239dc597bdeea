"""Exports of stock: asked for, worked at with the requests that come later, fetched from an address that is good for a day."""

import json
import secrets
from datetime import timedelta
from typing import Any

from flask import Response, request
from graphql import GraphQLError

from controlplane.sandbox.catalogue import WAREHOUSE
from controlplane.sandbox.clock import iso_ms
from controlplane.sandbox.records import Level, WmsSnapshot
from controlplane.sandbox.world import World

FILES = "/wms/snapshots/"
GOOD_FOR = timedelta(hours=24)
ACCOUNT = "QWNjb3VudDox"
NEXT = {"enqueued": "processing"}
OVER = ("success", "error", "aborted")


class Snapshots:
    """The warehouse's exports. Called with the world locked."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.held = False
        """Whether nothing is worked at; switched through the control API."""

    def begin(self, data: dict[str, Any]) -> dict[str, Any]:
        """`inventory_generate_snapshot`."""
        now, number = self.world.clock.now(), self.world.counters.next("wms_snapshot")
        row = WmsSnapshot(
            id=f"SNP-{number:06d}", token=secrets.token_hex(16), warehouse_id=data.get("warehouse_id"),
            has_inventory=bool(data.get("has_inventory")), created_at=now, updated_at=now,
        )  # fmt: skip
        return self.shown(self.world.wms_snapshots.put(row.id, row))

    def abort(self, data: dict[str, Any]) -> dict[str, Any]:
        """`inventory_abort_snapshot`."""
        row = self._row(data["snapshot_id"])
        if row.status in OVER:
            raise GraphQLError(f"The snapshot is {row.status} already", extensions={"code": 3})
        return self._end(row, "aborted", data.get("reason"))

    def find(self, name: str) -> dict[str, Any]:
        """`inventory_snapshot`."""
        return self.shown(self._row(name))

    def _row(self, name: str) -> WmsSnapshot:
        row = self.world.wms_snapshots.get(name)
        if row is None:
            raise GraphQLError(f"Not Found: no snapshot {name}", extensions={"code": 4})
        return row

    def _end(self, row: WmsSnapshot, status: str, error: str | None) -> dict[str, Any]:
        row.status, row.error, row.updated_at = status, error, self.world.clock.now()
        return self.shown(self.world.wms_snapshots.put(row.id, row))

    def shown(self, row: WmsSnapshot) -> dict[str, Any]:
        """An export as the API tells of it."""
        address = f"{request.host_url.rstrip('/')}{FILES}{row.token}.json?signature={row.token}"
        done = row.status == "success"
        return {
            "snapshot_id": row.id, "job_account_id": ACCOUNT, "warehouse_id": row.warehouse_id, "status": row.status,
            "error": row.error, "created_at": iso_ms(row.created_at), "updated_at": iso_ms(row.updated_at),
            "snapshot_url": address if done else None, "new_format": True,
            "snapshot_expiration": iso_ms(row.updated_at + GOOD_FOR) if done else None,
        }  # fmt: skip

    def step(self) -> None:
        """Let what is asked for get on."""
        for row in [] if self.held else [row for row in self.world.wms_snapshots if row.status not in OVER]:
            if row.status in NEXT:
                row.status = NEXT[row.status]
                self.world.wms_snapshots.put(row.id, row)
            else:
                row.content = json.dumps({"snapshot_id": row.id, "products": {ACCOUNT: self._products(row)}})
                self._end(row, "success", None)

    def _products(self, row: WmsSnapshot) -> dict[str, Any]:
        wanted = (lv for lv in self.world.levels if lv.location == WAREHOUSE and row.warehouse_id in (None, WAREHOUSE))
        return {level.sku: _product(level) for level in wanted if level.on_hand or not row.has_inventory}

    def give(self, token: str) -> Response:
        """The file."""
        with self.world.transaction():
            row = next((one for one in self.world.wms_snapshots if one.token == token), None)
            signed = request.args.get("signature") == token
            if row is None or row.content is None or not signed or self.world.clock.now() > row.updated_at + GOOD_FOR:
                return Response("<Error><Code>AccessDenied</Code></Error>", 403, content_type="application/xml")
            return Response(row.content, content_type="application/json")

    def set_up(self, body: dict[str, Any]) -> dict[str, Any]:
        """`{"hold", "fail"}`: nothing is worked at; what is under way ends with an error. Of the control API."""
        self.held = bool(body.get("hold", self.held))
        ended = [row for row in self.world.wms_snapshots if row.status not in OVER] if body.get("fail") else []
        for row in ended:
            self._end(row, "error", str(body["fail"]))
        return {"hold": self.held, "failed": len(ended)}


def _product(level: Level) -> dict[str, Any]:
    counts = {
        "warehouse_id": level.location, "on_hand": level.on_hand, "allocated": level.allocated, "backorder": level.backorder,
        "available": level.available, "reserve": 0, "non_sellable": 0, "sell_ahead": 0, "item_bins": {},
    }  # fmt: skip
    return {"sku": level.sku, "account_id": ACCOUNT, "vendors": {}, "warehouse_products": {level.location: counts}}
