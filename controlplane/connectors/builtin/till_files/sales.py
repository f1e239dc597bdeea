"""Sales: a row of a till is a `sale.recorded`. The columns `unit` and `tax_code` may be left out: a row without a unit counts pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal

from controlplane.connectors.builtin.till_files.fields import amount, instant, quantity, split
from controlplane.connectors.builtin.till_files.folder import Folder
from controlplane.connectors.contract import Context, Draft, UnmappedError
from controlplane.errors import BadInputError
from rules import rows
from rules.units import pieces_in, price_of_piece

PATTERN, TOPIC = "sales_*.csv", "sales"
COLUMNS = ("store", "receipt", "line", "plu", "qty", "unit_price", "sold_at")


def draft(context: Context, currency: str, header: str, line: str, where: str) -> Draft:
    """Read one row; the PLU becomes our SKU by the mapping of the tills. Raises BadInputError, UnmappedError."""
    row = split(header, line, COLUMNS)
    codes, ref = context.codes, f"{row['store']}/{row['receipt']}/{row['line']}"
    pieces, price = _in_pieces(context, currency, row, where)
    at = instant(row["sold_at"], where)
    data = {
        "ref": ref,
        "location": codes.ours("location", row["store"]),
        "sku": codes.ours("sku", row["plu"]),
        "quantity": pieces,
        "unit_price": format(price, "f"),
        "currency": currency,
        "sold_at": at.isoformat(),
        "tax_code": codes.ours("tax_code", row["tax_code"]) if row.get("tax_code") else None,
    }
    return Draft("sale.recorded", ref, f"sale.recorded:{ref}", at, data)


def _in_pieces(context: Context, currency: str, row: Mapping[str, str], where: str) -> tuple[int, Decimal]:
    """Return how many pieces were sold and what one costs, by the mapping of the tills' units."""
    count, price = quantity(row["qty"], where), amount(row["unit_price"], where, "unit_price")
    if not row.get("unit"):
        return count, price
    ours = context.codes.ours("unit", row["unit"])
    try:
        pieces = pieces_in(ours)
    except ValueError:  # the mapping lets codes pass, and this one means nothing to us
        raise UnmappedError("unit", row["unit"], context.system) from None
    try:
        return count * pieces, price_of_piece(price, pieces, count, currency)
    except ValueError as error:
        raise BadInputError(f"{where}: {error}; write the row in pieces", "unit_price") from error


def sold(folder: Folder) -> Iterator[tuple[str, datetime, Decimal, Decimal]]:
    """Yield what every file says that was sold: store, when, how many, price. What cannot be read was not, for whoever counts."""
    for path in folder.files(PATTERN):
        for at, header, line in rows.lines(folder.decode(folder.read(path))):
            where = f"{path.name} line {at}"
            with suppress(BadInputError):
                row = split(header, line, COLUMNS)
                count, price = quantity(row["qty"], where), amount(row["unit_price"], where, "unit_price")
                yield row["store"], instant(row["sold_at"], where), Decimal(count), price
