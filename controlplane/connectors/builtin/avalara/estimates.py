"""A document computed anew: a SalesOrder, which AvaTax computes and does not keep. Nothing is ever committed from here."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from controlplane.connectors.builtin.avalara.api import Api, exact
from controlplane.connectors.http import Answer
from controlplane.errors import BadInputError
from rules.tax import Computed, Place, TaxDocument, TaxLine, sum_of, unexact

CREATE = "/api/v2/transactions/create"
ESTIMATE = "SalesOrder"
DIGITS = 15
"""Of so many a JSON number is read back as it was written, whoever reads it."""


def check(document: TaxDocument) -> None:
    """Raise BadInputError for a document that cannot be computed exactly."""
    wrong = unexact(document)
    for line in document.lines:
        for amount in (line.amount, line.quantity):
            if amount.is_finite() and len(amount.normalize().as_tuple().digits) > DIGITS:
                wrong.append(f"{amount} of line {line.number} has more than {DIGITS} digits")
    if wrong:
        raise BadInputError(f"document {document.ref} cannot be computed: {'; '.join(wrong)}; correct it")


def compute(
    api: Api, document: TaxDocument, codes: Mapping[str, str], company: str, customer: str, *, owed: bool = False
) -> dict[str, Computed]:
    """Return what AvaTax computes of each line, by its number. Raises ConnectorError."""
    asked = _request(document, codes, company, customer)
    answer = api.ask("POST", CREATE, owed=owed, params={"$include": "Lines"}, json=asked)
    told = exact(answer)
    if told.get("type") != ESTIMATE or told.get("status") not in (None, "Temporary"):
        answer.fail(
            f"made a {told.get('type')} with the status {told.get('status')} of an estimate; look for it there, and void it"
        )
    if str(told.get("currencyCode") or document.currency) != document.currency:
        answer.fail(f"computed in {told.get('currencyCode')}, and was asked for {document.currency}")
    found = _lines(answer, told)
    if set(found) != {line.number for line in document.lines}:
        answer.fail(
            f"computed the lines {sorted(found)}, and was asked for {sorted(line.number for line in document.lines)}"
        )
    for row in told["lines"]:
        line = next(one for one in document.lines if one.number == str(row["lineNumber"]))
        if "lineAmount" in row and _amount(answer, row, "lineAmount") != line.amount:
            answer.fail(f"computed line {line.number} on {row['lineAmount']}, and was asked for {line.amount}")
    total = _amount(answer, told, "totalTax")
    if total != sum_of(one.tax for one in found.values()):
        answer.fail(f"says {total} of tax in all, and its lines say {sum_of(one.tax for one in found.values())}")
    return found


def _request(document: TaxDocument, codes: Mapping[str, str], company: str, customer: str) -> dict[str, Any]:
    # no code of its own: an estimate is found again by nobody
    return {
        "type": ESTIMATE, "commit": False, "companyCode": company, "customerCode": customer, "date": document.issued_on.isoformat(),
        "currencyCode": document.currency, "referenceCode": document.ref,
        "addresses": {"shipFrom": _place(document.ship_from), "shipTo": _place(document.ship_to)},
        "lines": [_line(line, codes[line.tax_code]) for line in document.lines],
    }  # fmt: skip


def _place(place: Place) -> dict[str, str]:
    told = {"country": place.country, "region": place.region, "postalCode": place.postal_code}
    return {name: value for name, value in told.items() if value}


def _line(line: TaxLine, code: str) -> dict[str, Any]:
    told = {"number": line.number, "quantity": float(line.quantity), "amount": float(line.amount), "taxCode": code}
    return told | ({"itemCode": line.sku} if line.sku else {})


def _lines(answer: Answer, told: Mapping[str, Any]) -> dict[str, Computed]:
    rows = told.get("lines")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.get("lineNumber") for row in rows):
        answer.fail("answered an estimate without its lines")
    return {
        str(row["lineNumber"]): Computed(
            _amount(answer, row, "tax"), _amount(answer, row, "exemptAmount", Decimal(0)), str(row.get("taxCode") or "")
        )
        for row in rows
    }


def _amount(answer: Answer, told: Mapping[str, Any], name: str, missing: Decimal | None = None) -> Decimal:
    value = told.get(name, missing)
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        answer.fail(f"answered an estimate whose {name} is no amount")
    return Decimal(value)
