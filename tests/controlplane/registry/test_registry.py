"""The registry: packs in, snapshots out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from controlplane.audit import verify
from controlplane.clock import ManualClock
from controlplane.connectors.codes import codes_for
from controlplane.connectors.contract import UnmappedError
from controlplane.errors import NotFoundError, PolicyError
from controlplane.registry import Registry, revisions
from controlplane.registry.manifests import declared_connectors
from controlplane.registry.packs import check, load_genesis, pack_folder, shipped_packs
from controlplane.registry.registry import current_version
from controlplane.store import Store
from controlplane.sync.routing.route import ways
from rules.policy.kinds import RetryPolicy
from tests.controlplane.registry.common import sandbox_registry


def put(store: Store, clock: ManualClock, document: RetryPolicy) -> None:
    """Put a document in force, as an applied change request does."""
    with store.write() as conn:
        revisions.write(conn, clock, [document], author="ada", origin="change_request/1", reason="a test")


def with_cap(registry: Registry, cap: str) -> RetryPolicy:
    """Return the retry policy `default` with another cap."""
    document = registry.snapshot().retry_policies["default"].model_dump(mode="json")
    document["spec"]["cap"] = cap
    return RetryPolicy.model_validate(document)


@pytest.mark.parametrize("pack", sorted(shipped_packs()))
def test_every_shipped_pack_is_without_a_problem(pack: str) -> None:
    entries, problems = check([pack_folder(pack)], declared_connectors())
    assert [str(found) for found in problems] == []
    assert entries


def test_an_empty_registry_is_version_0_and_holds_nothing(store: Store, clock: ManualClock) -> None:
    snapshot = Registry(store, clock).snapshot()
    assert snapshot.version == 0
    assert not snapshot.flows


def test_a_pack_is_loaded_once_as_first_revisions_and_audited(store: Store, clock: ManualClock) -> None:
    registry = sandbox_registry(store, clock)
    assert load_genesis(store, clock, registry, "sandbox") == 0
    snapshot = registry.snapshot()
    assert snapshot.version == 1
    assert [target.system for target in snapshot.flows["orders"].spec.targets] == ["erp", "wms"]
    assert snapshot.flows["orders"].spec.promise == timedelta(minutes=5)
    with store.read() as conn:
        found = revisions.by_id(conn, snapshot.revision("Flow", "orders"))
        assert (found["revision"], found["origin"], found["author"]) == (1, "genesis", "genesis")
        assert verify(conn) == []


def test_a_pack_with_problems_loads_nothing_and_names_each(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "apiVersion: trueup/v1\nkind: Mapping\nmetadata: {name: x}\nspec: {system: erp, entity: sku, codes: {}}\n"
    )
    with pytest.raises(PolicyError, match=r"a\.yaml:4:8: Mapping/x spec\.system: there is no System 'erp'"):
        load_genesis(store, clock, Registry(store, clock), tmp_path)
    with store.read() as conn:
        assert current_version(conn) == 0


def test_the_same_version_is_the_same_snapshot(store: Store, clock: ManualClock) -> None:
    registry = sandbox_registry(store, clock)
    assert registry.snapshot() is registry.snapshot()


def test_a_change_is_picked_up_without_restart_and_the_old_snapshot_stays_as_it_was(
    store: Store, clock: ManualClock
) -> None:
    registry = sandbox_registry(store, clock)
    before = registry.snapshot()
    clock.advance(60)
    put(store, clock, with_cap(registry, "9m"))
    after = registry.snapshot()
    assert after.version > before.version
    assert after.retry_policies["default"].spec.cap == timedelta(minutes=9)
    assert before.retry_policies["default"].spec.cap == timedelta(minutes=5)
    assert after.revision("RetryPolicy", "default") != before.revision("RetryPolicy", "default")


def test_what_was_in_force_at_an_instant_can_be_told_later(store: Store, clock: ManualClock) -> None:
    registry = sandbox_registry(store, clock)
    loaded = clock.now()
    clock.advance(3600)
    put(store, clock, with_cap(registry, "9m"))
    changed = clock.now()
    just_before = registry.snapshot_at(changed - timedelta(microseconds=1))
    assert just_before.retry_policies["default"].spec.cap == timedelta(minutes=5)
    assert just_before.version == 1
    assert registry.snapshot_at(changed).retry_policies["default"].spec.cap == timedelta(minutes=9)
    assert not registry.snapshot_at(loaded - timedelta(seconds=1)).documents


def test_an_unknown_document_or_revision_is_named(store: Store, clock: ManualClock) -> None:
    registry = sandbox_registry(store, clock)
    with pytest.raises(NotFoundError, match="no Flow 'nope' in registry version 1"):
        registry.snapshot().revision("Flow", "nope")
    with store.read() as conn, pytest.raises(NotFoundError, match="no revision 7; there are: 1"):
        revisions.get(conn, "Flow", "orders", 7)


def test_codes_translate_both_ways_and_a_strict_mapping_refuses_what_it_does_not_list(
    store: Store, clock: ManualClock
) -> None:
    codes = codes_for(sandbox_registry(store, clock).snapshot(), "tills")
    assert codes.ours("sku", "900007") == "0007-BLK-M"
    assert codes.theirs("sku", "0007-BLK-M") == "900007"
    assert codes.ours("tax_code", "A") == "A"
    with pytest.raises(UnmappedError, match="tills calls a sku '999999'"):
        codes.ours("sku", "999999")


def test_a_target_whose_retry_policy_is_not_there_falls_under_that_of_its_flow(
    store: Store, clock: ManualClock
) -> None:
    """No change request gets through with one; an older version let it."""
    registry = sandbox_registry(store, clock)
    flow = registry.snapshot().flows["receipts"]
    target = flow.spec.targets[0].model_copy(update={"retry": "nope"})
    changed = flow.model_copy(update={"spec": flow.spec.model_copy(update={"targets": (target,)})})
    with store.write() as conn:
        revisions.write(conn, clock, [changed], author="ada", origin="test", reason="a test")
    snapshot = registry.snapshot()
    assert snapshot.retry_of("receipts", target.system) == flow.spec.retry
    assert [way.retry_revision for way in ways(snapshot, flow.spec.source, flow.spec.message_types[0])] == [
        snapshot.revision("RetryPolicy", flow.spec.retry)
    ]
