"""References of documents, as a system calls them and as the plane does: what keeps those of two shops apart.

Two shops of one retailer both have an order `#1001`. A prefix that policy gives each makes of it `US-#1001` and `EU-#1001`: so the plane,
and every other system, calls them. The shop itself goes on reading `#1001`. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

OWN = {
    "order.placed": "ref",
    "sale.recorded": "ref",
    "shipment.shipped": "shipment",
    "receipt.received": "receipt",
    "return.received": "return_ref",
}
"""Message type -> the field in which a document bears the reference that the system which tells of it gave it."""
ORDER = "order_ref"
"""Field in which other documents name the order that they are about."""
ID = "native_id"
"""Field in which an order bears the shop's own id, too; a count of two shops alike, and warehouses know an order again by it."""
ORDER_PLACED = "order.placed"

Told = Callable[[str, str], bool]
"""From a message type and a reference to whether the system's document was taken in under it."""


@dataclass(frozen=True, slots=True)
class Naming:
    """What stands before the references of one system."""

    documents: str = ""
    """Before those that it gives its own documents."""
    orders: str = ""
    """Before those by which it calls orders."""
    former: tuple[str, ...] = ()
    """What stood there before; the empty one, without any, need not be named."""

    def __bool__(self) -> bool:
        return bool(self.documents or self.orders or self.former)

    def inward(self, message_type: str, data: Mapping[str, Any], told: Told) -> dict[str, Any]:
        """Return the data of what the system says, in the plane's references.

        A document that was taken in as the system calls it, or with a former prefix, keeps the reference that it has everywhere by now.
        """
        found, own = dict(data), OWN.get(message_type, "")
        prefix = self.orders if message_type == ORDER_PLACED else self.documents
        for name, kind, before in ((own, message_type, prefix), (ORDER, ORDER_PLACED, self.orders)):
            given = found.get(name)
            if isinstance(given, str) and given:
                found[name] = self._ours(kind, given, before, told)
        if message_type == ORDER_PLACED and found.get(own) != data.get(own):
            stands = str(found[own]).removesuffix(str(data[own]))
            found[ID] = f"{stands}{data.get(ID, '')}"
        return found

    def _ours(self, kind: str, given: str, prefix: str, told: Told) -> str:
        if not prefix and not self.former:
            return given
        ours = prefix + given
        earlier = (name for name in (*(one + given for one in self.former), given) if name != ours)
        known = [] if told(kind, ours) else [name for name in earlier if told(kind, name)]
        return known[0] if known else ours

    def outward(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the data of what is written to the system, with its orders called as it calls them; others keep theirs."""
        given = data.get(ORDER)
        if not isinstance(given, str):
            return data
        for prefix in sorted({self.orders, *self.former} - {""}, key=len, reverse=True):
            if given.startswith(prefix) and given != prefix:
                return {**data, ORDER: given.removeprefix(prefix)}
        return data
