"""Old messages brought forward: the ledger keeps what was said as it was said, and readers see the newest schema version.

To change a schema: change the model, and add the step from the version before. A step is pure and loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Step = Callable[[dict[str, Any]], dict[str, Any]]


def _sold(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 did not say whether an item is sold; every one that was told of was."""
    return {**data, "active": True}


def _untaxed(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 did not carry the till's tax code."""
    return {**data, "tax_code": None}


def _online(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 did not say which store's till took an order; no connector told of one that a till took."""
    return {**data, "store": None}


def _tax_untold(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 did not say what tax was charged, nor where the goods go."""
    lines = [{**line, "tax": None} if isinstance(line, dict) else line for line in data.get("lines") or ()]
    return {**data, "lines": lines, "tax": None, "ship_to": None}


def _remitter_untold(data: dict[str, Any]) -> dict[str, Any]:
    """Version 3 did not say who remits the tax; no connector told of any that was not the retailer's."""
    lines = [
        {**line, "tax": {**line["tax"], "remitter": None, "withheld": "0"}}
        if isinstance(line, dict) and isinstance(line.get("tax"), dict)
        else line
        for line in data.get("lines") or ()
    ]
    return {**data, "lines": lines}


def _till_tax_untold(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 did not say what tax was charged."""
    return {**data, "tax": None}


def _all_asked(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 asked about all lines."""
    return {**data, "unasked": "0"}


STEPS: dict[str, tuple[Step, ...]] = {
    "product.described": (_sold,), "sale.recorded": (_untaxed, _till_tax_untold),
    "order.placed": (_online, _tax_untold, _remitter_untold), "tax.asked": (_all_asked,),
}  # fmt: skip
"""Message type -> the steps from version 1 to 2, 2 to 3 …; a type that is not listed has version 1 only."""


def newest(message_type: str) -> int:
    """Return the newest schema version of a type."""
    return 1 + len(STEPS.get(message_type, ()))


def forward(message_type: str, data: dict[str, Any], version: int) -> dict[str, Any]:
    """Return data of an older version in the newest one. Raises ValueError for a version that is not known."""
    last = newest(message_type)
    if not 1 <= version <= last:
        raise ValueError(f"{message_type} has schema versions 1 to {last}, and not {version}")
    for step in STEPS.get(message_type, ())[version - 1 :]:
        data = step(data)
    return data
