"""Shipments as outbound deliveries of the sales order, goods issue posted. Known by the bill of lading, which holds our shipment's name.

SAP takes the name only once the delivery is made. One of the same contents that bears no name and has not left yet is therefore
taken for ours: after a crash it is, and otherwise SAP's delivery run made it for the very goods that were shipped.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from controlplane.connectors import odata
from controlplane.connectors.builtin.sap_s4.api import Api, external
from controlplane.connectors.builtin.sap_s4.orders import Orders
from controlplane.connectors.contract import Write
from controlplane.errors import BadInputError, RejectedError, UnreadableError
from rules.outcomes import Outcome, Result

DONE = "C"
LONGEST = 35
Item = Mapping[str, Any]


class Deliveries:
    """Deliveries of one tenant."""

    def __init__(self, api: Api, orders: Orders) -> None:
        self._api, self._orders = api, orders

    def ship(self, request: Write) -> Outcome:
        """Have the goods leave, unless SAP has them gone."""
        order = self._order(request)
        if order is None:
            ref = request.payload["order_ref"]
            waiting = f"the sales order of reference {ref} is not in SAP yet; the shipment waits for it"
            return Outcome(Result.UNAVAILABLE, waiting, evidence={"waits_for": waiting})
        number, header = self._found(order, request)
        if header and header.get("OverallGoodsMovementStatus") == DONE:
            return _already(request, number)
        return self._issued(number or self._created(order, request), request)

    def read_back(self, request: Write) -> Outcome:
        """Look whether goods of the shipment have left."""
        order = self._order(request)
        number, header = self._found(order, request) if order else ("", None)
        if header and header.get("OverallGoodsMovementStatus") == DONE:
            return _already(request, number)
        return Outcome(Result.ABSENT, f"SAP has posted no goods issue of {request.business_ref}")

    def _order(self, request: Write) -> dict[str, Any] | None:
        return self._orders.with_items(str(request.payload["order_ref"]))

    def _found(self, order: Item, request: Write) -> tuple[str, dict[str, Any] | None]:
        """Return (number, header) of the delivery that is this shipment's; ("", None) where there is none."""
        wanted, fitting = self._units(request), ("", None)
        for number, items in sorted(self._items(order).items()):
            found = self._api.deliveries.found(f"/A_OutbDeliveryHeader({odata.key(number)})")
            header = found[0] if found else {}
            name = str(header.get("BillOfLading") or "")
            if name == _name(request):
                return number, header
            left = header.get("OverallGoodsMovementStatus") == DONE
            if found and not name and not left and _counted(items) == wanted:
                fitting = (number, header)  # type: ignore[assignment]
        return fitting

    def _items(self, order: Item) -> dict[str, list[Item]]:
        chosen = f"ReferenceSDDocument eq {odata.text(str(order['SalesOrder']))}"
        by_delivery: dict[str, list[Item]] = defaultdict(list)
        for rows, answer in self._api.deliveries.rows("/A_OutbDeliveryItem", filter=chosen):
            for row in rows:
                try:
                    odata.whole(row["ActualDeliveryQuantity"])
                    by_delivery[str(row["DeliveryDocument"])].append(row)
                except (KeyError, ValueError):
                    answer.fail(f"answered an item of a delivery that breaks its contract: {row}")
        return by_delivery

    def _units(self, request: Write) -> Counter[str]:
        units: Counter[str] = Counter()
        for line in request.payload["lines"]:
            units[external(self._api.theirs(str(line["sku"])))] += int(line["quantity"])
        return units

    def _created(self, order: Item, request: Write) -> str:
        unit = self._api.option("unit")
        items = [
            {
                "ReferenceSDDocument": str(order["SalesOrder"]), "ReferenceSDDocumentItem": item,
                "ActualDeliveryQuantity": str(count), "DeliveryQuantityUnit": unit,
            }
            for item, count in self._taken(order, request)
        ]  # fmt: skip
        made, answer = self._api.deliveries.create(
            "/A_OutbDeliveryHeader", {"to_DeliveryDocumentItem": {"results": items}}
        )
        number = str(made.get("DeliveryDocument") or "")
        return number or answer.fail("says that it made a delivery, and not which")

    def _taken(self, order: Item, request: Write) -> list[tuple[str, int]]:
        left, taken = self._units(request), []
        gone = _by_item(row for rows in self._items(order).values() for row in rows)
        try:
            for item in self._orders.items(order):
                if (count := min(left[item.material], item.quantity - gone[_number(item.number)])) > 0:
                    left[item.material] -= count
                    taken.append((item.number, count))
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableError(
                f"SAP's sales order {order.get('SalesOrder')} breaks its contract: {error!r}"
            ) from error
        if short := {material: count for material, count in left.items() if count}:
            raise RejectedError(
                f"sales order {order['SalesOrder']} has less left to ship than {request.business_ref} carried; too many: {short}. "
                "Compare the shipment with the order's deliveries in SAP"
            )
        return taken

    def _issued(self, number: str, request: Write) -> Outcome:
        """Name the delivery, pick it and post its goods issue, each step on what the one before left."""
        service, path = self._api.deliveries, f"/A_OutbDeliveryHeader({odata.key(number)})"
        header, tag = self._read(path)
        if header.get("BillOfLading") != _name(request):
            service.merge(path, {"BillOfLading": _name(request)}, tag)
            header, tag = self._read(path)
        if header.get("OverallPickingStatus") != DONE:
            service.call("PickAllItems", tag, DeliveryDocument=odata.text(number))
            header, tag = self._read(path)
        answer = service.call("PostGoodsIssue", tag, DeliveryDocument=odata.text(number))
        return Outcome(Result.DELIVERED, odata.warnings(answer.headers), native_id=number, evidence=answer.evidence)

    def _read(self, path: str) -> tuple[dict[str, Any], str]:
        found = self._api.deliveries.found(path)
        if found is None:
            raise RejectedError(f"SAP had the delivery {path} a moment ago, and has it no more; look who deleted it")
        return found


def _name(request: Write) -> str:
    name = str(request.payload["shipment"])
    if len(name) > LONGEST:
        raise BadInputError(
            f"the shipment's name {name} is longer than the {LONGEST} characters of a bill of lading", "shipment"
        )
    return name


def _number(item: Any) -> int:
    return int(str(item))


def _counted(items: Iterable[Item]) -> Counter[str]:
    units: Counter[str] = Counter()
    for item in items:
        units[external(str(item["Material"]))] += odata.whole(item["ActualDeliveryQuantity"])
    return units


def _by_item(items: Iterable[Item]) -> Counter[int]:
    gone: Counter[int] = Counter()
    for item in items:
        gone[_number(item["ReferenceSDDocumentItem"])] += odata.whole(item["ActualDeliveryQuantity"])
    return gone


def _already(request: Write, number: str) -> Outcome:
    detail = f"SAP has {request.business_ref} as delivery {number}, goods issue posted"
    return Outcome(Result.ALREADY_DELIVERED, detail, native_id=number)
