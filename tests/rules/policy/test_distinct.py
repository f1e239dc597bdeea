"""Two shops whose orders would be called the same are refused; a retailer with one shop needs no prefix."""

from __future__ import annotations

import pytest

from rules.policy.kinds import KINDS
from rules.policy.lint import lint
from rules.policy.problems import Problem
from rules.policy.reading import Entry

HEAD = {"apiVersion": "trueup/v1"}


def entry(kind: str, name: str, **spec: object) -> Entry:
    return Entry(KINDS[kind].model_validate({**HEAD, "kind": kind, "metadata": {"name": name}, "spec": spec}))


def system(name: str, prefix: str | None = None, role: str = "shop", **references: object) -> Entry:
    told = {"references": {**({} if prefix is None else {"prefix": prefix}), **references}}
    return entry("System", name, connector="shopify", owner="ops", role=role, endpoint="https://x.example", **told)


def flow(source: str, kind: str = "order.placed", domain: str = "orders") -> Entry:
    return entry(
        "Flow", f"{source}-{kind.partition('.')[0]}", domain=domain, owner="ops", source=source, message_types=[kind],
        method="event", retry="default", promise="5m",
    )  # fmt: skip


def refused(*entries: Entry) -> list[Problem]:
    return [one for one in lint(entries) if one.path.startswith("spec.references")]


def test_two_shops_without_a_prefix_are_refused_with_a_remedy() -> None:
    (found,) = refused(system("shop"), system("shop-eu"), flow("shop"), flow("shop-eu"))
    assert (found.name, found.path) == ("shop-eu", "spec.references.prefix")
    assert found.rule.startswith("the System 'shop' tells of order.placed, too, and neither has a prefix")
    assert "references: {prefix: SHOP-EU-}" in found.remedy


@pytest.mark.parametrize(("one", "other"), [("US-", "US-"), ("US-", "US-E-"), ("US-E-", "US-")])
def test_prefixes_that_begin_alike_are_refused(one: str, other: str) -> None:
    (found,) = refused(system("shop", one), system("shop-eu", other), flow("shop"), flow("shop-eu"))
    assert "begin alike" in found.rule


@pytest.mark.parametrize(("one", "other"), [("US-", "EU-"), (None, "EU-"), ("US-", None), ("US-", "")])
def test_a_prefix_of_one_of_them_is_enough(one: str | None, other: str | None) -> None:
    assert refused(system("shop", one), system("shop-eu", other), flow("shop"), flow("shop-eu")) == []


def test_of_three_shops_only_one_may_be_without() -> None:
    shops = (system("shop"), system("shop-eu", "EU-"), system("shop-uk"))
    found = refused(*shops, *(flow(one.document.name) for one in shops))
    assert [one.name for one in found] == ["shop-uk"]


@pytest.mark.parametrize(
    "entries",
    [
        (system("shop"), flow("shop")),
        (system("shop"), system("shop-eu"), flow("shop")),
        (system("shop"), system("tills", role="till"), flow("shop"), flow("tills", "sale.recorded")),
        (system("shop"), system("erp", role="erp"), flow("shop"), flow("erp")),
        (system("shop"), system("shop-eu"), flow("shop", "stock.level"), flow("shop-eu", "stock.level")),
    ],
    ids=["one shop", "orders of one", "other documents", "no shop", "no documents"],
)
def test_where_nothing_can_be_called_the_same_no_prefix_is_needed(entries: tuple[Entry, ...]) -> None:
    assert refused(*entries) == []


def test_another_domain_does_not_tell_orders_apart() -> None:
    (found,) = refused(system("shop"), system("shop-eu"), flow("shop"), flow("shop-eu", domain="others"))
    assert found.name == "shop-eu"


def test_returns_of_two_marketplaces_need_a_prefix_as_orders_do() -> None:
    systems = (system("amazon", role="marketplace"), system("shop", orders="S-"))
    found = refused(*systems, *(flow(one.document.name, "return.received", "returns") for one in systems))
    assert [one.name for one in found] == ["shop"]


def test_a_prefix_is_visible_text_of_20_characters_at_most() -> None:
    for wrong in ("U S", "Ü-", "x" * 21):
        with pytest.raises(ValueError, match="references"):
            system("shop", wrong)
