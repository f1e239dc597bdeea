"""Till files with the habits of real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from controlplane.connectors.builtin.till_files.connector import PAGE, TillFilesConnector
from controlplane.connectors.builtin.till_files.fields import amount
from controlplane.connectors.builtin.till_files.folder import LARGEST
from controlplane.connectors.codes import MappedCodes
from controlplane.connectors.contract import Draft, Page, Record, UnmappedError
from controlplane.errors import BadInputError, UnavailableError, UnreadableError
from rules.model.messages import parse
from rules.policy.kinds import MappingSpec
from tests.controlplane.connectors.conftest import Given, Retailer

HEADER = "store;receipt;line;plu;qty;unit_price;sold_at"
ROW = "ST1;ST1-000001;1;900007;2;1.019,90;2026-11-27T07:05:00+01:00"


@pytest.fixture
def connector(tmp_path: Path) -> TillFilesConnector:
    return TillFilesConnector(Given(str(tmp_path)).context())


def drop(folder: Path, content: str | bytes, name: str = "sales_ST1_1.csv") -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def last(pages: list[Page]) -> Page:
    return pages[-1]


def one(connector: TillFilesConnector) -> Draft:
    (record,) = [record for page in connector.poll("sales", None) for record in page.records]
    (draft,) = connector.translate(record.topic, record.body)
    return draft


def test_a_row_becomes_a_sale_with_a_decimal_price_and_utc_time(connector: TillFilesConnector, tmp_path: Path) -> None:
    drop(tmp_path, f"{HEADER}\n{ROW}\n")
    draft = one(connector)
    assert (draft.subject, draft.dedupe_key) == ("ST1/ST1-000001/1", "sale.recorded:ST1/ST1-000001/1")
    assert draft.data["unit_price"] == "1019.90"
    assert draft.occurred_at.isoformat() == "2026-11-27T06:05:00+00:00"
    parse("sale.recorded", draft.data)


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeff{HEADER}\r\n{ROW}\r\n",
        f"{HEADER}\n\n{ROW}\n   \n",
        f"{HEADER.upper()}\n{ROW.replace('900007', chr(34) + '900007' + chr(34))}\n",
        f"{HEADER}\n{ROW}\n".replace(";", "\t"),
    ],
    ids=["bom and crlf", "blank lines", "capitals and quotes", "tabs"],
)
def test_real_files_are_read(connector: TillFilesConnector, tmp_path: Path, content: str) -> None:
    drop(tmp_path, content)
    assert one(connector).data["sku"] == "900007"


def test_a_link_among_the_till_files_is_not_followed(connector: TillFilesConnector, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(f"{HEADER}\n{ROW}\n")
    (tmp_path / "sales_ST1_1.csv").symlink_to(tmp_path / "elsewhere")
    assert [record for page in connector.poll("sales", None) for record in page.records] == []


def test_a_file_in_latin_1_is_read(connector: TillFilesConnector, tmp_path: Path) -> None:
    drop(tmp_path, f"{HEADER};kassenkraft\n{ROW};Jürgen\n".encode("latin-1"))
    assert one(connector).data["quantity"] == 2


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("ST1;R;1;900007;two;9,90;2026-11-27T06:05:00Z", "'two' is no amount"),
        ("ST1;R;1;900007;0;9,90;2026-11-27T06:05:00Z", "not a whole number other than 0"),
        ("ST1;R;1;900007;1E999999999;9,90;2026-11-27T06:05:00Z", "'1E999999999' is no amount"),
        ("ST1;R;1;900007;1;1E999999999;2026-11-27T06:05:00Z", "'1E999999999' is no amount"),
        ("ST1;R;1;900007;1;1E-999999999;2026-11-27T06:05:00Z", "'1E-999999999' is no amount"),
        ("ST1;" + "R" * 200_000, "2 fields and the header 7"),
        ("ST1;R;1;900007;NaN;9,90;2026-11-27T06:05:00Z", "'NaN' is no amount"),
        ("ST1;R;1;900007;1;9,90;2026-11-27T06:05:00", "names no time zone"),
        ("ST1;R;1;900007;1;9,90", "6 fields and the header 7"),
        ("ST1;R;1;;1;9,90;2026-11-27T06:05:00Z", "nothing in plu"),
    ],
)
def test_a_malformed_row_spoils_only_itself(connector: TillFilesConnector, tmp_path: Path, row: str, told: str) -> None:
    drop(tmp_path, f"{HEADER}\n{row}\n{ROW}\n")
    bad, good = (record for page in connector.poll("sales", None) for record in page.records)
    with pytest.raises(BadInputError, match=told):
        connector.translate(bad.topic, bad.body)
    assert connector.translate(good.topic, good.body)


def test_a_file_that_cannot_be_read_keeps_none_behind_it_and_is_tried_again(
    connector: TillFilesConnector, tmp_path: Path
) -> None:
    for at in range(3):
        drop(tmp_path, f"{HEADER}\n{ROW.replace('000001', f'00000{at}')}\n", f"sales_ST1_{at}.csv")
    pages = connector.poll("sales", None)
    got = [next(pages)]
    (tmp_path / "sales_ST1_1.csv").unlink()  # somebody takes it away between the list and the reading
    with pytest.raises(UnavailableError, match="cannot be read"):
        got.extend(pages)
    assert sum(len(page.records) for page in got) == 2
    assert got[-1].cursor["done"] == ["sales_ST1_0.csv", "sales_ST1_2.csv"]


def test_a_large_file_comes_in_pages_and_counts_as_read_after_the_last(
    connector: TillFilesConnector, tmp_path: Path
) -> None:
    drop(tmp_path, HEADER + "\n" + "".join(f"{ROW.replace('ST1-000001', f'R{n}')}\n" for n in range(PAGE + 1)))
    pages = list(connector.poll("sales", None))
    assert [len(page.records) for page in pages if page.records] == [PAGE, 1]
    assert [page.cursor["done"] for page in pages[:2]] == [[], []]
    assert last(pages).cursor["done"] == ["sales_ST1_1.csv"]


def test_a_file_with_the_line_ends_of_an_old_till_is_read(connector: TillFilesConnector, tmp_path: Path) -> None:
    drop(tmp_path, f"{HEADER}\r{ROW}\r")
    (_,) = connector.poll("sales", None)
    cursor = {"done": [], "growing": {"sales_ST1_1.csv": len(HEADER) + len(ROW) + 2}}
    (record,) = [record for page in connector.poll("sales", cursor) for record in page.records]
    assert connector.translate(record.topic, record.body)[0].subject == "ST1/ST1-000001/1"


def test_a_header_that_lacks_a_column_is_named(connector: TillFilesConnector, tmp_path: Path) -> None:
    drop(tmp_path, f"{HEADER.replace('plu;', '')}\n{ROW}\n")
    with pytest.raises(BadInputError, match="lacks plu"):
        one(connector)


UNITS = {"ST": "EA", "KT": "12 EA"}


@pytest.fixture
def coded(tmp_path: Path) -> Callable[..., TillFilesConnector]:
    """Make a connector of tills with Mapping policies."""

    def make(strict: bool = True) -> TillFilesConnector:
        specs = {
            "unit": MappingSpec(system="theirs", entity="unit", codes=UNITS, strict=strict),
            "tax_code": MappingSpec(system="theirs", entity="tax_code", codes={"A": "STD"}),
        }
        return TillFilesConnector(replace(Given(str(tmp_path)).context(), codes=MappedCodes("theirs", specs)))

    return make


WIDE = f"{HEADER};unit;tax_code"


def test_a_row_without_unit_and_tax_code_counts_pieces(
    coded: Callable[..., TillFilesConnector], tmp_path: Path
) -> None:
    drop(tmp_path, f"{WIDE}\n{ROW};;\n")
    data = one(coded()).data
    assert (data["quantity"], data["unit_price"], data["tax_code"]) == (2, "1019.90", None)


def test_cartons_become_pieces_at_the_price_of_one(coded: Callable[..., TillFilesConnector], tmp_path: Path) -> None:
    drop(tmp_path, f"{WIDE}\n{ROW.replace('1.019,90', '30,00')};KT;A\n")
    data = one(coded()).data
    assert (data["quantity"], Decimal(data["unit_price"]), data["tax_code"]) == (24, Decimal("2.5"), "STD")


@pytest.mark.parametrize(("columns", "entity"), [("PAL;A", "unit"), ("ST;Z", "tax_code")])
def test_a_unit_or_tax_code_that_nobody_mapped_is_named(
    coded: Callable[..., TillFilesConnector], tmp_path: Path, columns: str, entity: str
) -> None:
    drop(tmp_path, f"{WIDE}\n{ROW};{columns}\n")
    with pytest.raises(UnmappedError) as raised:
        one(coded())
    assert (raised.value.entity, raised.value.code) == (entity, columns.split(";")[0 if entity == "unit" else 1])


def test_a_unit_that_a_lenient_mapping_lets_pass_is_still_no_number_of_pieces(
    coded: Callable[..., TillFilesConnector], tmp_path: Path
) -> None:
    drop(tmp_path, f"{WIDE}\n{ROW};PAL;A\n")
    with pytest.raises(UnmappedError, match="PAL"):
        one(coded(strict=False))


def test_each_file_is_read_once_and_stays_where_it_is(connector: TillFilesConnector, tmp_path: Path) -> None:
    drop(tmp_path, f"{HEADER}\n{ROW}\n")
    drop(tmp_path, "half", name="sales_ST1_2.part")
    cursor = last(list(connector.poll("sales", None))).cursor
    drop(tmp_path, f"{HEADER}\n{ROW}\n", name="sales_ST1_3.csv")
    records = [record for page in connector.poll("sales", cursor) for record in page.records]
    assert [record.event_key for record in records] == ["sales:sales_ST1_3.csv:2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "sales_ST1_1.csv",
        "sales_ST1_2.part",
        "sales_ST1_3.csv",
    ]


def test_a_file_that_is_still_being_written_waits(connector: TillFilesConnector, tmp_path: Path) -> None:
    drop(tmp_path, f"{HEADER}\n{ROW[:20]}")
    page = last(list(connector.poll("sales", None)))
    assert page.records == ()
    drop(tmp_path, f"{HEADER}\n{ROW}")
    grown = last(list(connector.poll("sales", page.cursor)))
    assert grown.records == ()
    read = [record for page in connector.poll("sales", grown.cursor) for record in page.records]
    assert len(read) == 1


# --- the tills' own totals ---
Z = "store;opened_at;closed_at;lines;total"
DAY = "ST1;2026-11-27T07:00:00+01:00;2026-11-27T20:00:00+01:00"
LATER = "ST1;ST1-000002;1;900007;-1;19,90;2026-11-27T08:05:00+01:00"


def told(connector: TillFilesConnector, cursor: dict[str, Any] | None = None) -> tuple[list[Record], dict[str, Any]]:
    pages = list(connector.poll("sales", cursor))
    return [record for page in pages for record in page.records], pages[-1].cursor


@pytest.mark.parametrize("row", [f"{DAY};2;2.019,90", f"{DAY.replace('ST1', 'ST2', 1)};0;0,00"])
def test_a_z_report_that_the_files_agree_with_is_done_with(
    connector: TillFilesConnector, tmp_path: Path, row: str
) -> None:
    drop(tmp_path, f"{HEADER}\n{ROW}\n{LATER}\n")
    drop(tmp_path, f"{Z}\n{row}\n", name="z_1.csv")
    records, cursor = told(connector)
    assert [len(connector.translate(one.topic, one.body)) for one in records] == [1, 1, 0]
    assert cursor["done"] == ["sales_ST1_1.csv", "z_1.csv"]


def test_a_z_report_waits_for_its_files_and_then_for_a_person_until_they_are_there(tmp_path: Path) -> None:
    given = Given(str(tmp_path))
    connector = TillFilesConnector(given.context())
    drop(tmp_path, f"{HEADER}\n{ROW}\n")
    drop(tmp_path, f"{Z}\n{DAY};2;2.019,90\n", name="z_1.csv")
    records, cursor = told(connector)
    assert [one.topic for one in records] == ["sales"]
    given.clock.advance(29 * 60)
    records, cursor = told(connector, cursor)
    assert records == []
    given.clock.advance(2 * 60)
    [record], cursor = told(connector, cursor)
    with pytest.raises(BadInputError, match=r"closed with 2 lines and 2019.90 USD, and the files hold 1 and 2039.80"):
        connector.translate(record.topic, record.body)
    assert told(connector, cursor)[0] == [], "it is told once"
    drop(tmp_path, f"{HEADER}\n{LATER}\n", name="sales_ST1_2.csv")
    assert connector.translate(record.topic, record.body) == [], "replayed, it agrees"


@pytest.mark.parametrize(
    ("row", "names"),
    [
        (f"{DAY};2,5;1", "is no number of lines"), (f"{DAY};x;1", "is no amount"), ("ST1;2026-11-27;2026-11-28;1;1", "no time zone"),
        ("ST1;2026-11-28T00:00:00Z;2026-11-27T00:00:00Z;1;1", "closed before it opened"), ("ST1;1", "has 2 fields"),
    ],
)  # fmt: skip
def test_a_z_report_that_cannot_be_read_is_refused_at_once(
    connector: TillFilesConnector, tmp_path: Path, row: str, names: str
) -> None:
    drop(tmp_path, f"{Z}\n{row}\n", name="z_1.csv")
    [record], _ = told(connector)
    with pytest.raises(BadInputError, match=names):
        connector.translate(record.topic, record.body)


# --- bad files beside good ones ---
def test_a_file_that_cannot_be_read_is_told_and_holds_up_no_other(
    connector: TillFilesConnector, tmp_path: Path
) -> None:
    with (tmp_path / "sales_0.csv").open("wb") as large:
        large.truncate(LARGEST + 1)
    drop(tmp_path, f"{HEADER}\n{ROW}\n", name="sales_1.csv")
    pages: list[Page] = []
    with pytest.raises(UnavailableError, match=r"sales_0\.csv is larger than"):
        pages += connector.poll("sales", None)
    coming = connector.poll("sales", None)
    assert [one.event_key for one in next(coming).records] == ["sales:sales_1.csv:2"]


def test_a_row_that_no_reader_of_csv_takes_is_refused_by_name(connector: TillFilesConnector, tmp_path: Path) -> None:
    drop(tmp_path, f"{HEADER}\n{ROW}{'9' * 200_000}\n")
    [record], _ = told(connector)
    with pytest.raises(BadInputError, match="is no instant") as refused:
        connector.translate(record.topic, record.body)
    assert len(str(refused.value)) < 200


def test_an_encoding_that_there_is_not_is_named(tmp_path: Path) -> None:
    drop(tmp_path, f"{HEADER}\n{ROW}\n")
    connector = TillFilesConnector(Given(str(tmp_path), options={"encoding": "utf-9"}).context())
    with pytest.raises(UnavailableError, match="there is no encoding 'utf-9'"):
        list(connector.poll("sales", None))


def test_a_folder_that_is_not_there_is_unavailable_not_empty(tmp_path: Path) -> None:
    connector = TillFilesConnector(Given(str(tmp_path / "gone")).context())
    with pytest.raises(UnavailableError, match="create or mount it"):
        list(connector.poll("sales", None))


def test_the_pack_maps_every_plu_of_the_sandbox_and_no_other(retailer: Retailer) -> None:
    goods = retailer.sandbox.control("GET", "/catalogue").json()["items"]
    codes = retailer.connector("tills").context.codes
    assert {codes.ours("sku", item["plu"]) for item in goods} == {item["sku"] for item in goods}
    with pytest.raises(UnmappedError, match="999999"):
        codes.ours("sku", "999999")


def test_the_mapping_holds_for_two_hundred_articles(retailer: Retailer) -> None:
    from controlplane.sandbox.catalogue import make_item

    codes = retailer.connector("tills").context.codes
    items = [make_item(number) for number in range(1, 201)]
    assert [codes.ours("sku", item.plu) for item in items] == [item.sku for item in items]


# --- what the stores count ---
COUNTED = (
    "store;plu;on_hand;counted_at\nST1;900007;12;2026-11-27T07:00:00+01:00\nST1;900008;0;2026-11-27T07:00:00+01:00\n"
)


def test_the_stock_that_a_store_counted_last_is_read_as_levels(connector: TillFilesConnector, tmp_path: Path) -> None:
    drop(tmp_path, COUNTED, "stock_ST1.csv")
    drop(tmp_path, COUNTED.replace("ST1;900007;12", "ST2;900007;5"), "stock_ST2.csv")
    pages = list(connector.snapshot("stock"))
    assert [[(one.sku, one.location, one.on_hand, one.available) for one in page] for page in pages] == [
        [("900007", "ST1", 12, None), ("900008", "ST1", 0, None)],
        [("900007", "ST2", 5, None), ("900008", "ST1", 0, None)],
    ]
    assert str(pages[0][0].source_at) == "2026-11-27 06:00:00+00:00"


def test_of_a_count_only_the_keys_that_are_asked_for_are_read(connector: TillFilesConnector, tmp_path: Path) -> None:
    drop(tmp_path, COUNTED, "stock_ST1.csv")
    [[level]] = connector.snapshot("stock", [("900008", "ST1"), ("900007", "ST2")])
    assert (level.sku, level.on_hand) == ("900008", 0)


def test_a_store_that_never_counted_is_unread_and_not_empty(connector: TillFilesConnector) -> None:
    with pytest.raises(UnavailableError, match=r"stock_\*\.csv"):
        list(connector.snapshot("stock"))


@pytest.mark.parametrize(
    "row", ["ST1;900007;x;2026-11-27T07:00:00Z", "ST1;900007;1,5;2026-11-27T07:00:00Z", "ST1;900007;1"]
)
def test_a_count_with_a_row_that_cannot_be_read_is_not_read_at_all(
    connector: TillFilesConnector, tmp_path: Path, row: str
) -> None:
    drop(tmp_path, f"{COUNTED}{row}\n", "stock_ST1.csv")
    with pytest.raises(UnreadableError, match="line 4"):
        list(connector.snapshot("stock"))


@pytest.mark.parametrize(("text", "worth"), [
    ("19,90", "19.90"), ("19.90", "19.90"), ("-19,90", "-19.90"), ("1.019,90", "1019.90"), ("1 019,90", "1019.90"), ("1019,90", "1019.90"),
    ("1,019.90", "1019.90"), ("1,234,567.89", "1234567.89"), ("1.234.567,89", "1234567.89"), ("1,234", "1.234"),
])  # fmt: skip
def test_an_amount_is_read_with_either_sign_before_its_decimals(text: str, worth: str) -> None:
    assert amount(text, "sales_1.csv line 2", "unit_price") == Decimal(worth)


@pytest.mark.parametrize("text", ["1,01.90", "1.01,90", "1,234,567", "1,2.3,4", "1.234,", "12,34.56,78", "zehn", ""])
def test_what_may_be_two_amounts_or_is_none_is_refused_by_its_row(text: str) -> None:
    with pytest.raises(BadInputError, match=r"sales_1\.csv line 2: .* is no amount"):
        amount(text, "sales_1.csv line 2", "unit_price")
