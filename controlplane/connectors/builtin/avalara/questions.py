"""What the plane asks of a document, read as what AvaTax is asked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from controlplane.errors import BadInputError
from rules.model.messages import TaxAsked, TaxPlace, parse
from rules.tax import Place, TaxDocument, TaxLine


def read(payload: Mapping[str, Any]) -> TaxAsked:
    """Return the data of a `tax.asked`. Raises BadInputError."""
    try:
        found = parse("tax.asked", dict(payload))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise BadInputError(f"tax.asked breaks its schema at {where}; correct the record", where) from error
    return found  # type: ignore[return-value]  # of this type it is


def document(asked: TaxAsked) -> TaxDocument:
    """Return what is about to be posted. Raises BadInputError for a date that is none."""
    try:
        issued_on = date.fromisoformat(asked.issued_on)
    except ValueError:
        raise BadInputError(f"issued_on is {asked.issued_on}, which is no date; correct it", "issued_on") from None
    lines = tuple(
        TaxLine(line.number, line.amount, line.tax, line.tax_code, Decimal(line.quantity), line.sku)
        for line in asked.lines
    )
    leaves, arrives = _place(asked.ship_from), _place(asked.ship_to)
    return TaxDocument(asked.posting_key, issued_on, asked.currency, leaves, arrives, lines)


def _place(told: TaxPlace) -> Place:
    return Place(told.country, told.region, told.postal_code)
