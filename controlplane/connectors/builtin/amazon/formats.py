"""Amounts and instants of Amazon's flat files: each marketplace writes them in its own way. What can be read two ways is refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from rules.money import MINOR_UNITS

_AMOUNT = re.compile(r"^([-+−]?)\s*((?:\d{1,3}(?:[.,' \u00a0\u202f]\d{3})+|\d+))(?:([.,])(\d+))?$")
_GAPS = str.maketrans("", "", ".,' \u00a0\u202f")
_CLOCK = re.compile(r"^(\d{1,4})([-./])(\d{1,2})\2(\d{1,4})(?:[T ]+(\d{1,2}:\d{2}(?::\d{2})?))?\s*(.*)$")
ZONES = {
    "": 0, "UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "BST": 1, "CET": 1, "MEZ": 1, "CEST": 2, "MESZ": 2, "EET": 2, "JST": 9, "AEST": 10,
    "AEDT": 11, "PST": -8, "PDT": -7,
}  # fmt: skip
"""Hours before UTC of the zones that are written beside an instant; IST stands for three and is not among them."""


def amount(text: str, currency: str) -> Decimal:
    """Return `1,234.56`, `1.234,56`, `-12,3` or `12` as an amount. Raises ValueError for what is none, or may be two."""
    found = _AMOUNT.match(text.strip())
    if not found:
        raise ValueError(f"'{text[:40]}' is no amount")
    sign, whole, mark, part = found.groups()
    digits = MINOR_UNITS.get(currency, 2)
    if mark and mark in whole:
        raise ValueError(f"'{text[:40]}' has '{mark}' for thousands and for the fraction")
    groups = re.findall(r"[^\d]", whole)
    if len(set(groups)) > 1 or (len(groups) == 1 and not mark and groups[0] in ".," and digits):
        raise ValueError(f"'{text[:40]}' may be two amounts: what '{groups[0]}' parts is not told")
    value = Decimal(f"{whole.translate(_GAPS)}.{part or '0'}")
    if value != round(value, digits):
        raise ValueError(f"'{text[:40]}' is no whole number of the minor units of {currency}")
    value = round(value, digits)
    return -value if sign in ("-", "−") and value else value


def instant(text: str) -> datetime:
    """Return an instant of ISO 8601, `2026-03-02 14:23:00 UTC`, `02.03.2026 …` or `2026/03/02 … JST`; a day alone is its midnight in UTC.

    Raises ValueError for a zone that is not known, and for `02/03/2026`, which is read in two ways.
    """
    told = text.strip()
    try:
        read = datetime.fromisoformat(told)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except ValueError:
        pass
    found = _CLOCK.match(told)
    if not found:
        raise ValueError(f"'{text[:40]}' is no instant")
    first, mark, month, last, clock, zone = found.groups()
    year, day = (first, last) if len(first) == 4 else (last, first)
    if len(year) != 4 or (len(first) != 4 and mark != "."):
        raise ValueError(f"'{text[:40]}' may be two days: which number is the month is not told")
    hour, minute, second = [int(one) for one in f"{clock or '0:0'}:0".split(":")[:3]]
    return datetime(int(year), int(month), int(day), hour, minute, second, tzinfo=_zone(zone, text)).astimezone(UTC)


def _zone(told: str, text: str) -> timezone:
    if told.upper() in ZONES:
        return timezone(timedelta(hours=ZONES[told.upper()]))
    offset = re.match(r"^(?:UTC|GMT)?([+-])(\d{2}):?(\d{2})$", told)
    if not offset:
        raise ValueError(f"'{text[:40]}' is in the zone '{told[:10]}', which is not known")
    off = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
    return timezone(-off if offset[1] == "-" else off)
