"""How far somebody's reach goes, and what of a registry lies within it."""

from __future__ import annotations

from typing import Any

import pytest

from rules.policy import kinds as k
from rules.reach import EVERYTHING, Reach, sight, unknown


def system(name: str, brand: Any = (), region: Any = ()) -> k.Document:
    spec = {"connector": "c", "owner": "team", "role": "shop", "endpoint": "e", "brand": brand, "region": region}
    return document("System", name, spec)


def flow(
    name: str, source: str, *targets: str, domain: str = "orders", types: tuple[str, ...] = ("order.placed",)
) -> k.Document:
    told = [{"system": target, "entity": "order"} for target in targets]
    return document("Flow", name, {"domain": domain, "owner": "team", "source": source, "message_types": types, "method": "event",
                                   "targets": told, "retry": "default", "promise": "5m"})  # fmt: skip


def document(kind: str, name: str, spec: dict[str, Any]) -> k.Document:
    return k.KINDS[kind].model_validate(
        {"apiVersion": "trueup/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    )


def of(**names: str) -> Reach:
    return Reach.read({key: named.split() for key, named in names.items()})


TIER = {"severity": "page", "long": "1h", "short": "5m", "factor": 2}
REGISTRY = [
    system("erp", ["a", "b"], ["eu", "us"]), system("shop-a", "a", "eu"), system("shop-b", "b", "us"), system("untold"),
    flow("orders-a", "shop-a", "erp"), flow("orders-b", "shop-b", "erp"), flow("shared", "erp", "shop-a", "shop-b"),
    flow("levels", "erp", domain="inventory", types=("stock.level",)), flow("made", "plane", "shop-b"),
    document("Domain", "orders", {
        "owner": "team", "latency": "1h", "escalation": "path",
        "entities": {"order": {"system_of_record": ["shop-a", "shop-b"]}, "sale": {"system_of_record": "shop-b"}},
    }),
    document("Domain", "inventory", {
        "owner": "team", "latency": "1h", "escalation": "path", "entities": {"stock": {"system_of_record": "erp"}},
    }),
    *(document("ServiceLevel", name, {
        "indicator": "delivery_success", "labels": labels, "owner": "team", "escalation": "path", "target": 0.9, "tiers": [TIER],
    }) for name, labels in (("all", {}), ("level-a", {"target": "shop-a"}), ("level-b", {"target": "shop-b"}))),
    document("Team", "team", {"members": [{"username": "u", "name": "n"}]}),
    document("Team", "others", {"members": [{"username": "v", "name": "n"}]}),
    document("Calendar", "days", {}),
]  # fmt: skip


def seen(reach: Reach) -> set[str]:
    return {f"{kind}/{name}" for kind, name in sight(reach, REGISTRY).documents}


@pytest.mark.parametrize(
    ("reach", "systems", "whole"),
    [
        (of(brands="a"), {"erp", "shop-a"}, {"shop-a"}),
        (of(brands="a b"), {"erp", "shop-a", "shop-b"}, {"erp", "shop-a", "shop-b"}),
        (of(regions="us"), {"erp", "shop-b"}, {"shop-b"}),
        (of(brands="a", regions="us"), {"erp"}, set()),
        (of(brands="c"), set(), set()),
        (of(domains="orders"), {"erp", "shop-a", "shop-b", "untold"}, {"erp", "shop-a", "shop-b", "untold"}),
    ],
)
def test_a_system_is_in_sight_of_whom_it_is_of_and_one_that_says_nothing_of_nobody(
    reach: Reach, systems: set[str], whole: set[str]
) -> None:
    found = sight(reach, REGISTRY)
    assert (found.systems, found.whole) == (systems, whole)


def test_a_brand_sees_its_documents_and_the_shared_ones_without_the_others() -> None:
    found = sight(of(brands="a"), REGISTRY)
    assert seen(of(brands="a")) == {
        "System/erp", "System/shop-a", "Flow/orders-a", "Flow/shared", "Flow/levels", "Domain/orders", "Domain/inventory",
        "ServiceLevel/level-a", "Team/team", "Calendar/days",
    }  # fmt: skip
    shared, domain, erp = (
        found.documents[key] for key in (("Flow", "shared"), ("Domain", "orders"), ("System", "erp"))
    )
    assert isinstance(shared, k.Flow)
    assert [one.system for one in shared.spec.targets] == ["shop-a"]
    assert isinstance(domain, k.Domain)
    assert domain.spec.entities.keys() == {"order"}
    assert domain.spec.entities["order"].system_of_record == ("shop-a",)
    assert isinstance(erp, k.System)
    assert erp.spec.brand == ("a",)
    assert {"shop-b", "orders-b", "made", "b"} <= found.hidden


def test_in_hand_is_what_names_nobody_else_and_touches_something_of_ones_own() -> None:
    assert sight(of(brands="a"), REGISTRY).owned == {
        ("System", "shop-a"),
        ("Flow", "orders-a"),
        ("ServiceLevel", "level-a"),
    }


@pytest.mark.parametrize(
    ("put", "may"),
    [
        (flow("new", "shop-a", "erp"), True),
        (flow("new", "shop-a", "shop-b"), False),
        (flow("levels", "erp"), False),
        (system("shop-a", "a", "eu"), True),
        (system("shop-a", ["a", "b"], "eu"), False),
        (system("shop-a"), False),
        (system("new", "a"), False),
        (document("Calendar", "days", {}), False),
        (document("Team", "team", {"members": [{"username": "u", "name": "n"}]}), False),
    ],
)
def test_whoever_is_confined_puts_in_place_what_stays_within_the_reach(put: k.Document, may: bool) -> None:
    assert sight(of(brands="a"), REGISTRY).has_in_hand(put) is may


def test_a_manifest_that_may_send_tokens_elsewhere_leads_elsewhere() -> None:
    here = {
        "connector": "declared",
        "endpoint": "https://a",
        "secrets": {"token": "env:A"},
        "options": {"manifest": {"title": "x"}},
    }
    assert k.leads_elsewhere(here, {**here, "timeout": "7s", "options": {**here["options"], "currency": "EUR"}}) == ""  # type: ignore[dict-item]
    assert k.leads_elsewhere(here, {**here, "options": {"manifest": {"title": "y"}}}) == "options.manifest"
    assert k.leads_elsewhere(here, {**here, "options": {}}) == "options.manifest"
    assert k.leads_elsewhere(here, {**here, "endpoint": "https://b"}) == "endpoint"
    for option in ("login_endpoint", "s3_endpoint", "host_key", "webhook_url", "region", "bootstrap_servers"):
        there = {**here, "options": {**here["options"], option: "elsewhere"}}  # type: ignore[dict-item]
        assert k.leads_elsewhere(here, there) == f"options.{option}" == k.leads_elsewhere(there, here)


def test_a_domain_has_its_flows_and_their_types_of_message_and_pauses_no_system() -> None:
    found = sight(of(domains="inventory"), REGISTRY)
    assert (found.flows, found.types, found.domains) == ({"levels"}, {"stock.level"}, {"inventory"})
    assert ("Flow", "levels") in found.owned
    assert not {key for key in found.owned if key[0] == "System"}
    assert not found.has_in_hand(flow("new", "shop-a", "erp"))


def test_everything_is_told_as_nothing_and_names_only_where_it_confines() -> None:
    assert EVERYTHING.told() is None
    assert EVERYTHING.everything
    assert str(EVERYTHING) == "everything"
    assert Reach.read({"brands": ["b", "a"], "regions": None}).told() == {"brands": ["a", "b"]}
    assert Reach.read({"brands": []}).told() == {"brands": []}, "no brand is not every brand"


def test_what_two_reaches_have_in_common_lies_within_both() -> None:
    one, other = of(brands="a b"), of(brands="b c", domains="orders")
    assert one.meet(other) == of(brands="b", domains="orders")
    assert one.meet(other).within(one)
    assert one.meet(other).within(other)
    assert not EVERYTHING.within(one)
    assert one.within(EVERYTHING)


def test_a_name_that_no_policy_knows_is_told_with_those_there_are() -> None:
    assert unknown(of(brands="a", domains="orders"), REGISTRY) == ""
    assert unknown(of(regions="eu mars"), REGISTRY) == "no policy knows the region 'mars'; there are: eu, us"


def test_an_error_is_told_without_the_names_that_are_out_of_sight() -> None:
    found = sight(of(brands="a"), REGISTRY)
    assert found.veil("there are: shop-a, shop-b, orders-b, shop-bc") == "there are: shop-a, …, …, shop-bc"
