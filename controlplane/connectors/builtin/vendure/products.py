"""Items of Vendure: variants found by SKU, changed where they show something else, and made where there are none.

A variant needs a product, which is made before it; one that was left without a variant is found again by its slug.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from controlplane.connectors.builtin.vendure.api import Api
from controlplane.connectors.contract import BatchRefusedError, Context, Write
from controlplane.connectors.http import Answer
from controlplane.connectors.outcomes import outcome_of
from controlplane.connectors.products import Selling, Wanted, already, handle_of, wanted
from controlplane.errors import BadInputError, RejectedError
from rules.outcomes import Outcome, Result

CHANNEL = "{ activeChannel { defaultCurrencyCode pricesIncludeTax defaultLanguageCode } }"
PRECISION = "{ globalSettings { serverConfig { moneyStrategyPrecision } } }"
_FIELDS = "id sku name enabled price currencyCode product { id name variantList { totalItems } }"
BY_SKU = f"""
query($skip: Int!, $take: Int!, $skus: [String!]!) {{
  productVariants(options: {{skip: $skip, take: $take, sort: {{id: ASC}}, filter: {{sku: {{in: $skus}}}}}}) {{
    totalItems items {{ {_FIELDS} }} }} }}"""
BY_SLUG = """
query($skip: Int!, $take: Int!, $slugs: [String!]!) {
  products(options: {skip: $skip, take: $take, sort: {id: ASC}, filter: {slug: {in: $slugs}}}) {
    totalItems items { id slug variantList { totalItems } } } }"""
UPDATE = f"mutation($input: [UpdateProductVariantInput!]!) {{ updateProductVariants(input: $input) {{ {_FIELDS} }} }}"
RENAME = "mutation($input: [UpdateProductInput!]!) { updateProducts(input: $input) { id name } }"
CREATE = f"mutation($input: [CreateProductVariantInput!]!) {{ createProductVariants(input: $input) {{ {_FIELDS} }} }}"


@dataclass(frozen=True, slots=True)
class Way:
    """How the channel keeps what it shows."""

    selling: Selling
    language: str
    precision: int
    """Digits after the point that an amount of Vendure's leaves out."""

    def amount(self, price: Decimal) -> int:
        """Return the price as Vendure keeps it. Raises BadInputError where it cannot be kept exactly."""
        found = price.scaleb(self.precision)
        if found != found.to_integral_value():
            raise BadInputError(
                f"the shop keeps {self.precision} digits, and {price} has more; correct it at the source"
            )
        return int(found)


class Products:
    """Items of one channel of a shop."""

    def __init__(self, context: Context, api: Api) -> None:
        self._context, self._api = context, api

    def put(self, requests: Sequence[Write]) -> list[Outcome]:
        """Have the items shown as they are told, each looked at first; what is shown already is not written.

        Repeating it is harmless, so that whatever the shop refuses together is refused as a batch. Raises ConnectorError.
        """
        way = self._way()
        outcomes, items = self._told(requests, way)
        shown = self._shown([item.sku for item in items.values()])
        changed, new = [], []
        for at, item in items.items():
            found = shown[item.sku]
            if len(found) > 1:
                outcomes[at] = _rejected(
                    f"the shop has {len(found)} variants with the SKU {item.sku}; leave one of them"
                )
            elif not found and item.price is None:
                outcomes[at] = _rejected(f"{item.sku} is new to the shop and has no price; give it one at the source")
            elif not found:
                new.append((at, item))
            elif _differs(found[0], item, way):
                changed.append((at, item, found[0]))
            else:
                outcomes[at] = already(item.sku, str(found[0]["id"]))
        try:
            outcomes |= self._change(changed, way) | self._create(new, way)
        except BatchRefusedError:
            raise
        except RejectedError as error:
            raise BatchRefusedError(str(error)) from error
        return [outcomes[at] for at in range(len(requests))]

    def read_back(self, request: Write) -> Outcome:
        """Tell from what is shown."""
        way = self._way()
        item = wanted(self._context, request, way.selling)
        found = self._shown([item.sku])[item.sku]
        if len(found) == 1 and not _differs(found[0], item, way):
            return already(item.sku, str(found[0]["id"]))
        return Outcome(Result.ABSENT, f"the shop does not show {item.sku} like this")

    def _way(self) -> Way:
        channel, answer = self._api.ask(CHANNEL)
        settings, _ = self._api.ask(PRECISION)
        try:
            return Way(
                Selling(str(channel["defaultCurrencyCode"]), bool(channel["pricesIncludeTax"])),
                str(channel["defaultLanguageCode"]), int(settings["serverConfig"]["moneyStrategyPrecision"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError):
            answer.fail(
                "answered its channel without currency, language and taxes, or its settings without the precision"
            )

    def _told(self, requests: Sequence[Write], way: Way) -> tuple[dict[int, Outcome], dict[int, Wanted]]:
        outcomes: dict[int, Outcome] = {}
        items: dict[str, tuple[int, Wanted]] = {}
        for at, request in enumerate(requests):
            try:
                item = self._item(request, way)
            except BadInputError as error:
                outcomes[at] = outcome_of(error)
                continue
            if item.sku in items:
                outcomes[at] = _rejected(f"two items are called {item.sku} at the shop; correct the sku mapping")
            else:
                items[item.sku] = (at, item)
        return outcomes, dict(items.values())

    def _item(self, request: Write, way: Way) -> Wanted:
        item = wanted(self._context, request, way.selling)
        if item.price is not None:
            way.amount(item.price)
        return item

    def _shown(self, skus: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for rows, _ in self._api.pages(BY_SKU, skus=list(skus)) if skus else ():
            for row in rows:
                found[str(row["sku"])].append(row)
        return found

    def _change(self, changed: Sequence[tuple[int, Wanted, dict[str, Any]]], way: Way) -> dict[int, Outcome]:
        variants = [{"id": row["id"], **_fields(item, way)} for _, item, row in changed]
        renamed = [
            {"id": row["product"]["id"], "translations": [_name(item, way)]}
            for _, item, row in changed
            if _alone(row) and row["product"]["name"] != item.title
        ]
        if renamed:  # first, so that a variant that shows the new name proves both
            self._tell(RENAME, renamed)
        made, answer = self._tell(UPDATE, variants) if variants else ([], None)
        return self._made([(at, item) for at, item, _ in changed], made, answer, way)

    def _create(self, new: Sequence[tuple[int, Wanted]], way: Way) -> dict[int, Outcome]:
        if not new:
            return {}
        products = self._products([item for _, item in new], way)
        variants = [
            {"productId": products[item.sku], "sku": item.sku, **_fields(item, way)} for _, item in new
        ]  # fmt: skip
        made, answer = self._tell(CREATE, variants)
        return self._made(new, made, answer, way)

    def _products(self, items: Sequence[Wanted], way: Way) -> dict[str, str]:
        """Return the id of a product without variants for each SKU, making those that are not there."""
        slugs = {handle_of(item.sku): item for item in items}
        found: dict[str, str] = {}
        for rows, _ in self._api.pages(BY_SLUG, slugs=list(slugs)):
            for row in rows:
                if row["variantList"]["totalItems"]:
                    raise RejectedError(
                        f"the shop has another product under the slug '{row['slug']}' of the new {slugs[row['slug']].sku}; "
                        "give it another slug, or the SKU to its variant"
                    )
                found[slugs[row["slug"]].sku] = str(row["id"])
        missing = [item for item in items if item.sku not in found]
        if missing:
            inputs = [
                {
                    "enabled": True,
                    "translations": [{**_name(item, way), "slug": handle_of(item.sku), "description": ""}],
                }
                for item in missing
            ]
            made = self._api.tell_each("createProduct", "CreateProductInput!", "id slug", inputs)
            found |= {item.sku: str(row["id"]) for item, row in zip(missing, made, strict=True)}
        return found

    def _tell(self, document: str, inputs: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Answer]:
        made, answer, refused = self._api.tell(document, input=inputs)
        if refused:
            raise BatchRefusedError(f"the shop refused: {refused}")
        if not isinstance(made, list) or len(made) != len(inputs) or not all(made):
            answer.fail(f"answered {len(inputs)} items with something else")
        return made, answer

    def _made(
        self, items: Sequence[tuple[int, Wanted]], made: Sequence[dict[str, Any]], answer: Answer | None, way: Way
    ) -> dict[int, Outcome]:
        rows, outcomes = {str(row["sku"]): row for row in made}, {}
        for at, item in items:
            row = rows.get(item.sku)
            if row is None or answer is None or _variant_differs(row, item, way):
                outcomes[at] = Outcome(
                    Result.UNKNOWN, f"the shop answered for {item.sku} with something else than was told"
                )
            else:
                evidence = {"to": {"name": row["name"], "price": row["price"], "enabled": row["enabled"]}}
                outcomes[at] = Outcome(Result.DELIVERED, native_id=str(row["id"]), evidence=evidence)
        return outcomes


def _rejected(detail: str) -> Outcome:
    return Outcome(Result.REJECTED, detail)


def _name(item: Wanted, way: Way) -> dict[str, str]:
    return {"languageCode": way.language, "name": item.title}


def _fields(item: Wanted, way: Way) -> dict[str, Any]:
    priced = {} if item.price is None else {"price": way.amount(item.price)}
    return {"enabled": item.active, "translations": [_name(item, way)], **priced}


def _alone(row: Mapping[str, Any]) -> bool:
    """Whether its product has no other variant, and is called as the item is."""
    return int(row["product"]["variantList"]["totalItems"]) == 1


def _differs(row: Mapping[str, Any], item: Wanted, way: Way) -> bool:
    return _variant_differs(row, item, way) or (_alone(row) and row["product"]["name"] != item.title)


def _variant_differs(row: Mapping[str, Any], item: Wanted, way: Way) -> bool:
    if item.price is not None and (row["price"], row["currencyCode"]) != (way.amount(item.price), way.selling.currency):
        return True
    return bool(row["enabled"]) != item.active or row["name"] != item.title
