"""The fields of a row, as tills write them: text by column, amounts, whole numbers, instants. Each refusal names its row and column."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from controlplane.errors import BadInputError
from rules import rows
from rules.units import exact

_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+")
_POINT = re.compile(r"[+-]?\d{1,3}(,\d{3})+\.\d+")


def split(header: str, row: str, wanted: Sequence[str]) -> Mapping[str, str]:
    """Return the row's fields by column. The delimiter is the header's. Raises BadInputError naming what is missing."""
    names, values = rows.columns(header), rows.values(header, row)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise BadInputError(f"the till file's header lacks {', '.join(missing)}; it has: {header[:200]}", missing[0])
    if len(values) != len(names):
        raise BadInputError(f"the row has {len(values)} fields and the header {len(names)}; correct the row", "row")
    found = dict(zip(names, values, strict=True))
    empty = [name for name in wanted if not found[name]]
    if empty:
        told = f"the row has nothing in {', '.join(empty)}; fill it in, or drop the row"
        raise BadInputError(told, empty[0])
    return found


def amount(text: str, where: str, column: str) -> Decimal:
    """Read an amount with a decimal comma or point, and what parts the thousands: 1.234,50, 1,234.50, 1 234,50; 1,234 is less than two."""
    plain = text.replace("\u00a0", "").replace(" ", "")
    if _COMMA.fullmatch(plain):
        plain = plain.replace(".", "").replace(",", ".")
    elif _POINT.fullmatch(plain):
        plain = plain.replace(",", "")
    try:
        return exact(plain)
    except ValueError as error:
        raise BadInputError(f"{where}: '{text[:40]}' is no amount; write it like 19,90", column) from error


def quantity(text: str, where: str) -> int:
    """Read how many were sold, or handed back; never none."""
    number = whole(text, where, "qty")
    if number == 0:
        raise BadInputError(f"{where}: the quantity '{text}' is not a whole number other than 0", "qty")
    return number


def whole(text: str, where: str, column: str) -> int:
    """Read a whole number."""
    number = amount(text, where, column)
    if number != number.to_integral_value():
        raise BadInputError(f"{where}: '{text[:40]}' is not a whole number", column)
    return int(number)


def instant(text: str, where: str) -> datetime:
    """Read an instant that names its zone; return it in UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInputError(
            f"{where}: '{text[:40]}' is no instant; write it like 2026-11-27T06:00:00Z", "sold_at"
        ) from error
    if found.tzinfo is None:
        raise BadInputError(f"{where}: '{text}' names no time zone; end it with Z or an offset", "sold_at")
    return found.astimezone(UTC)
