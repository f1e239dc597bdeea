"""What relaxes a promise, whose data it is about, and where two changes of one document meet."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.registry.packs import check, pack_folder
from rules.policy.difference import fields, three_way
from rules.policy.kinds import KINDS, Document
from rules.policy.relaxing import RULES, data_owners, relaxes, weigh

DOCUMENTS = {(entry.document.kind, entry.document.name): entry.document for entry in check([pack_folder("sandbox")])[0]}


def some(kind: str) -> Document:
    """Return a document of the kind from the sandbox's pack."""
    return next(document for (known, _), document in DOCUMENTS.items() if known == kind)


def changed(document: Document, path: str, value: Any) -> Document:
    """Return the document with another value at a dotted path."""
    content = document.model_dump(mode="json")
    *way, last = path.split(".")
    at = content
    for key in way:
        at = at[key]
    at[last] = value
    return KINDS[document.kind].model_validate(content)


@pytest.mark.parametrize(
    ("kind", "path", "tight", "loose"),
    [
        ("RetryPolicy", "spec.budget", "1h", "2d"),
        ("RetryPolicy", "spec.max_attempts", 5, 9),
        ("RetryPolicy", "spec.max_attempts", 5, None),
        ("RetryPolicy", "spec.jitter", True, False),
        ("Flow", "spec.promise", "30s", "2m"),
        ("Domain", "spec.latency", "1m", "5m"),
        ("Domain", "spec.retention.messages", "400d", "30d"),
        ("Domain", "spec.correction.approve_above", "10.50", "100"),
        ("Domain", "spec.correction.approve_above", "10", None),
        ("Domain", "spec.correction.approve_fields", ["a", "b"], ["b"]),
        ("ServiceLevel", "spec.target", 0.99, 0.9),
        ("ServiceLevel", "spec.min_coverage", 0.95, 0.5),
        ("System", "spec.internal", ["10.1.2.3:443"], ["10.1.2.3:443", "10.1.2.3:80"]),
        ("System", "spec.internal", [], ["127.0.0.1:8081"]),
        ("Comparison", "spec.tolerance", 0, 2),
        ("Comparison", "spec.heal.max_units", 5, 500),
        ("Comparison", "spec.heal.max_money", "9", "10"),
        ("Comparison", "spec.heal.enabled", False, True),
        ("Comparison", "spec.locations", ["WH1", "ST1"], ["WH1"]),
        ("AllocationRule", "spec.safety_stock", 5, 0),
        ("Mapping", "spec.strict", True, False),
        ("System", "spec.personal", {"email": "mask"}, {"email": "hash"}),
        ("System", "spec.personal", {"email": "hash"}, {"email": "show"}),
        ("System", "spec.personal", {}, {"email": "show"}),
        ("System", "spec.personal", {"loyalty_card": "mask"}, {}),
        ("AlertRule", "spec.severity", "page", "ticket"),
        ("EscalationPath", "spec.acknowledge_within", "10m", "1h"),
    ],
)
def test_one_way_relaxes_and_the_other_way_tightens(kind: str, path: str, tight: Any, loose: Any) -> None:
    strict, lax = changed(some(kind), path, tight), changed(some(kind), path, loose)
    assert relaxes(strict, lax)
    assert not relaxes(lax, strict)


@pytest.mark.parametrize(("label", "loosens"), [("test", True), ("production", False)])
def test_a_system_that_is_not_called_production_any_more_may_be_drilled_and_that_relaxes(
    label: str, loosens: bool
) -> None:
    before = changed(some("System"), "metadata.labels", {"environment": "production" if loosens else "test"})
    assert relaxes(before, changed(before, "metadata.labels", {"environment": label})) is loosens


def test_another_pair_in_the_place_of_one_relaxes() -> None:
    before = changed(some("System"), "spec.internal", ["10.1.2.3:443"])
    assert relaxes(before, changed(before, "spec.internal", ["10.1.2.4:443"]))


def test_one_field_that_relaxes_makes_the_whole_change_relax() -> None:
    before = some("RetryPolicy")
    both = changed(changed(before, "spec.budget", "40d"), "spec.cap", "3s")
    assert [(one.path, one.relaxes) for one in weigh(before, both)] == [("spec.cap", False), ("spec.budget", True)]


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [("System", "spec.endpoint", "https://other.example"), ("RetryPolicy", "spec.classes", {"rejected": {"retry": True}}),
     ("Flow", "spec.owner", "somebody"), ("ServiceLevel", "spec.window", "3d"), ("Team", "spec.channel", "elsewhere")],
)  # fmt: skip
def test_what_no_rule_knows_counts_as_relaxing(kind: str, path: str, value: Any) -> None:
    before = some(kind)
    found = weigh(before, changed(before, path, value))
    assert found
    assert all(one.relaxes and not one.known for one in found)


def test_a_value_that_cannot_be_compared_counts_as_relaxing() -> None:
    level = changed(some("ServiceLevel"), "spec.threshold", "5m")
    assert [one.known for one in weigh(level, changed(level, "spec.threshold", None))] == [False]
    assert relaxes(level, changed(level, "spec.threshold", None))


def test_a_new_document_relaxes_and_words_alone_do_not() -> None:
    policy = some("RetryPolicy")
    assert relaxes(None, policy)
    assert not relaxes(policy, changed(policy, "metadata.title", "Another title"))
    assert not relaxes(policy, policy)


def test_every_rule_is_about_a_field_that_its_kind_has() -> None:
    for kind, rules in RULES.items():
        known = fields(some(kind).model_dump(mode="json"))
        assert {path.removesuffix(".*") for path in rules} <= set(known), kind


@pytest.mark.parametrize(
    ("kind", "name", "teams"),
    [
        ("Domain", "finance", {"finance-systems"}),
        ("Team", "ecommerce", {"ecommerce"}),
        ("System", "wms", {DOCUMENTS["System", "wms"].spec.owner}),  # type: ignore[attr-defined]
        ("Comparison", "stock-three-way", {"warehouse-ops"}),
    ],
)
def test_the_data_belongs_to_the_owner_of_the_domain_or_of_the_document(kind: str, name: str, teams: set[str]) -> None:
    assert data_owners(DOCUMENTS[kind, name], DOCUMENTS) == teams


def test_a_retry_policys_data_is_that_of_the_flows_that_retry_by_it() -> None:
    policy = DOCUMENTS["RetryPolicy", "default"]
    flows = [document.spec for (kind, _), document in DOCUMENTS.items() if kind == "Flow"]  # type: ignore[attr-defined]
    domains = {spec.domain for spec in flows if "default" in {spec.retry, *(to.retry for to in spec.targets)}}
    assert data_owners(policy, DOCUMENTS) == {DOCUMENTS["Domain", name].spec.owner for name in domains}  # type: ignore[attr-defined]
    calendar = some("Calendar")
    assert data_owners(calendar, DOCUMENTS) == frozenset()


def test_three_documents_are_held_against_each_other_field_by_field() -> None:
    base = {"spec": {"a": 1, "b": 1, "c": 1, "d": [1, 2], "e": {}, "f": 1}}
    theirs = {"spec": {"a": 2, "b": 1, "c": 2, "d": [1], "e": {"x": 1}, "f": 1}}
    mine = {"spec": {"a": 1, "b": 2, "c": 2, "d": [2], "e": {}}}
    found = {one.path: (one.base, one.theirs, one.mine, one.changed) for one in three_way(base, theirs, mine)}
    assert found == {
        "spec.a": (1, 2, 1, "theirs"),
        "spec.b": (1, 1, 2, "mine"),
        "spec.c": (1, 2, 2, "same"),
        "spec.d": ([1, 2], [1], [2], "both"),
        "spec.e": ({}, None, {}, "theirs"),
        "spec.e.x": (None, 1, None, "theirs"),
        "spec.f": (1, 1, None, "mine"),
    }
