"""NetSuite: the two ways into an account, its time zone, and documents that are queued in it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

import pytest
from joserfc.jwk import RSAKey

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.netsuite import records, suiteql
from controlplane.connectors.builtin.netsuite.connector import NetSuiteConnector
from controlplane.connectors.builtin.netsuite.submission import KEY
from controlplane.connectors.contract import Connector
from controlplane.connectors.outcomes import AWAITED
from controlplane.errors import SettingsError, UnavailableError
from rules.outcomes import Result
from tests.controlplane.connectors.conftest import START, Given, PlainCodes, Retailer
from tests.controlplane.connectors.scripted import Asked, Reply
from tests.controlplane.connectors.test_netsuite import SKU, document, fulfilment, order_write, posting, sale
from tests.controlplane.connectors.test_shopify_levels import Begin

WEST = ZoneInfo("America/Los_Angeles")
SECRET = RSAKey.generate_key(2048)
PLACES = {"consumer_key": "k", "consumer_secret": "s", "token_id": "t", "token_secret": "u"}


def do(retailer: Retailer, what: str, **told: Any) -> dict[str, Any]:
    answer = retailer.sandbox.control("POST", f"/erp/{what}", told)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def erp(retailer: Retailer, secrets: dict[str, str] | None = None, *, fast: bool = False, **options: Any) -> Connector:
    """The sandbox's ERP by the pack's codes; `fast`: time goes by as quickly as it is waited for."""
    shipped = retailer.connector("erp").context
    tba = {
        name: retailer.sandbox.secret(f"erp_{name}")
        for name in ("consumer_key", "consumer_secret", "token_id", "token_secret")
    }
    given = Given(
        f"{retailer.sandbox.url}/erp", secrets or tba, {"realm": "1234567_SB1", "locations": ["WH1", "ST1", "ST2"], **options},
        timeout=200.0 if fast else 10.0, clock=ManualClock(retailer.clock.now(), pace=0.05) if fast else retailer.clock,
    )  # fmt: skip
    return NetSuiteConnector(replace(given.context(), codes=shipped.codes))


def machine(retailer: Retailer, key: RSAKey = SECRET, **changed: str) -> dict[str, str]:
    """The secrets of a client whose certificate was uploaded."""
    uploaded = do(retailer, "certificate", public_key=SECRET.as_pem(private=False).decode())
    secrets = {"client_id": uploaded["client_id"], "certificate_id": uploaded["certificate_id"]}
    return secrets | {"private_key": key.as_pem(private=True).decode()} | changed


# --- the ways in ---
def test_a_machine_gets_in_by_its_certificate_and_again_when_its_token_is_taken_back(retailer: Retailer) -> None:
    connector = erp(retailer, machine(retailer), auth="oauth2")
    connector.ping()
    assert connector.write(sale()).result is Result.DELIVERED
    do(retailer, "account", revoke_tokens=True)
    assert connector.read_back(sale()).result is Result.ALREADY_DELIVERED
    retailer.advance(3600)
    connector.ping()


def test_a_certificate_that_is_not_ours_leaves_documents_waiting(retailer: Retailer) -> None:
    for secrets in (
        machine(retailer, key=RSAKey.generate_key(2048)),
        machine(retailer, client_id="somebody"),
        machine(retailer, certificate_id="unknown"),
    ):
        connector = erp(retailer, secrets, auth="oauth2")
        with pytest.raises(UnavailableError, match="check the secrets"):
            connector.ping()
        assert connector.write(sale()).result is Result.UNAVAILABLE
        assert secrets["private_key"].splitlines()[1] not in str(connector.write(sale()).evidence)


def test_a_key_that_is_none_is_told_before_anything_is_asked(retailer: Retailer) -> None:
    with pytest.raises(SettingsError, match="no private RSA key"):
        erp(retailer, machine(retailer, private_key="nonsense"), auth="oauth2")


def test_each_way_in_wants_its_own_secrets_and_no_others() -> None:
    specific = NetSuiteConnector.manifest.specific
    assert specific is not None
    tba, oauth2 = specific({}), specific({"auth": "oauth2"})
    assert tba is not None
    assert oauth2 is not None
    assert (tba.secrets, oauth2.secrets) == (tuple(PLACES), ("client_id", "certificate_id", "private_key"))
    assert not tba.optional_secrets


# --- the account's clock ---
def test_times_are_read_and_asked_for_in_the_account_s_time_zone(retailer: Retailer) -> None:
    do(retailer, "account", time_zone="America/Los_Angeles")
    connector = erp(retailer, time_zone="America/Los_Angeles")
    level = next(level for page in connector.snapshot("inventory_balance", [(SKU, "WH1")]) for level in page)
    assert level.source_at == START
    pages = list(connector.poll("items", None))
    assert pages[-1].cursor == {"since": START.isoformat()}
    [draft] = connector.translate("items", pages[0].records[0].body)
    assert draft.occurred_at == START
    retailer.advance(3600)
    retailer.sandbox.control("POST", "/item", {"sku": SKU, "active": False})
    later = [
        record
        for page in connector.poll("items", {"since": retailer.clock.now().isoformat()})
        for record in page.records
    ]
    assert [json.loads(record.body)["sku"] for record in later] == [SKU]


def test_business_dates_are_those_of_the_account() -> None:
    late = document(
        "item_receipt",
        "R",
        receipt="R",
        purchase_order="P",
        location="WH1",
        received_at="2026-11-28T03:00:00Z",
        lines=[],
    )
    days = [records.document("item_receipt", late.payload, PlainCodes(), zone).body["tranDate"] for zone in (UTC, WEST)]
    assert days == ["2026-11-28", "2026-11-27"]
    assert records.document("journal_entry", posting().payload, PlainCodes(), WEST).body["tranDate"] == "2026-11-27"


def test_in_the_hour_that_clocks_go_through_twice_no_more_is_claimed_than_is_known() -> None:
    assert suiteql.surely("2026-11-01 01:30:00", WEST) is None
    assert suiteql.surely("2026-11-01 02:30:00", WEST) == datetime(2026, 11, 1, 10, 30, tzinfo=UTC)
    assert suiteql.read_instant("2026-11-01 01:30:00", WEST) == datetime(2026, 11, 1, 8, 30, tzinfo=UTC)
    second = datetime(2026, 11, 1, 9, 30, tzinfo=UTC)
    assert "2026-11-01 01:30:00" in suiteql.instant(second, WEST), "read on from the first of the two hours"
    assert suiteql.surely("2026-11-01 01:30:00", UTC) == datetime(2026, 11, 1, 1, 30, tzinfo=UTC)


def test_a_time_zone_that_is_none_is_refused_where_it_stands(retailer: Retailer) -> None:
    check = NetSuiteConnector.manifest.check
    assert check is not None
    [(path, rule, remedy)] = check("https://x", {"time_zone": "Pacific"})
    assert path == ("spec", "options", "time_zone")
    assert "no time zone" in rule
    assert "America/Los_Angeles" in remedy
    assert list(check("https://x", {"time_zone": "Europe/Berlin"})) == list(check("https://x", {})) == []
    with pytest.raises(SettingsError, match="'Pacific' is no time zone"):
        erp(retailer, time_zone="Pacific")


def test_the_time_zone_that_is_promised_is_the_one_of_the_options(retailer: Retailer) -> None:
    [zone] = [one for one in erp(retailer, time_zone="Europe/Berlin").settings() if one.name == "time zone"]
    assert (zone.promised, zone.actual, zone.never_told) == ("Europe/Berlin", None, True)


# --- documents that are queued ---
def test_a_queued_document_takes_effect_once_however_often_it_is_sent(retailer: Retailer) -> None:
    connector, request = erp(retailer, fast=True, respond_async=True), order_write(retailer)
    first, again = connector.write(request), connector.write(request)
    assert (first.result, again.result) == (Result.DELIVERED, Result.DELIVERED)
    assert first.native_id == again.native_id
    assert first.native_id
    assert retailer.effects("erp", "order") == [(request.subject, 1)]
    assert connector.read_back(request).result is Result.ALREADY_DELIVERED


def test_a_queued_document_whose_answer_was_lost_is_known_again_by_its_key(retailer: Retailer) -> None:
    connector = erp(retailer, fast=True, respond_async=True)
    fault = retailer.sandbox.fault(kind="lost_response", target="erp", operation="write")
    assert connector.write(sale()).result is Result.UNKNOWN
    retailer.sandbox.control("DELETE", f"/faults/{fault}")
    assert connector.write(sale()).result is Result.DELIVERED
    assert retailer.effects("erp", "till_sale") == [("ST1/r/1", 1)]


def test_a_job_that_is_not_over_is_awaited_and_not_submitted_anew(retailer: Retailer) -> None:
    connector = erp(retailer, fast=True, respond_async=True)
    do(retailer, "account", hold_jobs=True)
    for _ in range(2):
        outcome = connector.write(sale())
        assert (outcome.result, outcome.evidence[AWAITED], outcome.retry_after) == (Result.UNKNOWN, "job 2", 30.0)
    assert connector.read_back(sale()).result is Result.ABSENT
    do(retailer, "account", hold_jobs=False)
    assert connector.write(sale()).result is Result.DELIVERED
    assert retailer.effects("erp", "till_sale") == [("ST1/r/1", 1)]


def test_what_a_job_is_refused_for_is_told_as_the_account_says_it(retailer: Retailer) -> None:
    outcome = erp(retailer, fast=True, respond_async=True).write(posting(credit="9.99"))
    assert outcome.result is Result.REJECTED
    assert "INVALID_CONTENT" in outcome.detail
    assert "balance" in outcome.detail


def test_a_queued_fulfilment_that_overtakes_its_order_waits_and_is_submitted_anew(retailer: Retailer) -> None:
    connector, order = erp(retailer, fast=True, respond_async=True), order_write(retailer)
    early = connector.write(fulfilment(order.subject))
    assert (early.result, "waits_for" in early.evidence) == (Result.UNAVAILABLE, True)
    assert connector.write(order).result is Result.DELIVERED
    assert connector.write(fulfilment(order.subject)).result is Result.DELIVERED
    assert retailer.effects("erp", "shipment") == [("SHP-1", 1)]


def test_a_refusal_before_the_queue_is_a_refusal(scripted: Begin) -> None:
    refused = {
        "title": "Bad Request",
        "status": 400,
        "o:errorDetails": [{"detail": "no", "o:errorCode": "INVALID_HEADER"}],
    }
    server = scripted(lambda asked: Reply(400, refused) if asked.method == "PUT" else Reply(404, {}))
    outcome = NetSuiteConnector(Given(server.url, PLACES, {"respond_async": True}).context()).write(sale())
    assert outcome.result is Result.REJECTED
    assert "INVALID_HEADER" in outcome.detail


def test_an_account_that_does_it_at_once_is_believed_and_a_page_of_a_proxy_is_not(scripted: Begin) -> None:
    replies = [Reply(204, b"", {"Location": "https://x/record/v1/cashSale/7"}), Reply(200, b"<html>"), Reply(202, {})]

    def answer(asked: Asked) -> Reply:
        assert asked.headers["prefer"] == "respond-async"
        assert asked.headers[KEY.lower()] == str(uuid5(NAMESPACE_URL, sale().idempotency_key))
        return replies.pop(0)

    connector = NetSuiteConnector(Given(scripted(answer).url, PLACES, {"respond_async": True}).context())
    outcomes = [connector.write(sale()) for _ in range(3)]
    assert [one.result for one in outcomes] == [Result.DELIVERED, Result.UNKNOWN, Result.UNKNOWN]
    assert outcomes[0].native_id == "7"
    assert "did not say which one" in outcomes[2].detail


def test_queued_documents_may_take_effect_late_and_others_soon() -> None:
    specific = NetSuiteConnector.manifest.specific
    assert specific is not None
    found = [specific(options) for options in ({}, {"respond_async": True})]
    assert [one.writes[0].late_effect for one in found if one] == [15.0, 900.0]
