"""The depot's connector: found like anybody's, and honest about what became of each write."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.clock import SystemClock
from controlplane.connectors.contract import Context, Inbound, UnsupportedError, Write
from controlplane.errors import BadInputError
from rules.outcomes import Result
from tests.addresses import opened
from tests.chaos.depot.process import DepotProcess
from tests.chaos.plugin.trueup_depot import DepotConnector
from tests.controlplane.connectors.conftest import PlainCodes

PACK = Path(__file__).with_name("pack")
CLI = "from controlplane.cli import main; main()"
RECEIPT = Write("keyed_doc", "R-1", "receipt.received:R-1:keyed", {"receipt": "R-1", "location": "WH1"}, "R-1")


def level(entity: str, value: int, second: int = 0, key: str = "") -> Write:
    """The write of a level that the source changed at a second of a minute."""
    changed = f"2026-03-02T09:00:{second:02}.000001Z"
    payload = {"sku": "A", "location": "WH1", "available": value, "source_at": changed}
    return Write(entity, "A@WH1", key or f"stock.level:A@WH1:{second}", payload, "A@WH1")


def offer(value: int, expected: int | None, key: str) -> Write:
    """The write of an offer that was computed from an expected level."""
    payload = {"sku": "A", "location": "WH1", "quantity": value, "expected": expected}
    return Write("available", "A@WH1", key, payload, "A@WH1")


@contextmanager
def connected(depot: DepotProcess, timeout: float) -> Iterator[DepotConnector]:
    """A connector that waits so many seconds for an answer."""
    internal = opened(depot.url)
    context = Context("depot", depot.url, {}, str, PlainCodes(), SystemClock(), timeout=timeout, internal=internal)
    connector = DepotConnector(context)
    try:
        yield connector
    finally:
        connector.close()


@pytest.fixture
def connector(depot: DepotProcess) -> Iterator[DepotConnector]:
    """A patient connector."""
    with connected(depot, timeout=30) as connector:
        yield connector


def command(plugin_folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The console command with the folder on its path."""
    return subprocess.run(
        [sys.executable, "-c", CLI, *arguments], env={**os.environ, "PYTHONPATH": str(plugin_folder)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_the_connector_is_found_by_entry_point_in_a_folder_on_the_path(plugin_folder: Path) -> None:
    assert '"name": "depot"' in command(plugin_folder, "connector", "list", "--json").stdout


def test_the_pack_of_the_chaos_tests_has_no_problem(plugin_folder: Path) -> None:
    answer = command(plugin_folder, "policy", "validate", str(PACK))
    assert answer.returncode == 0, answer.stdout + answer.stderr


OUTCOMES = [
    ("unavailable", {}, Result.UNKNOWN),
    ("unavailable", {"retry_after": 1}, Result.UNAVAILABLE),
    ("throttled", {"retry_after": 3}, Result.THROTTLED),
    ("silence", {}, Result.UNKNOWN),
    ("effect_then_silence", {}, Result.UNKNOWN),
    ("reset", {}, Result.UNKNOWN),
    ("effect_then_reset", {}, Result.UNKNOWN),
    ("late_effect", {"ms": 50}, Result.UNKNOWN),
    ("slow", {"ms": 10}, Result.DELIVERED),
    ("error_inside", {"code": "busy"}, Result.UNAVAILABLE),
    ("error_inside", {"code": "invalid"}, Result.REJECTED),
    ("garbled", {}, Result.UNKNOWN),
    ("poison", {}, Result.REJECTED),
]


@pytest.mark.parametrize(("kind", "told", "result"), OUTCOMES)
def test_each_fault_becomes_the_outcome_that_it_means(
    depot: DepotProcess, kind: str, told: dict[str, object], result: Result
) -> None:
    depot.order(kind, **told)
    with connected(depot, timeout=0.3 if "silence" in kind else 30) as connector:
        assert connector.write(RECEIPT).result is result


def test_a_throttled_write_says_how_long_to_wait(depot: DepotProcess, connector: DepotConnector) -> None:
    depot.order("throttled", retry_after=3)
    assert connector.write(RECEIPT).retry_after == 3


def test_a_depot_that_is_gone_is_unavailable(depot: DepotProcess, connector: DepotConnector) -> None:
    depot.process.kill9()
    assert connector.write(RECEIPT).result is Result.UNAVAILABLE
    assert connector.read_back(replace(RECEIPT, entity="readable_doc")).result is Result.UNAVAILABLE


def test_the_same_document_under_its_key_is_already_delivered(connector: DepotConnector) -> None:
    assert [connector.write(RECEIPT).result for _ in range(2)] == [Result.DELIVERED, Result.ALREADY_DELIVERED]
    assert connector.read_back(RECEIPT).result is Result.UNSEEN, "the key makes a second write harmless"


@pytest.mark.parametrize(
    ("fault", "found"), [("effect_then_reset", Result.ALREADY_DELIVERED), ("reset", Result.ABSENT)]
)
def test_a_readable_document_is_looked_up_by_our_key(
    depot: DepotProcess, connector: DepotConnector, fault: str, found: Result
) -> None:
    receipt = replace(RECEIPT, entity="readable_doc")
    depot.order(fault)
    connector.write(receipt)
    assert connector.read_back(receipt).result is found
    assert connector.read_back(replace(receipt, idempotency_key="another")).result is Result.ABSENT


def test_nobody_can_tell_what_became_of_a_document_without_guarantee(connector: DepotConnector) -> None:
    receipt = replace(RECEIPT, entity="none_doc")
    connector.write(receipt)
    assert connector.read_back(receipt).result is Result.UNKNOWN


@pytest.mark.parametrize("entity", ["conditional_state", "readable_state"])
def test_a_level_is_told_from_an_older_and_a_newer_one_by_its_version(entity: str, connector: DepotConnector) -> None:
    assert connector.read_back(level(entity, 5, 1)).result is Result.ABSENT
    assert connector.write(level(entity, 5, 1)).result is Result.DELIVERED
    assert connector.read_back(level(entity, 5, 1)).result is Result.ALREADY_DELIVERED
    assert connector.read_back(level(entity, 3, 2)).result is Result.ABSENT
    assert connector.write(level(entity, 3, 2)).result is Result.DELIVERED
    overtaken = connector.read_back(level(entity, 9, 1, key="another"))
    assert (overtaken.result, overtaken.current) == (Result.STALE, 3)


def test_a_stale_level_by_version_is_refused_and_the_one_that_is_shown_is_told(connector: DepotConnector) -> None:
    connector.write(level("conditional_state", 5, 2))
    stale = connector.write(level("conditional_state", 9, 1))
    assert (stale.result, stale.current) == (Result.STALE, 5)


def test_an_offer_rests_on_what_it_was_computed_from(connector: DepotConnector) -> None:
    assert connector.write(offer(5, 0, "k1")).result is Result.DELIVERED
    stale = connector.write(offer(9, 0, "k2"))
    assert (stale.result, stale.current) == (Result.STALE, 5)
    assert connector.read_back(offer(9, 0, "k2")).result is Result.STALE
    assert connector.read_back(offer(3, 5, "k3")).result is Result.ABSENT
    assert connector.write(offer(5, 0, "k1")).result is Result.ALREADY_DELIVERED


def test_an_offers_level_is_read_with_the_interval_of_its_reading_and_is_0_at_first(connector: DepotConnector) -> None:
    connector.write(offer(5, 0, "k1"))
    levels = [one for page in connector.snapshot("levels", [("A", "WH1"), ("B", "WH1")]) for one in page]
    assert [(one.sku, one.available) for one in levels] == [("A", 5), ("B", 0)]
    assert all(one.read_from <= one.read_to for one in levels)
    with pytest.raises(UnsupportedError):
        list(connector.snapshot("balances"))


def test_a_cloud_event_is_known_again_by_its_id_and_read_as_the_message_that_it_is(connector: DepotConnector) -> None:
    body = b"""{"specversion": "1.0", "id": "e1", "source": "feed", "type": "receipt.received", "subject": "R-1",
               "time": "2026-03-02T09:00:00Z", "data": {"receipt": "R-1"}}"""
    record = connector.receive(Inbound({}, body))
    assert (record.topic, record.event_key, record.body) == ("receipt.received", "receipt.received:e1", body)
    draft = connector.translate(record.topic, record.body)[0]
    assert (draft.type, draft.subject, draft.data) == ("receipt.received", "R-1", {"receipt": "R-1"})


@pytest.mark.parametrize("body", [b"", b"[]", b'{"id": "e1"}', b"\xff"])
def test_what_is_no_cloud_event_is_refused_with_a_remedy(connector: DepotConnector, body: bytes) -> None:
    with pytest.raises(BadInputError, match="CloudEvent"):
        connector.receive(Inbound({}, body))
