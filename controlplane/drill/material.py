"""What the made-up writes are made of: goods and places that the target really has, or it would measure how fast it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from controlplane.connectors.contract import Connector, Level
from controlplane.errors import BadInputError
from controlplane.registry import Snapshot

MOST = 500
"""Keys that are used, at most."""


@dataclass(frozen=True, slots=True)
class Material:
    """Goods at places, what the target shows of them, and accounts."""

    system: str
    keys: tuple[tuple[str, str], ...] = ()
    """(sku, location), ours."""
    shown: dict[tuple[str, str], int] = field(default_factory=dict)
    """What the target shows as available, where it can be read."""
    accounts: tuple[str, str] = ("", "")
    currency: str = "USD"

    @property
    def place(self) -> str:
        """The location that documents are of."""
        return self.keys[0][1]

    def goods(self, number: int, count: int) -> list[str]:
        """Return `count` different SKUs of the place for document `number`, or as many as there are; all take their turn."""
        here = [sku for sku, location in self.keys if location == self.place]
        return [here[(number + position) % len(here)] for position in range(min(count, len(here)))]


def gather(
    policies: Snapshot, system: str, connector: Connector, skus: Sequence[str], location: str | None, *, goods: bool
) -> Material:
    """Return the material for a system: the goods that were named, or those that the target lists.

    Raises BadInputError when there are none, ConnectorError when they cannot be read.
    """
    rules = [rule.spec for rule in policies.accounting_rules.values()]
    debit = next((line.account for rule in rules for line in rule.lines if line.side == "debit"), "")
    credit = next((line.account for rule in rules for line in rule.lines if line.side == "credit"), "")
    currency = next((rule.currency for rule in rules), "USD")
    if not goods:
        return Material(system, accounts=(debit, credit), currency=currency)
    levels = _levels(connector, skus, location)
    keys = [(level.sku, level.location) for level in levels] or [(sku, location) for sku in skus if location]
    if not keys:
        raise BadInputError(
            f"'{system}' lists no goods to write about; name some that it has with --sku (several times) and --location"
        )
    shown = {(level.sku, level.location): level.available for level in levels if level.available is not None}
    return Material(system, tuple(keys), shown, (debit, credit), currency)


def _levels(connector: Connector, skus: Sequence[str], location: str | None) -> list[Level]:
    entity = next((spec.entity for spec in connector.manifest.reads if spec.snapshot), None)
    if entity is None:
        return []
    wanted = [(sku, location) for sku in skus] if skus and location else None
    pages = connector.snapshot(entity, wanted)
    chosen = (
        level for page in pages for level in page
        if (not skus or level.sku in skus) and location in (None, level.location)
    )  # fmt: skip
    return list(islice(chosen, MOST))
