"""Settlement reports of Amazon: listed, fetched, read to the cent, and refused with line and reason where they do not hold together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest

from controlplane.connectors.builtin.amazon.formats import amount, instant
from controlplane.connectors.builtin.amazon.settlement import FlawedFileError, check, kind, rows
from controlplane.connectors.contract import Draft, Record
from controlplane.errors import BadInputError, ThrottledError, UnavailableError, UnreadableError
from rules.model.messages import PaymentRecorded, SettlementChanged, parse
from tests.controlplane.connectors.amazon_kit import Bench, entry, file, line, marketplace, opening


@pytest.fixture
def bench() -> Iterator[Bench]:
    with marketplace() as bench:
        yield bench


def payments(drafts: dict[str, Draft]) -> list[tuple[str, str, str]]:
    found = [parse(draft.type, draft.data) for draft in drafts.values()]
    return [(one.kind, one.native_kind, str(one.net)) for one in found if isinstance(one, PaymentRecorded)]


SALE = (
    entry("29.99"), entry("1.80", what="Tax"), entry("-1.80", type_="ItemWithheldTax", what="MarketplaceFacilitatorTax-Principal"),
    entry("-4.50", type_="ItemFees", what="Commission"), entry("-5.00", type_="Promotion", what="Principal"),
    entry("-9.99", of="Refund", adjustment_id="A1"), entry("-0.49", of="other-transaction", type_="other-transaction", what="Storage Fee"),
    entry("-2.01", of="other-transaction", type_="other-transaction", what="Current Reserve Amount"),
)  # fmt: skip


def test_a_settlement_is_read_to_the_cent_and_leaves_nothing_on_the_balance(bench: Bench) -> None:
    bench.market.report(file(opening("8.00"), *SALE))
    found = bench.drafts(entity="settlements")
    assert payments(found) == [
        ("payout", "settlement", "-8.00"),
        ("charge", "Order / ItemPrice / Principal", "29.99"),
        ("charge", "Order / ItemPrice / Tax", "1.80"),
        ("charge", "Order / ItemWithheldTax / MarketplaceFacilitatorTax-Principal", "-1.80"),
        ("fee", "Order / ItemFees / Commission", "-4.50"),
        ("charge", "Order / Promotion / Principal", "-5.00"),
        ("refund", "Refund / ItemPrice / Principal", "-9.99"),
        ("fee", "other-transaction / other-transaction / Storage Fee", "-0.49"),
        ("other", "other-transaction / other-transaction / Current Reserve Amount", "-2.01"),
    ]
    assert sum(Decimal(net) for _, _, net in payments(found)) == 0
    [settled] = [parse(draft.type, draft.data) for draft in found.values() if draft.type == "settlement.changed"]
    assert isinstance(settled, SettlementChanged)
    assert (settled.ref, settled.state, str(settled.amount), settled.arrives_on) == (
        "18174059732",
        "in_transit",
        "8.00",
        "2026-11-20",
    )
    refund = next(
        one for one in (parse(d.type, d.data) for d in found.values()) if getattr(one, "kind", "") == "refund"
    )
    assert isinstance(refund, PaymentRecorded)
    assert (refund.about, refund.order_ref) == ("A1", "111-1")
    assert refund.recorded_at == datetime(2026, 11, 10, 5, 23, 19, tzinfo=UTC)


def test_a_german_file_and_a_negative_total_are_read(bench: Bench) -> None:
    told = {"posted_date": "10.11.2026", "posted_date_time": "10.11.2026 05:23:19 UTC", "sku": "Größe-5"}
    first = opening("-1.234,56", deposited="20.11.2026 02:00:00 UTC", currency="EUR")
    bench.market.report(
        file(
            first,
            entry("1.000,44", **told),
            entry("-2.235,00", of="ServiceFee", type_="Cost of Advertising", what="", **told),
            charset="cp1252",
        ),
        charset="Cp1252",
    )
    assert payments(bench.drafts(entity="settlements")) == [
        ("payout", "settlement", "1234.56"),
        ("charge", "Order / ItemPrice / Principal", "1000.44"),
        ("fee", "ServiceFee / Cost of Advertising", "-2235.00"),
    ]


@pytest.mark.parametrize(
    ("content", "line_", "reason"),
    [
        (file(opening("10.00"), entry("9.99")), 2, "its amounts make 9.99: 0.01 is missing"),
        (file(opening("10.00"), entry("10.00"), entry("ten")), 4, "'ten' is no amount"),
        (file(opening("10.00"), entry("1,000")), 3, "may be two amounts"),
        (file(opening("10.00"), entry("10.0001")), 3, "minor units of USD"),
        (file(opening("10.00"), entry("10.00", name="9")), 3, "settlement 9 among those of 18174059732"),
        (file(entry("10.00"), opening("10.00")), 2, "before the row that opens"),
        (file(opening("10.00", deposited="03/02/2026"), entry("10.00")), 2, "may be two days"),
        (file(opening("10.00", currency=""), entry("10.00")), 2, "without currency"),
        (file(opening("10.00"), entry("10.00") + "\tmore"), 3, "25 values for 24 columns"),
        (b"reportId\tx\r\n1\t2\r\n", 1, "no settlement report"),
        (b"", 1, "no row opens a settlement"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_hold_together_waits_whole_with_line_and_reason(
    bench: Bench, content: bytes, line_: int, reason: str
) -> None:
    name = bench.market.report(content)
    [record] = [record for page in bench.pages() for record in page.records]
    assert json.loads(record.body)["fault"]["line"] == line_
    with pytest.raises(BadInputError, match=f"line {line_}: ") as raised:
        bench.connector.translate(record.topic, record.body)
    assert reason in str(raised.value)
    bench.market.documents.pop(f"amzn1.spdoc.{name}")
    with pytest.raises(BadInputError, match="nothing of it was posted"):
        bench.connector.translate(record.topic, record.body)


def test_a_row_whose_day_cannot_be_read_waits_alone(bench: Bench) -> None:
    bench.market.report(
        file(opening("3.00"), entry("1.00"), entry("2.00", posted_date_time="02/03/2026 05:00", order_id="222"))
    )
    records = [record for page in bench.pages() for record in page.records]
    assert [draft.data["net"] for draft in bench.connector.translate(records[1].topic, records[1].body)] == ["1.00"]
    with pytest.raises(BadInputError, match=r"line 4 of settlement 18174059732: .* may be two days"):
        bench.connector.translate(records[2].topic, records[2].body)


def test_a_report_that_is_put_right_is_read_by_a_replay(bench: Bench) -> None:
    name = bench.market.report(file(opening("10.00"), entry("9.99")))
    [record] = [record for page in bench.pages() for record in page.records]
    right = bench.market.report(file(opening("10.00"), entry("10.00")))
    bench.market.documents[f"amzn1.spdoc.{name}"] = bench.market.documents[f"amzn1.spdoc.{right}"]
    assert len(bench.connector.translate(record.topic, record.body)) == 3


def test_a_report_that_is_made_anew_tells_nothing_twice_whatever_its_order(bench: Bench) -> None:
    twice = [entry("5.00"), entry("5.00"), entry("-1.00", type_="ItemFees", what="Commission")]
    bench.market.report(file(opening("9.00"), *twice))
    before = bench.drafts(entity="settlements")
    assert len(before) == 5, "two rows that say the same are two amounts"
    bench.advance(3600)
    bench.market.report(file(opening("9.00"), *reversed(twice)))
    assert bench.drafts(entity="settlements").keys() == before.keys()


def test_several_settlements_in_one_file_are_each_held_against_their_total(bench: Bench) -> None:
    both = (opening("1.00"), entry("1.00"), opening("2.00", name="2"), entry("2.00", name="2"))
    assert check(enumerate(file(*both).decode().split("\r\n"), 1)) == 4
    with pytest.raises(FlawedFileError, match=r"settlement 18174059732 has the total 3\.00"):
        check(enumerate(file(opening("3.00"), *both[1:]).decode().split("\r\n"), 1))


def test_the_cursor_moves_with_each_report_and_one_that_is_done_late_is_found(bench: Bench) -> None:
    late = bench.market.report(file(opening("1.00", name="L"), entry("1.00", name="L")), status="IN_PROGRESS")
    for at in range(5):
        bench.advance(60)
        bench.market.report(file(opening("1.00", name=str(at)), entry("1.00", name=str(at))))
    pages = bench.pages()
    assert len({json.dumps(page.cursor) for page in pages if page.cursor}) == 5
    assert [
        record.event_key.split(":")[1] for page in pages for record in page.records if "/" not in record.event_key
    ] == list("01234")
    assert [page.records for page in bench.pages(pages[-1].cursor)] == []
    bench.market.reports[late]["processingStatus"] = "DONE"
    assert len([record for page in bench.pages(pages[-1].cursor) for record in page.records]) == 2
    assert bench.pages(pages[3].cursor)[-1].cursor["since"] == pages[-1].cursor["since"], "it goes on where it stood"


def test_a_cursor_that_was_given_says_later_what_it_said_then(bench: Bench) -> None:
    for name in ("1", "2", "3"):
        bench.market.report(file(opening("1.00", name), entry("1.00", name=name)))
        bench.advance(60)
    given, then = [], []
    for page in bench.connector.poll("settlements", None):
        given.append(page.cursor)
        then.append(json.dumps(page.cursor))
    assert [json.dumps(cursor) for cursor in given] == then


def test_documents_are_fetched_no_faster_than_the_vendor_lets_and_the_rest_later(bench: Bench) -> None:
    for at in range(17):
        bench.market.report(file(opening("1.00", name=str(at)), entry("1.00", name=str(at))))
    walk, found, cursor = bench.connector.poll("settlements", None), list[Record](), dict[str, Any]()
    for page in islice(walk, 15 * 2):
        found, cursor = [*found, *page.records], page.cursor
    with pytest.raises(ThrottledError) as raised:
        next(walk)
    assert raised.value.retry_after == pytest.approx(1 / 0.0167)
    assert len(found) == 2 * 15
    bench.advance(3600)
    assert len([record for page in bench.pages(cursor) for record in page.records]) == 2 * 2


def test_a_document_at_a_strange_place_or_of_a_strange_kind_is_not_read(bench: Bench) -> None:
    name = bench.market.report(file(opening("1.00"), entry("1.00")))
    bench.market.documents[f"amzn1.spdoc.{name}"].content = b"no gzip"
    with pytest.raises(UnreadableError, match="no gzip"):
        bench.pages()
    bench.market.store = "https://elsewhere.example"
    with pytest.raises(UnreadableError, match="no store of Amazon's"):
        bench.pages()


def test_an_address_that_ran_out_is_an_outage_and_shows_no_signature(bench: Bench) -> None:
    bench.market.report(file(opening("1.00"), entry("1.00")))
    bench.market.good_for = -1.0
    with pytest.raises(UnavailableError, match="ran out") as raised:
        bench.pages()
    assert "X-Amz-Signature" not in str(raised.value.evidence)


def test_a_long_report_is_read_page_by_page(bench: Bench) -> None:
    bench.market.report(file(opening("1200.00"), *(entry("1.00", order_id=str(at)) for at in range(1200))))
    pages = bench.pages()
    assert [len(page.records) for page in pages] == [500, 500, 201, 0]


@pytest.mark.parametrize(
    ("text", "currency", "value"),
    [
        ("1,234.56", "USD", "1234.56"), ("1.234,56", "EUR", "1234.56"), ("-12,3", "EUR", "-12.30"), ("1 234,50", "EUR", "1234.50"),
        ("12", "USD", "12.00"),
        ("1.234.567", "USD", "1234567.00"), ("1,234", "JPY", "1234"), ("-0.00", "USD", "0.00"), ("1234.567", "KWD", "1234.567"),
    ],
)  # fmt: skip
def test_amounts_are_read_as_each_marketplace_writes_them(text: str, currency: str, value: str) -> None:
    assert str(amount(text, currency)) == value


@pytest.mark.parametrize(
    "text", ["", "1,234", "1.234", "1,23,4", "1e5", "NaN", "--1", "1.2.3", "1,234,56", "0x1", "1.005"]
)
def test_what_is_no_amount_or_may_be_two_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="'"):
        amount(text, "USD")


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-11-10T05:23:19+00:00", 5), ("2026-11-10 05:23:19 UTC", 5), ("10.11.2026 05:23:19 UTC", 5), ("2026/11/10 14:23:19 JST", 5),
        ("10.11.2026 06:23:19 MEZ", 5), ("2026-11-09T22:23:19-07:00", 5), ("2026-11-09 22:23:19 PDT", 5), ("2026-11-10", 0),
    ],
)  # fmt: skip
def test_instants_are_read_as_each_marketplace_writes_them(text: str, hour: int) -> None:
    found = instant(text)
    assert (found.month, found.day, found.hour, found.tzinfo) == (11, 10, hour, UTC)


@pytest.mark.parametrize(
    "text", ["", "10/11/2026", "10.11.26", "2026-13-01", "2026-11-10 05:23:19 IST", "yesterday", "10-11-2026 05:00"]
)
def test_what_is_no_instant_or_may_be_two_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        instant(text)


def test_a_type_that_is_not_known_is_told_as_other() -> None:
    assert kind({"transaction-type": "Something new", "amount-type": "Whatever"}) == "other"
    assert kind({"transaction-type": "Chargeback Refund", "amount-type": "ItemPrice"}) == "dispute"


def test_blank_lines_are_passed_over() -> None:
    assert len(list(rows(enumerate([*file(opening("1.00")).decode().split("\r\n"), "", line()], 1)))) == 1
