"""The settlement report (flat file V2): a row that opens a settlement with its total, then a row for each amount of which it is the sum.

A file is read twice, as a stream: once to see that it holds together, and once to give its rows. A row is known by what it says and
how often it was said before, so that a report that Amazon makes anew tells nothing twice.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from typing import Any

from controlplane.connectors.builtin.amazon.formats import amount, instant
from controlplane.connectors.contract import Draft
from controlplane.errors import BadInputError

NEEDED = (
    "settlement-id", "deposit-date", "total-amount", "currency", "transaction-type", "order-id", "amount-type", "amount-description",
    "amount", "posted-date",
)  # fmt: skip
OPENS = ("settlement-id", "settlement-start-date", "settlement-end-date", "deposit-date", "total-amount", "currency")
FEE_TYPES = frozenset({"itemfees", "shipmentfees", "orderfees", "costofadvertising", "couponredemptionfee"})
FEES = frozenset({"servicefee", "couponredemptionfee", "fbainventoryfee"})
KINDS = {
    "order": "charge", "order_retrocharge": "charge", "refund": "refund", "refund_retrocharge": "refund", "a-to-zguaranteerefund": "refund",
    "chargebackrefund": "dispute", "chargeback": "dispute",
}  # fmt: skip
"""Transaction types, without gaps and in small letters; one that is not listed is `other`, so that none gets lost."""


class FlawedFileError(ValueError):
    """A settlement that does not hold together: line from 1, and the reason."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line, self.reason = line, reason


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the row that opens a settlement says."""

    name: str
    deposited: str
    currency: str
    total: Decimal
    line: int


@dataclass(frozen=True, slots=True)
class Row:
    """One amount of a settlement, or (without cells) the settlement itself."""

    settlement: Settlement
    line: int
    ref: str
    cells: Mapping[str, str]

    def told(self) -> dict[str, Any]:
        """Return it as it is kept."""
        one = self.settlement
        opened = {"id": one.name, "deposited": one.deposited, "currency": one.currency, "total": str(one.total)}
        return {"settlement": opened, "line": self.line, "ref": self.ref, "row": dict(self.cells)}


def rows(lines: Iterable[tuple[int, str]]) -> Iterator[Row]:
    """Yield a settlement, then its amounts; of several in a file each in its turn. Raises FlawedFileError."""
    names: list[str] = []
    opened: Settlement | None = None
    seen: Counter[bytes] = Counter()
    for line, text in lines:
        if not text.strip():
            continue
        if not names:
            names = _header(line, text)
            continue
        cells = _cells(line, text, names)
        if cells.get("total-amount"):
            opened, seen = _opened(line, cells), Counter()
            yield Row(opened, line, opened.name, {})
            continue
        if opened is None:
            raise FlawedFileError(line, "an amount before the row that opens its settlement")
        if cells.get("settlement-id") != opened.name:
            raise FlawedFileError(
                line, f"an amount of settlement {cells.get('settlement-id')} among those of {opened.name}"
            )
        kept = {name: value for name, value in cells.items() if name not in OPENS}
        digest = hashlib.blake2b(
            "\t".join(f"{name}={kept[name]}" for name in sorted(kept)).encode(), digest_size=9
        ).digest()
        seen[digest] += 1
        again = f".{seen[digest]}" if seen[digest] > 1 else ""
        yield Row(opened, line, f"{opened.name}/{digest.hex()}{again}", kept)
    if opened is None:
        raise FlawedFileError(1, "no row opens a settlement")


def check(lines: Iterable[tuple[int, str]]) -> int:
    """Return how many rows there are, when each settlement's amounts are its total to the cent. Raises FlawedFileError."""
    opened: Settlement | None = None
    total, count = Decimal(0), 0
    for row in rows(lines):
        count += 1
        if not row.cells:
            _closed(opened, total)
            opened, total = row.settlement, Decimal(0)
            continue
        total += _amount(row.line, row.cells.get("amount", ""), row.settlement.currency, "amount")
    _closed(opened, total)
    return count


def _closed(opened: Settlement | None, total: Decimal) -> None:
    if opened and total != opened.total:
        told = f"settlement {opened.name} has the total {opened.total} {opened.currency}, and its amounts make {total}"
        raise FlawedFileError(opened.line, f"{told}: {opened.total - total} is missing")


def _header(line: int, text: str) -> list[str]:
    names = [name.strip().strip('"').lower() for name in text.split("\t")]
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise FlawedFileError(line, f"the header has no {', '.join(missing)}; it is no settlement report of version 2")
    return names


def _cells(line: int, text: str, names: list[str]) -> dict[str, str]:
    values = [value.strip().strip('"') for value in text.split("\t")]
    if len(values) > len(names) and any(values[len(names) :]):
        raise FlawedFileError(line, f"{len(values)} values for {len(names)} columns")
    return {name: value for name, value in zip(names, values, strict=False) if value}


def _opened(line: int, cells: Mapping[str, str]) -> Settlement:
    for name in ("settlement-id", "deposit-date", "currency"):
        if not cells.get(name):
            raise FlawedFileError(line, f"a settlement without {name}")
    currency = cells["currency"]
    total = _amount(line, cells["total-amount"], currency, "total-amount")
    try:
        deposited = instant(cells["deposit-date"]).isoformat()
    except ValueError as error:
        raise FlawedFileError(line, f"deposit-date: {error}") from error
    return Settlement(cells["settlement-id"], deposited, currency, total, line)


def _amount(line: int, text: str, currency: str, name: str) -> Decimal:
    try:
        return amount(text, currency)
    except (ValueError, ArithmeticError) as error:
        raise FlawedFileError(line, f"{name}: {error}") from error


# --- as canonical messages ---
def drafts(told: Mapping[str, Any]) -> list[Draft]:
    """Return `payment.recorded` of an amount; `settlement.changed` and the payout of a settlement.

    Raises BadInputError, KeyError, TypeError, ValueError.
    """
    opened, ref = told["settlement"], str(told["ref"])
    if not told["row"]:
        return _settled(opened)
    cells, currency = told["row"], str(opened["currency"])
    try:
        moved = amount(cells["amount"], currency)
        posted = instant(cells.get("posted-date-time") or cells["posted-date"]).astimezone(UTC).isoformat()
    except (ValueError, KeyError) as error:
        raise BadInputError(
            f"line {told['line']} of settlement {opened['id']}: {error}; correct the record", "row"
        ) from error
    native = " / ".join(
        cells[name] for name in ("transaction-type", "amount-type", "amount-description") if cells.get(name)
    )
    data = {
        "ref": ref, "kind": kind(cells), "native_kind": native[:190] or "none", "order_ref": cells.get("order-id", ""),
        "about": next((cells[name] for name in ("adjustment-id", "shipment-id", "order-item-code") if cells.get(name)), ""),
        "amount": str(moved), "fee": "0", "net": str(moved), "currency": currency, "recorded_at": posted,
        "available_at": str(opened["deposited"]),
    }  # fmt: skip
    return [Draft("payment.recorded", ref, f"payment.recorded:{ref}", instant(posted), data)]


def kind(cells: Mapping[str, str]) -> str:
    """Return what an amount is: a fee by its type, whatever it is of; else what it is of."""
    of, type_, what = (
        _plain(cells.get(name, "")) for name in ("transaction-type", "amount-type", "amount-description")
    )
    if type_ in FEE_TYPES or of in FEES or (type_ == "other-transaction" and what.endswith(("fee", "fees"))):
        return "fee"
    return KINDS.get(of, "other")


def _plain(text: str) -> str:
    return text.replace(" ", "").lower()


def _settled(opened: Mapping[str, Any]) -> list[Draft]:
    """Amazon says when it pays out, never that it arrived. What it pays leaves the balance."""
    name, currency, at = str(opened["id"]), str(opened["currency"]), instant(str(opened["deposited"]))
    total = Decimal(str(opened["total"]))
    state = {
        "ref": name, "state": "in_transit", "amount": str(total), "currency": currency, "arrives_on": at.strftime("%Y-%m-%d"),
        "changed_at": at.isoformat(),
    }  # fmt: skip
    paid = {
        "ref": f"{name}/payout", "kind": "payout", "native_kind": "settlement", "about": name, "amount": str(-total), "fee": "0",
        "net": str(-total), "currency": currency, "recorded_at": at.isoformat(), "available_at": at.isoformat(),
    }  # fmt: skip
    return [
        Draft("settlement.changed", name, f"settlement.changed:{name}:in_transit", at, state),
        Draft("payment.recorded", paid["ref"], f"payment.recorded:{paid['ref']}", at, paid),
    ]
