"""`inventorySetQuantities`: compare-and-set with idempotency keys, and every refusal the vendor documents."""

import hashlib
import json
import re
from collections import Counter as Tally
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo
from graphql.execution.values import get_directive_values

from controlplane.sandbox.clock import iso_s
from controlplane.sandbox.records import KeptAnswer, Level
from controlplane.sandbox.shop.bodies import LOCATION_ID, gid, number_of
from controlplane.sandbox.shop.counter import Counter
from controlplane.sandbox.shop.views import Views

REASONS = (
    "correction",
    "cycle_count_available",
    "damaged",
    "movement_canceled",
    "movement_created",
    "movement_received",
    "movement_updated",
    "other",
    "promotion",
    "quality_control",
    "received",
    "reservation_created",
    "reservation_deleted",
    "reservation_updated",
    "restock",
    "safety_stock",
    "shrinkage",
)
BOUND = 1_000_000_000
Problem = dict[str, Any]


def _problem(field: list[str] | None, code: str, message: str) -> Problem:
    return {"field": field, "code": code, "message": message}


def idempotency_key(info: GraphQLResolveInfo[Any]) -> str:
    """The key in the field's @idempotent directive; refused at run time when there is none."""
    directive = info.schema.get_directive("idempotent")
    values = get_directive_values(directive, info.field_nodes[0], info.variable_values) if directive else None
    if not values:
        message = "The @idempotent directive is required for this mutation but was not provided."
        raise GraphQLError(message, extensions={"code": "BAD_REQUEST"})
    return str(values["key"])


class SetQuantities:
    """The mutation. All quantities are set, or none."""

    def __init__(self, counter: Counter, views: Views) -> None:
        self.counter, self.views, self.world = counter, views, counter.world

    def __call__(self, _: object, info: GraphQLResolveInfo[Any], **arguments: Any) -> dict[str, Any]:
        given = arguments["input"]
        key = idempotency_key(info)
        if any("changeFromQuantity" not in one for one in given["quantities"]):
            message = "InventoryQuantityInput must include the following argument: changeFromQuantity."
            raise GraphQLError(message, extensions={"code": "INVALID_FIELD_ARGUMENTS"})
        digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
        kept = self.world.answers.get(key)
        if kept is not None:
            return self._again(kept, digest)
        payload = self._set(given)
        failed = bool(payload["userErrors"])
        self.world.answers.put(key, KeptAnswer(digest=digest, failed=failed, payload=payload))
        return self._shown(payload)

    def _again(self, kept: KeptAnswer, digest: str) -> dict[str, Any]:
        if kept.digest != digest:
            message = "The same idempotency key cannot be used with different operation parameters."
            return _refused([_problem(None, "IDEMPOTENCY_KEY_PARAMETER_MISMATCH", message)])
        if kept.failed:
            message = "The previous attempt with this idempotency key failed. Use a new key."
            return _refused([_problem(None, "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED", message)])
        return self._shown(kept.payload)

    def _set(self, given: dict[str, Any]) -> dict[str, Any]:
        problems = _header_problems(given) or self._line_problems(given)
        if problems:
            return _refused(problems)
        changes: list[dict[str, Any]] = []
        number = self.world.counters.next("adjustment")
        ref = gid("InventoryAdjustmentGroup", number)
        for one in given["quantities"]:
            level = self._level(one["inventoryItemId"])
            if level is not None:
                changes += self._set_one(level, given["name"], one["quantity"], ref)
        group = {
            "id": ref,
            "createdAt": iso_s(self.world.time_of("shop")),
            "reason": given["reason"],
            "referenceDocumentUri": given.get("referenceDocumentUri"),
            "changes": changes,
        }
        return {"inventoryAdjustmentGroup": group, "userErrors": []}

    def _set_one(self, level: Level, name: str, quantity: int, ref: str) -> list[dict[str, Any]]:
        delta = quantity - _current(level, name)
        if delta == 0:
            return []
        if self.world.faults.strike("dropped_write", "shop", keys=[level.key]):
            told = {"from": level.shop_available + delta, "to": level.shop_available}
            self.world.journal.write("dropped_write", system="shop", sku=level.sku, location=level.location, **told)
        else:
            self.counter.set_available(level, level.shop_available + delta, "inventorySetQuantities", ref)
        return [{"name": each, "delta": delta, "sku": level.sku} for each in ("available", "on_hand")]

    def _line_problems(self, given: dict[str, Any]) -> list[Problem]:
        problems: list[Problem] = []
        pairs = Tally((one["inventoryItemId"], one["locationId"]) for one in given["quantities"])
        for at, one in enumerate(given["quantities"]):
            where = ["input", "quantities", str(at)]
            if pairs[one["inventoryItemId"], one["locationId"]] > 1:
                text = "The combination of inventoryItemId and locationId must be unique."
                problems.append(_problem([*where, "locationId"], "NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR", text))
            problems += _bound_problems(one["quantity"], given["name"], [*where, "quantity"])
            problems += self._target_problems(one, given["name"], where)
        return problems

    def _target_problems(self, one: dict[str, Any], name: str, where: list[str]) -> list[Problem]:
        problems = []
        level = self._level(one["inventoryItemId"])
        if level is None:
            text = "The specified inventory item could not be found."
            problems.append(_problem([*where, "inventoryItemId"], "INVALID_INVENTORY_ITEM", text))
        if number_of(one["locationId"], "Location") != LOCATION_ID:
            problems.append(
                _problem([*where, "locationId"], "INVALID_LOCATION", "The specified location could not be found.")
            )
        expected = one["changeFromQuantity"]
        if not problems and level is not None and expected is not None and expected != _current(level, name):
            shown = {"expected": expected, "wanted": one["quantity"], "shown": _current(level, name)}
            self.world.journal.write("stale_write", system="shop", sku=level.sku, location=level.location, **shown)
            text = "The changeFromQuantity argument no longer matches the persisted quantity."
            problems.append(_problem([*where, "changeFromQuantity"], "CHANGE_FROM_QUANTITY_STALE", text))
        return problems

    def _level(self, item_gid: str) -> Level | None:
        item = self.views.item_by_gid(item_gid)
        return self.world.level(item.sku) if item else None

    def _shown(self, payload: dict[str, Any]) -> dict[str, Any]:
        group = payload["inventoryAdjustmentGroup"]
        if group is None:
            return payload
        return payload | {"inventoryAdjustmentGroup": group | {"changes": self._changes(group["changes"])}}

    def _changes(self, kept: list[dict[str, Any]]) -> Any:
        def shown(_info: GraphQLResolveInfo[Any], **wanted: Any) -> list[dict[str, Any]]:
            names = wanted.get("quantityNames")
            return [self._change(one) for one in kept if not names or one["name"] in names]

        return shown

    def _change(self, one: dict[str, Any]) -> dict[str, Any]:
        item = self.world.catalogue.by_sku[one["sku"]]
        return {
            "name": one["name"],
            "delta": one["delta"],
            "item": lambda _info: self.views.item(item),
            "location": lambda _info: self.views.location(),
        }


def _current(level: Level, name: str) -> int:
    return level.shop_available + (level.shop_committed if name == "on_hand" else 0)


def _refused(problems: list[Problem]) -> dict[str, Any]:
    return {"inventoryAdjustmentGroup": None, "userErrors": problems}


def _header_problems(given: dict[str, Any]) -> list[Problem]:
    problems = []
    if given["name"] not in ("available", "on_hand"):
        text = "The quantity name must be either 'available' or 'on_hand'."
        problems.append(_problem(["input", "name"], "INVALID_NAME", text))
    if given["reason"] not in REASONS:
        text = f"The specified reason is invalid. Valid values are: {', '.join(REASONS)}."
        problems.append(_problem(["input", "reason"], "INVALID_REASON", text))
    document = given.get("referenceDocumentUri")
    if document is not None and not re.fullmatch(r"[a-z][a-z0-9+.-]*://\S+", document):
        text = "The specified reference document is not a valid URI."
        problems.append(_problem(["input", "referenceDocumentUri"], "INVALID_REFERENCE_DOCUMENT", text))
    return problems


def _bound_problems(quantity: int, name: str, where: list[str]) -> list[Problem]:
    if quantity > BOUND:
        return [_problem(where, "INVALID_QUANTITY_TOO_HIGH", "The quantity can't be higher than 1,000,000,000.")]
    if quantity < 0 and name == "on_hand":
        return [_problem(where, "INVALID_QUANTITY_NEGATIVE", "The quantity can't be negative.")]
    if quantity < -BOUND:
        return [_problem(where, "INVALID_QUANTITY_TOO_LOW", "The quantity can't be lower than -1,000,000,000.")]
    return []
