"""The control API: time, faults, actors, the journal and the truth. Loopback only, and only with its own header."""

import ipaddress
from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, jsonify, request

from controlplane.sandbox import pager
from controlplane.sandbox.catalogue import ACCOUNTS, WAREHOUSE
from controlplane.sandbox.clock import SteppedClock, iso_ms, parse_iso
from controlplane.sandbox.engine import Engine
from controlplane.sandbox.erp.routes import Erp
from controlplane.sandbox.scenario import ScenarioError, read_fault
from controlplane.sandbox.shop.bodies import LOCATION_ID, gid
from controlplane.sandbox.shop.control import ShopControl
from controlplane.sandbox.shop.counter import Counter
from controlplane.sandbox.wms.routes import Wms

HEADER, HEADER_VALUE = "X-Sandbox", "control"
JOURNAL_PAGE = 5000


class RefusalError(Exception):
    """A control request that cannot be carried out: HTTP status and the remedy."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Control:
    """What the control API can do."""

    def __init__(self, engine: Engine, counter: Counter, erp: Erp, wms: Wms, shop: ShopControl) -> None:
        self.engine, self.counter, self.erp, self.world = engine, counter, erp, engine.world
        self.wms, self.in_shop = wms, shop

    def advance(self) -> Response:
        """`POST /control/advance {"to"}`: everything due up to then happens, webhooks included."""
        clock = self.world.clock
        if not isinstance(clock, SteppedClock):
            raise RefusalError(409, "time follows the wall here: start the sandbox with --stepped to advance it")
        return jsonify(self.engine.advance(clock, self._moment(_body().get("to"))))

    def _moment(self, given: object) -> datetime:
        try:
            moment = parse_iso(str(given))
        except ValueError as error:
            raise RefusalError(400, f"to: {error}; send an ISO 8601 moment, such as 2026-11-27T06:05:00Z") from error
        if moment < self.world.clock.now():
            raise RefusalError(
                400, f"to: {given} is past already ({iso_ms(self.world.clock.now())}); time only goes forward"
            )
        return moment

    def journal(self) -> Response:
        """`GET /control/journal?after=SEQ&limit=N`."""
        after, limit = (_number(request.args.get(n, d), n) for n, d in (("after", "0"), ("limit", "1000")))
        with self.world.transaction():
            self.world.store.commit()
            return jsonify(self.world.journal.read(after, max(1, min(limit, JOURNAL_PAGE))))

    def truth(self) -> Response:
        """`GET /control/truth`: every article at every location, in everybody's books."""
        with self.world.transaction() as world:
            return jsonify([self._truth_row(key.sku, key.location) for key in world.levels])

    def _truth_row(self, sku: str, location: str) -> dict[str, Any]:
        level, item = self.world.level(sku, location), self.world.catalogue.by_sku[sku]
        home = location == WAREHOUSE
        return {
            "sku": sku,
            "location": location,
            "wms_on_hand": level.on_hand,
            "wms_allocated": level.allocated if home else None,
            "wms_available": level.available if home else None,
            "wms_on_order": level.on_order if home else None,
            "open_order_units": level.open_units if home else None,
            "ats": level.ats if home else None,
            "erp_on_hand": level.erp_on_hand,
            "erp_available": level.erp_on_hand - level.erp_committed,
            "shop_available": level.shop_available if home else None,
            "shop_committed": level.shop_committed if home else None,
            "unit_price": str(item.price),
            "unit_cost": str(item.cost),
        }

    def status(self) -> Response:
        """`GET /control/status`."""
        with self.world.transaction() as world:
            ends = world.trading_ends
            return jsonify(
                self.engine.standing()
                | {
                    "started_at": iso_ms(world.meta.started_at),
                    "trading_ends": iso_ms(ends) if ends else None,
                    "trading": world.trading(),
                    "stepped": world.clock.stepped,
                    "seed": world.seed,
                    "actors": {"running": world.meta.running, "rate": world.meta.rate},
                    "faults": [fault["id"] for fault in world.faults.listing() if fault["active"]],
                    "counts": {
                        "orders": len(world.orders),
                        "wms_orders": len(world.wms_orders),
                        "shipments": len(world.shipments),
                        "returns": len(world.returns),
                        "receipts": sum(len(row.receipts) for row in world.purchases),
                        "erp_records": len(world.erp_records),
                        "unshipped_units": sum(level.open_units for level in world.levels),
                        "till_lines_waiting": len(world.till_lines),
                    },
                }
            )

    def catalogue(self) -> Response:
        """`GET /control/catalogue`: every name of every article, location and account."""
        goods = self.world.catalogue
        items = [
            {
                "sku": i.sku,
                "plu": i.plu,
                "title": i.title,
                "unit_price": str(i.price),
                "unit_cost": str(i.cost),
                "erp_id": str(i.erp_id),
                "shop_inventory_item_id": gid("InventoryItem", i.shop_item_id),
            }
            for i in goods.items
        ]
        places = [
            {
                "location": name,
                "erp_id": str(goods.erp_location_id(name)),
                "shop_id": gid("Location", LOCATION_ID) if name == WAREHOUSE else None,
            }
            for name in goods.locations
        ]
        return jsonify(items=items, locations=places, accounts=ACCOUNTS)

    def add_fault(self) -> Response:
        """`POST /control/faults`; offsets count from now."""
        try:
            spec = read_fault(_body())
        except ScenarioError as error:
            raise RefusalError(400, str(error)) from error
        with self.world.transaction() as world:
            if spec.id and world.faults.spec(spec.id):
                raise RefusalError(409, f"fault {spec.id} exists: delete it first, or use another id")
            return jsonify(id=world.faults.add(spec, world.clock.now()))

    def delete_fault(self, name: str) -> Response:
        """`DELETE /control/faults/{id}`."""
        with self.world.transaction() as world:
            if not world.faults.delete(name):
                raise RefusalError(404, f"there is no fault {name}: see GET /control/faults")
        return jsonify(deleted=name)

    def actors(self) -> Response:
        """`POST /control/actors {"running", "rate"}`: both optional; the rate multiplies everybody's traffic."""
        body = _body()
        rate = body.get("rate", self.world.meta.rate)
        if not isinstance(rate, int | float) or isinstance(rate, bool) or rate <= 0:
            raise RefusalError(400, f"rate: {rate!r} is not above 0; to stop everybody send running: false")
        with self.world.transaction() as world:
            world.meta.running, world.meta.rate = bool(body.get("running", world.meta.running)), float(rate)
            world.metas.put("meta", world.meta)
            return jsonify(running=world.meta.running, rate=world.meta.rate)

    def order(self) -> Response:
        """`POST /control/order {"lines": [{"sku", "quantity"}]}`: place one order now."""
        lines = _body().get("lines")
        if not isinstance(lines, list) or not lines:
            raise RefusalError(400, 'lines: send {"lines": [{"sku": …, "quantity": …}]}')
        wanted = [(self._sku(line.get("sku")), _number(line.get("quantity"), "quantity")) for line in lines]
        with self.world.transaction():
            order = self.counter.place(wanted)
        if order is None:
            raise RefusalError(
                409, "the shop refused the order: it has less available; see the journal's last lost_sale"
            )
        return jsonify(order=order.name, id=gid("Order", order.id))

    def hand_edit(self) -> Response:
        """`POST /control/hand-edit {"sku", "location", "delta" or "set"}`."""
        body = _body()
        sku = self._sku(body.get("sku"))
        if body.get("location", WAREHOUSE) != WAREHOUSE:
            raise RefusalError(400, f"location: the shop keeps stock at {WAREHOUSE} only")
        if ("delta" in body) == ("set" in body):
            raise RefusalError(400, "send either delta or set")
        with self.world.transaction() as world:
            level = world.level(sku)
            available = int(body["set"]) if "set" in body else level.shop_available + int(body["delta"])
            self.counter.hand_edit(level, available)
        return jsonify(sku=sku, available=available)

    def item(self) -> Response:
        """`POST /control/item {"sku", "active"}`: the ERP sells an article, or does not any more."""
        body = _body()
        sku, active = self._sku(body.get("sku")), body.get("active")
        if not isinstance(active, bool):
            raise RefusalError(400, "active: send true or false")
        with self.world.transaction():
            self.erp.ledger.sell(sku, active)
        return jsonify(sku=sku, active=active)

    def deed(self, deed: Callable[[dict[str, Any]], dict[str, Any]]) -> Response:
        """Something that people do at a vendor's, by the body of the request."""
        body = _body()
        with self.world.transaction():
            try:
                return jsonify(deed(body))
            except (ArithmeticError, KeyError, TypeError, ValueError) as error:
                raise RefusalError(400, str(error)) from error

    def _sku(self, given: object) -> str:
        if given not in self.world.catalogue.by_sku:
            raise RefusalError(400, f"sku: {given!r} is not sold here; see GET /control/catalogue")
        return str(given)


def _body() -> dict[str, Any]:
    body = request.get_json(silent=True, force=True)
    if not isinstance(body, dict):
        raise RefusalError(400, "send a JSON object")
    return body


def _number(given: object, name: str) -> int:
    if isinstance(given, bool) or not str(given).isdigit():
        raise RefusalError(400, f"{name}: {given!r} is no whole number of 0 or more")
    return int(str(given))


def _guard() -> None:
    if not ipaddress.ip_address(request.remote_addr or "0.0.0.0").is_loopback:  # noqa: S104 the address that means: unknown
        raise RefusalError(403, "the control API answers on loopback only")
    if request.headers.get(HEADER) != HEADER_VALUE:
        raise RefusalError(403, f"the control API wants the header {HEADER}: {HEADER_VALUE}")


def blueprint(control: Control) -> Blueprint:
    """The control API under `/control`."""
    room = Blueprint("control", __name__, url_prefix="/control")
    room.before_request(_guard)
    room.register_error_handler(RefusalError, _refused)
    rules: list[tuple[str, str, Callable[..., Response]]] = [
        ("POST", "/advance", control.advance),
        ("GET", "/journal", control.journal),
        ("GET", "/truth", control.truth),
        ("GET", "/status", control.status),
        ("GET", "/catalogue", control.catalogue),
        ("POST", "/faults", control.add_fault),
        ("DELETE", "/faults/<name>", control.delete_fault),
        ("POST", "/actors", control.actors),
        ("POST", "/order", control.order),
        ("POST", "/hand-edit", control.hand_edit),
        ("POST", "/item", control.item),
        ("POST", "/erp/certificate", lambda: control.deed(control.erp.certificate)),
        ("POST", "/erp/account", lambda: control.deed(control.erp.set_up)),
        ("POST", "/wms/snapshots", lambda: control.deed(control.wms.answers.snapshots.set_up)),
        ("POST", "/shop/bulk", lambda: control.deed(control.in_shop.end_bulk)),
        ("POST", "/shop/sale", lambda: control.deed(control.in_shop.sell)),
        ("POST", "/shop/refund", lambda: control.deed(control.in_shop.refund)),
        ("POST", "/shop/settle", lambda: control.deed(control.in_shop.settle)),
        ("POST", "/shop/payout", lambda: control.deed(control.in_shop.pay_out)),
    ]
    for method, path, view in rules:
        room.add_url_rule(path, endpoint=f"{method} {path}".replace(".", "_"), view_func=view, methods=[method])

    @room.get("/faults")
    def faults() -> Response:
        with control.world.transaction() as world:
            return jsonify(world.faults.listing())

    @room.get("/pager")
    def pages() -> Response:
        with control.world.transaction() as world:
            return jsonify(pager.listing(world))

    return room


def _refused(refusal: RefusalError) -> Response:
    answer = jsonify(error=str(refusal))
    answer.status_code = refusal.status
    return answer
