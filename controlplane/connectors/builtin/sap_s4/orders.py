"""Sales orders, known by the customer's reference. SAP numbers them itself and de-duplicates nothing, so ours is looked for before.

Several are looked for with one `$batch` and made with another, each in a changeset of its own. SAP has two services of them, of OData
V2 and of V4, over the same orders; what differs is how things are called (`Names`), and how they are written (`Service`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import quote

from controlplane.connectors import odata
from controlplane.connectors.builtin.sap_s4.api import Api, external
from controlplane.connectors.contract import Write
from controlplane.connectors.http import Answer
from controlplane.connectors.odata4 import Service4
from controlplane.connectors.odata_batch import Asked, Reply
from controlplane.connectors.outcomes import outcome_of
from controlplane.connectors.taxes import exempt_code
from controlplane.errors import BadInputError
from rules.outcomes import Outcome, Result

LONGEST = 35
"""Characters that a customer's reference has room for."""
SERVER_ERROR = 500
CREATED = 201


class Names(NamedTuple):
    """What a service calls a sales order and what belongs to it."""

    orders: str
    items: str
    prices: str
    material: str
    plant: str
    unit: str
    rate: str
    rate_unit: str
    taxed: str = ""
    """The tax classification of an item's material; empty where the service has none."""


V2 = Names(
    "A_SalesOrder", "to_Item", "to_PricingElement", "Material", "ProductionPlant", "RequestedQuantityUnit",
    "ConditionRateValue", "ConditionQuantityUnit", "ProductTaxClassification1",
)  # fmt: skip
V4 = Names(
    "SalesOrder", "_Item", "_ItemPricingElement", "Product", "Plant", "RequestedQuantitySAPUnit",
    "ConditionRateAmount", "ConditionQuantitySAPUnit",
)  # fmt: skip


class Item(NamedTuple):
    """An item of an order that SAP has: its number, the material as people write it, pieces."""

    number: str
    material: str
    quantity: int


class Orders:
    """Sales orders of one sold-to party."""

    def __init__(self, api: Api) -> None:
        self._api, self._service = api, api.orders
        self._names = V4 if isinstance(api.orders, Service4) else V2

    def create(self, request: Write) -> Outcome:
        """Book an order, unless SAP has it."""
        body = self._body(request)
        if held := self.held(str(request.payload["ref"])):
            return _already(request, held)
        made, answer = self._service.create(f"/{self._names.orders}", body)
        return _delivered(made, answer.headers, answer)

    def create_many(self, requests: Sequence[Write]) -> list[Outcome]:
        """Book several; one that SAP refuses keeps none of the others."""
        bodies = [self._body(one) for one in requests]
        outcomes = self._looked_up(requests)
        missing = [at for at, outcome in enumerate(outcomes) if outcome is None]
        if missing:
            sets = [[Asked("POST", self._names.orders, bodies[at], self._service.kinds)] for at in missing]
            replies, answer = self._service.batch(sets, write=True)
            for at, reply in zip(missing, replies, strict=True):
                outcomes[at] = self._outcome(reply, answer)
        return [one or Outcome(Result.UNKNOWN, "SAP said nothing of it") for one in outcomes]

    def read_back(self, request: Write) -> Outcome:
        """Look for the order."""
        ref = str(request.payload["ref"])
        all_held = list(self._all_held(ref))
        if not all_held:
            return Outcome(Result.ABSENT, f"SAP has no sales order of reference {ref}")
        return replace(_already(request, all_held[0]), effects=tuple(str(row.get("SalesOrder")) for row in all_held))

    def held(self, ref: str, **about: str) -> dict[str, Any] | None:
        """Return the order of a reference, with what is told `about` it; None where there is none. Raises ConnectorError."""
        return next(self._all_held(ref, **about), None)

    def with_items(self, ref: str) -> dict[str, Any] | None:
        """Return the order of a reference, with its items; None where there is none. Raises ConnectorError."""
        return self.held(ref, expand=self._names.items)

    def items(self, order: Mapping[str, Any]) -> list[Item]:
        """Return the items of an order. Raises KeyError, TypeError, ValueError where it breaks its contract."""
        rows = self._service.inside(order, self._names.items)
        return [
            Item(
                str(row["SalesOrderItem"]),
                external(str(row[self._names.material])),
                odata.whole(row["RequestedQuantity"]),
            )
            for row in rows
        ]

    def _all_held(self, ref: str, **about: str) -> Iterator[dict[str, Any]]:
        for rows, _ in self._service.rows(f"/{self._names.orders}", filter=self._chosen(ref), **about):
            yield from (row for row in rows if row.get("PurchaseOrderByCustomer") == ref)

    def _chosen(self, ref: str) -> str:
        party = odata.text(self._api.option("sold_to_party"))
        return f"PurchaseOrderByCustomer eq {odata.text(ref)} and SoldToParty eq {party}"

    def _looked_up(self, requests: Sequence[Write]) -> list[Outcome | None]:
        chosen = [quote(self._chosen(str(one.payload["ref"])), safe="") for one in requests]
        kinds = {"Accept": self._service.kinds["Accept"]}
        asked = [Asked("GET", f"{self._names.orders}?$filter={one}", None, kinds) for one in chosen]
        replies, answer = self._service.batch(asked, write=False)
        return [self._seen(one, reply, answer) for one, reply in zip(requests, replies, strict=True)]

    def _seen(self, request: Write, reply: Reply | list[Reply], answer: Answer) -> Outcome | None:
        if isinstance(reply, list) or reply.status >= SERVER_ERROR:
            return Outcome(Result.UNAVAILABLE, "SAP cannot say now whether it has the order")
        body = reply.json()
        if reply.status != 200:
            return outcome_of(self._service.refusal(reply.status, body, answer.evidence))
        rows = self._service.rows_of(body)
        if rows is None:
            answer.fail("answered a look-up of an order with something else")
        found = [row for row in rows if row.get("PurchaseOrderByCustomer") == request.payload["ref"]]
        return _already(request, found[0]) if found else None

    def _outcome(self, reply: Reply | list[Reply], answer: Answer) -> Outcome:
        one = reply[0] if isinstance(reply, list) and reply else reply
        if isinstance(one, list) or one.status >= SERVER_ERROR:
            return Outcome(
                Result.UNKNOWN, "SAP broke down over the order; it may have taken effect", evidence=answer.evidence
            )
        body = one.json()
        if one.status != CREATED:
            return outcome_of(self._service.refusal(one.status, body, answer.evidence))
        made = self._service.entity_of(body)
        if made is None:
            return Outcome(Result.UNKNOWN, "SAP says that it made the order, and not which", evidence=answer.evidence)
        return _delivered(made, one.headers, answer)

    def _body(self, request: Write) -> dict[str, Any]:
        payload, api = request.payload, self._api
        ref, day = _reference(payload), self._service.day(str(_of(payload, "placed_at")))
        items = [self._item(at, line, payload) for at, line in enumerate(_of(payload, "lines"), 1)]
        return {
            "SalesOrderType": api.option("sales_order_type"), "SalesOrganization": api.option("sales_organization"),
            "DistributionChannel": api.option("distribution_channel"), "OrganizationDivision": api.option("division"),
            "SoldToParty": api.option("sold_to_party"), "PurchaseOrderByCustomer": ref, "CustomerPurchaseOrderDate": day,
            "TransactionCurrency": str(_of(payload, "currency")),
            self._names.items: self._service.nested(items),
        }  # fmt: skip

    def _item(self, at: int, line: Mapping[str, Any], payload: Mapping[str, Any]) -> dict[str, Any]:
        names, unit = self._names, self._api.option("unit")
        plant, storage = self._api.place(str(line["location"]))
        price = {
            "ConditionType": self._api.option("condition_type"), names.rate: odata.as_text(line["unit_price"]),
            "ConditionCurrency": str(payload["currency"]), "ConditionQuantity": "1", names.rate_unit: unit,
        }  # fmt: skip
        return {
            "SalesOrderItem": str(at * 10), names.material: self._api.theirs(str(line["sku"])),
            "RequestedQuantity": str(line["quantity"]), names.unit: unit, names.plant: plant, "StorageLocation": storage,
            names.prices: self._service.nested([price]), **self._untaxed(line),
        }  # fmt: skip

    def _untaxed(self, line: Mapping[str, Any]) -> dict[str, str]:
        """The classification under which SAP books no tax, for a line whose tax a marketplace remits itself."""
        code = exempt_code(self._api.context.codes, "SAP", line)
        if code and not self._names.taxed:
            raise BadInputError(
                f"a marketplace remits the tax on {line['sku']}, and SAP's service of V4 cannot say so of an item; nothing was sent; "
                "take V2 for it (`orders_api`)",
                "tax",
            )
        return {self._names.taxed: code} if code else {}


def _of(payload: Mapping[str, Any], name: str) -> Any:
    if name not in payload:
        raise BadInputError(
            f"a sales order is not made from this message: it has no '{name}'; nothing was sent; correct the flow, or its entity"
        )
    return payload[name]


def _reference(payload: Mapping[str, Any]) -> str:
    ref = str(_of(payload, "ref"))
    if len(ref) > LONGEST:
        raise BadInputError(
            f"the reference {ref} has more than {LONGEST} characters, and SAP has no room for them; shorten it at the source",
            "ref",
        )
    return ref


def _already(request: Write, row: Mapping[str, Any]) -> Outcome:
    native = str(row.get("SalesOrder") or "") or None
    return Outcome(
        Result.ALREADY_DELIVERED, f"SAP has {request.business_ref} as sales order {native}", native_id=native
    )


def _delivered(made: Mapping[str, Any], headers: Mapping[str, str], answer: Answer) -> Outcome:
    native = str(made.get("SalesOrder") or "") or None
    return Outcome(Result.DELIVERED, odata.warnings(headers), native_id=native, evidence=answer.evidence)
