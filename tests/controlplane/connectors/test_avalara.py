"""The Avalara connector against a simulated engine; where the vendor's description is at hand, every exchange is held against it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import Draft4Validator

from controlplane.connectors.builtin.avalara.connector import AvalaraConnector
from controlplane.connectors.contract import UnmappedError
from controlplane.connectors.settings import GONE, HERE, IDLE
from controlplane.errors import BadInputError, RejectedError, ThrottledError, UnavailableError, UnreadableError
from controlplane.sandbox.avalara.app import ACCOUNT, KEY, Account, create
from rules.tax import Fault, Place, TaxDocument, TaxLine
from tests.controlplane.connectors.conftest import Given, PlainCodes
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer
from tests.controlplane.connectors.simulators import SPECS, hanging_up, held_against

SPEC = SPECS / "avalara/avatax-v2-openapi.yaml"
needs_spec = pytest.mark.skipif(not SPEC.is_file(), reason="the vendor's description is not at hand (TRUEUP_SHARED)")
CLOTHES, FOOD, GONE_CODE = "PC040100", "PF050099", "PC030000"


@dataclass
class Bench:
    """An engine, and a connector to it."""

    account: Account
    connector: AvalaraConnector
    given: Given

    def faults(self, *lines: TaxLine) -> list[tuple[Fault, str]]:
        return [(one.fault, one.line) for one in self.connector.validate(document(*lines))]

    def again(self, **options: Any) -> AvalaraConnector:
        return AvalaraConnector(replace(self.given.context(), options=options))


@pytest.fixture
def bench() -> Iterator[Bench]:
    given = Given("", timeout=10, secrets={"account_id": ACCOUNT, "license_key": KEY})
    account = Account(codes={"P0000000": True, CLOTHES: True, FOOD: True, GONE_CODE: False}, untaxed={FOOD: {"CA"}})
    account.rates["US", "CA"] = Decimal("0.0825")
    app = create(account)
    contract = held_against(app, [SPEC])
    with hanging_up(app) as port:
        given.endpoint = f"http://127.0.0.1:{port}"
        connector = AvalaraConnector(given.context())
        yield Bench(account, connector, given)
        connector.close()
    assert contract is None or contract.broken == []
    assert account.kept == [], "nothing is ever recorded"


def line(tax: str, amount: str = "50.00", code: str = CLOTHES, number: str = "1") -> TaxLine:
    return TaxLine(number, Decimal(amount), Decimal(tax), code, sku="0007-BLK-M")


def document(*lines: TaxLine, ship_to: Place = Place("US", "CA", "92614")) -> TaxDocument:
    return TaxDocument("#1001", date(2026, 11, 27), "USD", Place("US", "NY", "10001"), ship_to, lines)


def test_a_document_that_is_right_to_the_cent_passes(bench: Bench) -> None:
    assert bench.faults(line("4.13"), line("0.00", "12.50", FOOD, "2"), line("-1.65", "-20.00", number="3")) == []


def test_what_is_wrong_with_an_amount_is_told_by_line(bench: Bench) -> None:
    found = bench.connector.validate(document(line("5.00"), line("1.03", "12.50", FOOD, "2"), line("0.00", number="3")))
    assert [(one.fault, one.line, one.charged, one.due) for one in found] == [
        (Fault.RATE, "1", Decimal("5.00"), Decimal("4.13")),
        (Fault.NOT_TAXABLE, "2", Decimal("1.03"), Decimal(0)),
        (Fault.NOT_CHARGED, "3", Decimal(0), Decimal("4.13")),
    ]


def test_a_code_that_is_not_known_or_not_in_use_is_told_before_any_amount_is_computed(bench: Bench) -> None:
    assert bench.faults(
        line("4.13"), line("4.13", code="PX9999", number="2"), line("4.13", code=GONE_CODE, number="3")
    ) == [
        (Fault.UNKNOWN_CODE, "2"),
        (Fault.INACTIVE_CODE, "3"),
    ]
    assert "POST /api/v2/transactions/create" not in bench.account.asked
    bench.account.codes[CLOTHES] = None
    assert bench.faults(line("4.13")) == [(Fault.UNTOLD_CODE, "1")]


def test_a_code_of_the_companys_own_is_known_too_and_one_with_a_quote_is_found(bench: Bench) -> None:
    bench.account.own |= {"OWN-1": True, "O'NEILL": True, "OWN-2": False}
    assert bench.faults(line("4.13", code="OWN-1"), line("4.13", code="O'NEILL", number="2")) == []
    assert bench.faults(line("4.13", code="own-2")) == [(Fault.INACTIVE_CODE, "1")]


def test_an_engine_that_computes_under_another_code_is_noticed(bench: Bench) -> None:
    bench.account.codes |= {"P0000001": True}
    account = bench.account
    assert bench.faults(line("4.13", code="p0000001")) == [(Fault.OTHER_CODE, "1")], (
        "the simulator knows it in upper case only"
    )
    assert account.asked[-1].endswith("/create")


def test_codes_come_page_by_page(bench: Bench) -> None:
    names = [f"PZ{number:04}" for number in range(130)]
    bench.account.codes |= dict.fromkeys(names, True)
    bench.account.page = 7
    lines = [line("0.00", "0.00", name, str(at)) for at, name in enumerate(names)]
    assert bench.faults(*lines) == []
    lists = [one for one in bench.account.asked if one.endswith("/definitions/taxcodes")]
    assert len(lists) == 8 + 8 + 5, "50, 50 and 30 codes, seven a page"


def test_every_tax_code_that_policy_names_is_a_setting_that_is_read_back(bench: Bench) -> None:
    connector = bench.again(tax_codes=[CLOTHES, GONE_CODE, "PX9999"])
    found = {one.name: (one.actual, one.option) for one in connector.settings()}
    assert found == {
        f"tax code {CLOTHES}": (HERE, "tax_codes"), f"tax code {GONE_CODE}": (IDLE, "tax_codes"), "tax code PX9999": (GONE, "tax_codes"),
    }  # fmt: skip
    connector.close()
    assert bench.connector.settings() == []


def test_a_code_without_translation_is_named(bench: Bench) -> None:
    class Strict(PlainCodes):
        def theirs(self, entity: str, ours: str) -> str:
            raise UnmappedError(entity, ours, "tax")

    connector = AvalaraConnector(replace(bench.given.context(), codes=Strict(), options={"tax_codes": ["clothes"]}))
    with pytest.raises(UnmappedError, match="tax_code"):
        connector.validate(document(line("4.13", code="clothes")))
    [setting] = connector.settings()
    assert setting.actual is None
    assert "no Mapping policy translates it" in setting.note
    connector.close()


def test_a_document_that_is_not_exact_is_refused_before_anything_is_asked(bench: Bench) -> None:
    for wrong, told in (
        (line("4.131"), "no whole number of the minor units"),
        (replace(line("1.00"), quantity=Decimal("1.0000000000000001")), "more than 15 digits"),
    ):
        with pytest.raises(BadInputError, match=told):
            bench.connector.validate(document(wrong))
    assert bench.account.asked == []


def test_a_refusal_is_told_in_avalaras_words(bench: Bench) -> None:
    with pytest.raises(RejectedError, match=r"400 InvalidAddress: .* \[The address is not deliverable. \(ShipTo\)\]"):
        bench.connector.validate(document(line("4.13"), ship_to=Place("US")))
    other = bench.again(company_code="NOBODY")
    with pytest.raises(RejectedError, match=r"EntityNotFoundError.*companyCode"):
        other.validate(document(line("4.13")))
    other.close()


def test_too_many_requests_wait_as_long_as_they_are_asked_to(bench: Bench) -> None:
    bench.account.throttled = 1
    with pytest.raises(ThrottledError, match="RateLimitExceededError") as raised:
        bench.connector.validate(document(line("4.13")))
    assert raised.value.retry_after == 7


def test_a_ping_that_is_answered_to_strangers_is_no_proof(bench: Bench) -> None:
    bench.connector.ping()
    bench.given.secrets["license_key"] = "another-license-key"
    wrong = AvalaraConnector(bench.given.context())
    with pytest.raises(UnavailableError, match="check the secrets"):
        wrong.ping()
    with pytest.raises(UnavailableError, match="check the secrets") as raised:
        wrong.validate(document(line("4.13")))
    assert "another-license-key" not in str(raised.value.evidence)
    wrong.close()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"type": "SalesInvoice", "status": "Committed"}, "made a SalesInvoice with the status Committed"),
        ({"currencyCode": "CAD"}, "computed in CAD"),
        ({"lines": []}, "computed the lines"),
        ({"totalTax": 4.99}, "says 4.99 of tax in all"),
        ({"totalTax": None}, "totalTax is no amount"),
        ({"lines": [{"lineNumber": "1", "tax": "much"}]}, "tax is no amount"),
        ({"lines": None}, "without its lines"),
    ],
)
def test_an_estimate_that_breaks_its_contract_is_never_taken_for_agreement(
    told_by: Callable[[Callable[[Asked], Reply]], AvalaraConnector], changed: dict[str, Any], told: str
) -> None:
    good: dict[str, Any] = {"type": "SalesOrder", "status": "Temporary", "currencyCode": "USD", "totalTax": 4.13}
    good["lines"] = [{"lineNumber": "1", "tax": 4.13}]
    codes = {"value": [{"taxCode": CLOTHES, "isActive": True}]}
    connector = told_by(lambda asked: Reply(body=codes if asked.method == "GET" else good | changed))
    with pytest.raises(UnreadableError, match=told):
        connector.validate(document(line("4.13")))


@pytest.fixture
def told_by(
    scripted: Callable[[Callable[[Asked], Reply]], ScriptedServer],
) -> Iterator[Callable[[Callable[[Asked], Reply]], AvalaraConnector]]:
    """An engine that answers by a function; no description holds it."""
    made: list[AvalaraConnector] = []

    def begin(answer: Callable[[Asked], Reply]) -> AvalaraConnector:
        given = Given(scripted(answer).url, secrets={"account_id": ACCOUNT, "license_key": KEY}, timeout=20)
        made.append(AvalaraConnector(given.context()))
        return made[-1]

    yield begin
    for connector in made:
        connector.close()


# --- the vendor's own samples ---
YARN = "PS081282"
ESTIMATED = {"type": "SalesOrder", "status": "Temporary"}


@cache
def schemas() -> dict[str, Any]:
    """Read once, and before anybody waits for an answer: it takes seconds."""
    found: dict[str, Any] = yaml.load(SPEC.read_text(encoding="utf-8"), yaml.CSafeLoader)["components"]["schemas"]
    return found


def sample(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(schemas()[name]["example"], default=str))
    return found


@needs_spec
@pytest.mark.parametrize(
    ("changed", "tax", "wanted"),
    [
        ({}, "62.50", "made a SalesInvoice with the status Committed of an estimate"),
        (ESTIMATED, "62.50", []),
        (ESTIMATED, "62.49", []),
        (ESTIMATED, "62.00", [Fault.RATE]),
        (ESTIMATED | {"currencyCode": "EUR"}, "62.50", "computed in EUR"),
        (ESTIMATED | {"totalTax": 62.51}, "62.50", "says 62.51 of tax in all, and its lines say 62.5"),
    ],
)
def test_the_vendors_samples_of_a_code_and_a_transaction_are_read_or_refused_with_the_reason(
    told_by: Callable[[Callable[[Asked], Reply]], AvalaraConnector],
    changed: dict[str, Any],
    tax: str,
    wanted: list[Fault] | str,
) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(
            body={"value": [sample("TaxCodeModel")]} if asked.method == "GET" else sample("TransactionModel") | changed
        )

    connector, asked = told_by(answer), document(line(tax, "1000.00", YARN))
    if isinstance(wanted, list):
        assert [one.fault for one in connector.validate(asked)] == wanted
        return
    with pytest.raises(UnreadableError, match=wanted):
        connector.validate(asked)


@needs_spec
def test_the_vendors_samples_of_a_ping_and_of_an_error_are_read(
    told_by: Callable[[Callable[[Asked], Reply]], AvalaraConnector],
) -> None:
    error = {"error": {"code": "GetTaxError", "message": "Tax calculation error", "details": [sample("ErrorDetail")]}}
    connector = told_by(
        lambda asked: Reply(body=sample("PingResultModel")) if "ping" in asked.path else Reply(400, error)
    )
    connector.ping()
    with pytest.raises(
        RejectedError, match=r"400 GetTaxError: Tax calculation error \[Object successfully marked as deleted.\]"
    ):
        connector.validate(document(line("62.50", "1000.00", YARN)))


@needs_spec
def test_the_simulators_errors_are_as_the_description_says(bench: Bench) -> None:
    schema = schemas()["ErrorDetail"]
    bench.account.throttled = 1
    url, key = bench.given.endpoint, (ACCOUNT, KEY)
    path, filtered = f"{url}/api/v2/transactions/create", {"$filter": "taxCode like 'P%'"}
    answers = [
        httpx.get(f"{url}/api/v2/taxcodes", auth=key), httpx.get(f"{url}/api/v2/taxcodes"),
        httpx.get(f"{url}/api/v2/taxcodes", params=filtered, auth=key),
        httpx.post(path, auth=key, json={"customerCode": "c", "date": "2026-11-27", "lines": [{"amount": 1}]}),
        httpx.post(path, auth=key, json={"customerCode": "c", "date": "2026-11-27", "lines": [{"amount": 1}], "companyCode": "X"}),
    ]  # fmt: skip
    assert [one.status_code for one in answers] == [429, 401, 400, 400, 400]
    for one in answers:
        for detail in one.json()["error"]["details"]:
            Draft4Validator(schema).validate(detail)
