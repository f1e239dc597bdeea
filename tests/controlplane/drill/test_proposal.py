"""What a drill proposes passes the same checks as any other policy."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pytest

from controlplane.drill.proposal import documents_of, retry_of, to_text
from controlplane.drill.run import Drilled
from controlplane.drill.target import target_of
from controlplane.registry import Snapshot
from controlplane.registry.manifests import declared_connectors
from controlplane.registry.packs import check
from rules.capacity import Knee, Proposal
from rules.policy import kinds as k

LIMITS = (12.5, 3, timedelta(seconds=7))
WRITING = [
    ("erp", "orders"),
    ("wms", "orders"),
    ("shop", "stock-offers"),
    ("erp", "postings"),
    ("pager", "incidents"),
    ("shop", "shipments"),
]


def drilled(retry: k.RetryPolicySpec) -> Drilled:
    knee = Knee(10.0, "throttling", ("10/s was taken well",))
    proposal = Proposal(*LIMITS, retry, ("rate 12.5 requests/s: because",))
    at = datetime(2026, 11, 27, 6, tzinfo=UTC)
    return Drilled("DRILL-T", at, 0.01, (), knee, proposal, 1.0, 40, "", "", ())


@pytest.mark.parametrize(("system", "flow"), WRITING)
@pytest.mark.parametrize("first", [None, timedelta(seconds=20)])
def test_the_file_is_valid_by_itself_and_says_why(
    shipped: Snapshot, tmp_path: Path, system: str, flow: str, first: timedelta | None
) -> None:
    target = target_of(shipped, system, flow)
    current = shipped.retry_policies[target.flow.spec.retry].spec
    retry = current.model_copy(update={"first": first, "cap": timedelta(minutes=20)}) if first else current
    found = drilled(retry)
    assert found.proposal is not None
    path = tmp_path / "proposal.yaml"
    path.write_text(to_text(target, found, documents_of(shipped, target, found.proposal)), encoding="utf-8")
    entries, problems = check([path], declared_connectors())
    assert problems == []
    [proposed] = [e.document for e in entries if isinstance(e.document, k.System) and e.document.name == system]
    assert (proposed.spec.rate, proposed.spec.concurrency, proposed.spec.timeout) == LIMITS
    assert proposed.spec.endpoint == target.system.spec.endpoint
    assert any(isinstance(e.document, k.RetryPolicy) and e.document.spec == retry for e in entries)
    assert (
        "# - 10/s was taken well\n# - rate 12.5 requests/s: because\n# - before: no rate, concurrency"
        in path.read_text()
    )


def test_a_retry_policy_that_governs_only_what_was_drilled_is_changed_in_its_place(shipped: Snapshot) -> None:
    target = target_of(shipped, "erp", "postings")
    retry = shipped.retry_policies["postings"].spec.model_copy(update={"first": timedelta(seconds=30)})
    changed = documents_of(shipped, target, Proposal(*LIMITS, retry, ())).changed
    assert [(document.kind, document.name) for document in changed] == [("System", "erp"), ("RetryPolicy", "postings")]


def test_a_retry_policy_that_governs_others_too_is_left_to_them(shipped: Snapshot) -> None:
    target = target_of(shipped, "erp", "orders")
    retry = shipped.retry_policies["default"].spec.model_copy(update={"first": timedelta(seconds=30)})
    changed = documents_of(shipped, target, Proposal(*LIMITS, retry, ())).changed
    assert [(document.kind, document.name) for document in changed] == [
        ("System", "erp"), ("RetryPolicy", "orders-erp"), ("Flow", "orders"),
    ]  # fmt: skip
    flow = changed[2]
    assert isinstance(flow, k.Flow)
    assert {one.system: one.retry for one in flow.spec.targets} == {"erp": "orders-erp", "wms": None}
    assert flow.spec.retry == "default", "the other target keeps what it has"


def test_a_retry_policy_of_one_target_is_the_one_that_is_judged_and_changed(shipped: Snapshot) -> None:
    orders = shipped.flows["orders"]
    erp, wms = orders.spec.targets
    own = orders.spec.model_copy(update={"targets": (erp.model_copy(update={"retry": "postings"}), wms)})
    documents = {**shipped.documents, ("Flow", "orders"): orders.model_copy(update={"spec": own})}
    del documents["Flow", "postings"]
    policies = replace(shipped, documents=MappingProxyType(documents))
    target = target_of(policies, "erp", "orders")
    assert retry_of(policies, target) == "postings"
    retry = policies.retry_policies["postings"].spec.model_copy(update={"first": timedelta(seconds=30)})
    changed = documents_of(policies, target, Proposal(*LIMITS, retry, ())).changed
    assert [(document.kind, document.name) for document in changed] == [("System", "erp"), ("RetryPolicy", "postings")]


def test_nothing_that_is_unchanged_is_called_changed(shipped: Snapshot) -> None:
    target = target_of(shipped, "erp", "orders")
    documents = documents_of(shipped, target, Proposal(*LIMITS, shipped.retry_policies["default"].spec, ()))
    assert [document.kind for document in documents.named] == ["Team"]
    assert all(shipped.documents[one.kind, one.name] == one for one in documents.named)
