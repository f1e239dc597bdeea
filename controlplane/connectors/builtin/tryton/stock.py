"""Stock and products read from Tryton. Quantities per location exist only in the context of a call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controlplane.connectors.builtin.tryton.rpc import Rpc, encode
from controlplane.connectors.contract import Context
from controlplane.connectors.http import Answer
from controlplane.errors import RejectedError

HERE = "product.product"


@dataclass(frozen=True, slots=True)
class Position:
    """What a warehouse holds of a product. `on_hand` counts done moves, `available` also takes off assigned ones."""

    product: int
    sku: str
    location: str
    on_hand: int
    available: int
    answer: Answer


class Warehouses:
    """Stock of the configured warehouses."""

    def __init__(self, context: Context, rpc: Rpc, locations: Sequence[str]) -> None:
        self._context, self._rpc, self._locations = context, rpc, locations

    def positions(self, location: str, products: list[int] | None = None) -> Iterator[list[Position]]:
        """Yield the positions of goods with a code in a warehouse, all of them or those of the product ids."""
        domain: list[Any] = [["type", "=", "goods"]]
        if products is not None:
            domain.append(["id", "in", products])
        place = {"locations": [self._id(location)], "with_childs": True}
        today = encode(self._context.clock.now().date())
        counted = {**place, "stock_date_end": today, "forecast": False}
        pages = zip(
            self._rpc.rows(HERE, domain, ["code", "quantity"], counted),
            self._rpc.rows(HERE, domain, ["quantity"], {**counted, "stock_assign": True}),
            strict=False,
        )
        for (rows, answer), (free, later) in pages:
            left = {row["id"]: row["quantity"] for row in free}
            known = [row for row in rows if row["code"] and row["id"] in left]
            yield [self._position(row, left[row["id"]], location, _spanning(answer, later)) for row in known]

    def _position(self, row: dict[str, Any], free: float, location: str, answer: Answer) -> Position:
        sku = self._context.codes.ours("sku", row["code"])
        return Position(row["id"], sku, location, _whole(row["quantity"], sku), _whole(free, sku), answer)

    def with_code(self, code: str) -> list[Any] | None:
        """Return the ids of the locations in use that have a code, two at most; None for an answer that is no list."""
        found, _ = self._rpc.call("model.stock.location.search", [["code", "=", code]], 0, 2, None, {})
        return found if isinstance(found, list) else None

    def _id(self, location: str) -> int:
        code = self._context.codes.theirs("location", location)
        found = self.with_code(code)
        if found is None or len(found) != 1:
            raise RejectedError(
                f"Tryton has {'no' if found is None else len(found)} locations with the code {code}; "
                f"give one location that code, or map {location} to another"
            )
        return int(found[0])

    def moved(self, since: datetime) -> dict[int, datetime]:
        """Return product id -> last change of a move since the instant. `write_date` may be null: a move never rewritten."""
        stamp = encode(since)
        domain = [["OR", ["write_date", ">=", stamp], ["create_date", ">=", stamp]]]
        changed: dict[int, datetime] = {}
        for rows, _ in self._rpc.rows("stock.move", domain, ["product", "write_date", "create_date"], {}):
            for row in rows:
                at = row["write_date"] or row["create_date"]
                changed[row["product"]] = max(at, changed.get(row["product"], at))
        return changed

    def levels(self, products: list[int] | None) -> Iterator[list[Position]]:
        """Yield the positions of all configured warehouses."""
        for location in self._locations:
            yield from self.positions(location, products)


def _spanning(first: Answer, second: Answer) -> Answer:
    return Answer(first.status, first.headers, first.content, first.started, second.ended, wrote=False, told=first.told)


def _whole(quantity: float, sku: str) -> int:
    if quantity != int(quantity):
        raise RejectedError(
            f"Tryton holds {quantity} of {sku}; only whole units can be compared: use a smaller unit there"
        )
    return int(quantity)
