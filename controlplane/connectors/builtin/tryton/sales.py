"""Orders as sales of Tryton, found again by their reference: made once, then taken through quotation to confirmed.

A sale leaves one warehouse, is sold to the customer that policy names (no personal data passes), at the order's prices without tax; the
product's own taxes are put on each line, as Tryton's client would, and none where a marketplace remits the tax itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from controlplane.connectors.builtin.tryton.rpc import Rpc, encode
from controlplane.connectors.contract import Context, Write
from controlplane.connectors.taxes import remitted
from controlplane.errors import BadInputError, RejectedError
from rules.outcomes import Outcome, Result

DRAFT, QUOTATION = "draft", "quotation"
GONE = "cancelled"


class Sales:
    """The sales of one company."""

    def __init__(self, context: Context, rpc: Rpc, company: int, customer: str) -> None:
        self._context, self._rpc, self._company, self._customer = context, rpc, company, customer

    def put(self, request: Write) -> Outcome:
        """Make the sale where there is none with its reference, and confirm it. Raises ConnectorError, BadInputError."""
        held = self._held(request.business_ref)
        identity = held["id"] if held else self._made(request)
        state = held["state"] if held else DRAFT
        if state == GONE:
            raise RejectedError(
                f"the sale {request.business_ref} was cancelled in Tryton; drop the delivery, or delete the sale and replay it"
            )
        if state == DRAFT:
            self._rpc.tell("model.sale.sale.quote", [identity], {})
        evidence: Mapping[str, Any] = {}
        if state in (DRAFT, QUOTATION):
            _, answer = self._rpc.tell("model.sale.sale.confirm", [identity], {})
            evidence = answer.evidence
        return Outcome(Result.DELIVERED, native_id=str(identity), evidence=dict(evidence))

    def read_back(self, request: Write) -> Outcome:
        """Look the sale up by its reference; one that is not confirmed yet counts as absent: writing goes on where it stopped."""
        held = self._held(request.business_ref)
        if held is None:
            return Outcome(Result.ABSENT, f"Tryton has no sale with the reference {request.business_ref}")
        if held["state"] in (DRAFT, QUOTATION):
            return Outcome(Result.ABSENT, f"the sale {request.business_ref} is a {held['state']} still")
        return Outcome(
            Result.ALREADY_DELIVERED,
            f"Tryton has it as sale {held['number']}, {held['state']}",
            native_id=str(held["id"]),
        )

    def _held(self, reference: str) -> dict[str, Any] | None:
        domain: list[Any] = [["reference", "=", reference], ["company", "=", self._company]]
        found = self._all("sale.sale", domain, ["state", "number"])
        if len(found) > 1:
            numbers = ", ".join(str(row["number"] or row["id"]) for row in found)
            raise RejectedError(
                f"{len(found)} sales have the reference {reference} ({numbers}); cancel and delete all but one"
            )
        return found[0] if found else None

    def _made(self, request: Write) -> int:
        made, answer = self._rpc.tell("model.sale.sale.create", [encode(self._sale(request))], {})
        if not isinstance(made, list) or len(made) != 1:
            answer.fail("answered the making of a sale without its id")
        return int(made[0])

    def _sale(self, request: Write) -> dict[str, Any]:
        payload, codes = request.payload, self._context.codes
        places = {str(line["location"]) for line in payload["lines"]}
        if len(places) > 1:
            raise BadInputError(
                f"{request.business_ref} ships from {', '.join(sorted(places))}, and a sale of Tryton leaves one warehouse; "
                "route its lines to one location, or split the order"
            )
        warehouse = self._one(
            "stock.location", "code", codes.theirs("location", places.pop()), [["type", "=", "warehouse"]]
        )
        party = self._one("party.party", "code", self._customer, [], "addresses")
        if not party["addresses"]:
            raise RejectedError(f"the customer {self._customer} has no address in Tryton; give it one")
        currency = self._one("currency.currency", "code", str(payload["currency"]), [])
        return {
            "company": self._company, "party": party["id"], "reference": request.business_ref,
            "invoice_address": party["addresses"][0], "shipment_address": party["addresses"][0],
            "warehouse": warehouse["id"], "currency": currency["id"],
            "sale_date": datetime.fromisoformat(str(payload["placed_at"])).date(),
            "lines": [["create", self._lines(payload["lines"])]],
        }  # fmt: skip

    def _lines(self, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        codes = self._context.codes
        wanted = {str(line["sku"]): codes.theirs("sku", str(line["sku"])) for line in lines}
        fields = ["code", "sale_uom", "salable", "template.account_category"]
        domain: list[Any] = [["code", "in", sorted(set(wanted.values()))]]
        known = {row["code"]: row for row in self._all("product.product", domain, fields)}
        for sku, code in wanted.items():
            if code not in known or not known[code]["salable"] or not known[code]["sale_uom"]:
                why = "is not there" if code not in known else "is not sold"
                raise RejectedError(
                    f"the product {code} ({sku}) {why} in Tryton; make it salable there, or correct the order"
                )
        taxes = self._taxes({row["template."]["account_category"] for row in known.values()})
        return [self._line(line, known[wanted[str(line["sku"])]], taxes) for line in lines]

    @staticmethod
    def _line(
        line: Mapping[str, Any], product: Mapping[str, Any], taxes: Mapping[int | None, list[int]]
    ) -> dict[str, Any]:
        owed = [] if remitted(line, "Tryton") else taxes[product["template."]["account_category"]]
        return {
            "type": "line", "product": product["id"], "unit": product["sale_uom"], "quantity": float(line["quantity"]),
            "unit_price": Decimal(str(line["unit_price"])), "taxes": [["add", owed]],
        }  # fmt: skip

    def _taxes(self, categories: set[int | None]) -> dict[int | None, list[int]]:
        """Return accounting category -> taxes of what is sold in it, where it says so those of the category above."""
        rows: dict[int, dict[str, Any]] = {}
        missing = {at for at in categories if at is not None}
        while missing:
            domain: list[Any] = [["id", "in", sorted(missing)]]
            found = self._all("product.category", domain, ["customer_taxes", "taxes_parent", "parent"])
            rows |= {at: {} for at in missing} | {row["id"]: row for row in found}
            missing = {row["parent"] for row in found if row["taxes_parent"] and row["parent"]} - rows.keys()
        return {one: _taxes_of(rows, one) for one in categories}

    def _one(self, model: str, field: str, code: str, more: list[Any], *fields: str) -> dict[str, Any]:
        found = self._all(model, [[field, "=", code], *more], [field, *fields])
        if len(found) != 1:
            raise RejectedError(
                f"Tryton has {len(found)} of {model} with the {field} {code}; correct the policy, or Tryton"
            )
        return found[0]

    def _all(self, model: str, domain: list[Any], fields: list[str]) -> list[dict[str, Any]]:
        context = {"company": self._company}
        return [row for rows, _ in self._rpc.rows(model, domain, fields, context) for row in rows]


def _taxes_of(rows: Mapping[int, Mapping[str, Any]], at: int | None) -> list[int]:
    while at is not None and rows.get(at, {}).get("taxes_parent"):
        at = rows[at]["parent"]
    return list(rows.get(at, {}).get("customer_taxes") or ()) if at is not None else []
