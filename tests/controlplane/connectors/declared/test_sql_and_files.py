"""Databases and drop folders by a manifest: real databases, real files."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from openpyxl import Workbook
from sqlalchemy import make_url, text
from typer.testing import CliRunner

from controlplane.connectors.commands import app
from controlplane.connectors.contract import Draft, Page, Record, Write
from controlplane.connectors.declared.checks import check
from controlplane.connectors.declared.connector import DeclaredConnector
from controlplane.connectors.declared.sql import strange
from controlplane.connectors.folders import LocalFolders, aside_of
from controlplane.errors import BadInputError, RejectedError, SettingsError, UnavailableError, UnreadableError
from controlplane.store import Store
from rules.model.messages import parse
from rules.outcomes import Result
from tests.controlplane.connectors.conftest import Given

SCAFFOLDS = Path(__file__).parents[4] / "controlplane" / "connectors" / "declared" / "scaffolds"


def scaffold(kind: str) -> dict[str, Any]:
    """The manifest that `trueup connector new` begins."""
    found: dict[str, Any] = yaml.safe_load((SCAFFOLDS / f"{kind}.yaml").read_text())["spec"]["options"]["manifest"]
    return found


def drafts(connector: DeclaredConnector, entity: str, cursor: dict[str, Any] | None = None) -> list[Draft]:
    return [draft for one in polled(connector, entity, cursor)[0] for draft in connector.translate(one.topic, one.body)]


def polled(
    connector: DeclaredConnector, entity: str, cursor: dict[str, Any] | None = None
) -> tuple[list[Record], dict[str, Any]]:
    pages = list(connector.poll(entity, cursor))
    return [record for page in pages for record in page.records], pages[-1].cursor if pages else {}


# --- a database ---

ROWS = [(f"A{n}", "WH1", 10 + n, n, f"2026-11-27T05:0{n}:00Z") for n in range(5)]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "their stock.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE stock (sku TEXT, location TEXT, on_hand INT, reserved INT, changed TEXT)")
        connection.executemany("INSERT INTO stock VALUES (?, ?, ?, ?, ?)", ROWS)
    connection.close()
    return path


def sql(endpoint: str, secrets: dict[str, str] | None = None, **read: Any) -> DeclaredConnector:
    manifest = scaffold("sql")
    manifest["reads"][0] |= read
    return DeclaredConnector(Given(endpoint, secrets or {}, {"manifest": manifest}, timeout=5.0).context())


def test_rows_of_a_query_become_messages_and_levels_and_a_later_poll_asks_by_the_time_of_change(database: Path) -> None:
    connector = sql(f"sqlite:///{database}", size=2)
    connector.ping()
    pages = list(connector.poll("stock", None))
    assert [len(page.records) for page in pages[:3]] == [2, 2, 1]
    assert pages[0].cursor == {"since": "2026-11-27T05:01:00+00:00"}, (
        "rows come in the order of their change, so a page moves it"
    )
    found = [parse(draft.type, draft.data) for draft in drafts(connector, "stock")]
    assert [(one.sku, one.on_hand, one.available) for one in found] == [(f"A{n}", 10 + n, 10) for n in range(5)]  # type: ignore[attr-defined]
    assert len(drafts(connector, "stock", {"since": "2026-11-27T05:09:00+00:00"})) == 1, "five minutes of overlap"
    levels = [one for page in connector.snapshot("stock") for one in page]
    assert [(one.sku, one.available) for one in levels] == [(f"A{n}", 10) for n in range(5)]
    connector.close()


def test_a_database_is_read_only_whatever_the_query_is(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE VIEW trap AS SELECT sku FROM stock")
    connection.close()
    with pytest.raises(BadInputError, match="something else than one SELECT"):
        sql(f"sqlite:///{database}", query="DELETE FROM stock", params={})
    before = database.read_bytes()
    sneaky = sql(
        f"sqlite:///{database}",
        query="WITH x AS (SELECT 1) DELETE FROM stock WHERE 1 RETURNING *",
        params={},
        since=None,
    )
    with pytest.raises(RejectedError, match="readonly"):
        polled(sneaky, "stock")
    assert database.read_bytes() == before
    assert sneaky.write(Write("stock", "s", "k", {}, "s")).result is Result.REJECTED


@pytest.mark.parametrize(("change", "rule"), [
    ({"query": "SELECT 1; DROP TABLE stock", "params": {}}, "something else than one SELECT"),
    ({"query": "/* SELECT */ UPDATE stock SET on_hand = 0", "params": {}}, "something else than one SELECT"),
    ({"params": {}}, "`query` takes :since"),
])  # fmt: skip
def test_a_query_that_is_no_select_or_lacks_a_parameter_is_refused(change: dict[str, Any], rule: str) -> None:
    manifest = scaffold("sql")
    manifest["reads"][0] |= change
    [(path, told, remedy)] = check("sqlite:////x.db", {"manifest": manifest})
    assert path == ("options", "manifest", "reads", "0")
    assert rule in told
    assert remedy


def test_a_query_that_the_database_refuses_is_told_and_a_missing_database_is_not_made(
    tmp_path: Path, database: Path
) -> None:
    with pytest.raises(RejectedError, match=r"no such column: colour.*correct the query"):
        polled(sql(f"sqlite:///{database}", query="SELECT colour FROM stock", params={}, since=None), "stock")
    with pytest.raises(UnavailableError, match="is not there"):
        sql(f"sqlite:///{tmp_path}/other.db")
    assert not (tmp_path / "other.db").exists()


def test_a_password_does_not_stand_in_the_endpoint() -> None:
    with pytest.raises(SettingsError, match="holds a password") as raised:
        sql("postgresql://reader:pass-word@db.example/retail")
    assert "pass-word" not in str(raised.value)


@pytest.mark.parametrize(
    "more", ["port=5433", "host=127.0.0.1:5433", "hostaddr=10.0.0.1", "service=x", "options=-c%20a=b"]
)
def test_what_could_lead_past_the_checked_address_does_not_stand_in_the_endpoint(more: str) -> None:
    url = f"postgresql://reader@db.example/retail?sslmode=require&{more}"
    with pytest.raises(SettingsError, match=f"'{more.partition('=')[0]}' could lead past what was checked"):
        sql(url)
    found = [(path, remedy) for path, _, remedy in check(url, {"manifest": scaffold("sql"), "currency": "EUR"})]
    assert (("endpoint",), "write those, and nothing beside") in found


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///retail", "postgresql://reader@/retail", "postgresql+psycopg://reader@:5432/retail", "mysql+pymysql:///retail",
        "mssql+pyodbc://reader@/retail?driver=ODBC+Driver+18", "oracle+oracledb://",
    ],
)  # fmt: skip
def test_an_endpoint_without_a_host_is_no_way_to_a_socket_of_this_machine(url: str) -> None:
    with pytest.raises(SettingsError, match="'lack of a host' could lead past what was checked"):
        sql(url)
    flaws = [path for path, _, _ in check(url, {"manifest": scaffold("sql"), "currency": "EUR"})]
    assert ("endpoint",) in flaws


def test_the_name_of_a_driver_says_nothing_of_where_to_connect() -> None:
    with pytest.raises(SettingsError, match="'driver' could lead past"):
        sql("mssql+pyodbc://reader@db.example/retail?driver=ODBC+Driver+18%7D%3BSERVER%3D127.0.0.1%3BX%3D%7B")
    assert not strange(make_url("mssql+pyodbc://reader@db.example/retail?driver=ODBC+Driver+18+for+SQL+Server"))


def test_postgresql_is_read_by_the_checked_address_in_a_transaction_that_is_read_only(postgresql_store: Store) -> None:
    url = postgresql_store.engine.url
    schema = str(dict(url.query)["options"]).rpartition("=")[2]
    with postgresql_store.engine.begin() as connection:
        connection.execute(text("CREATE SEQUENCE IF NOT EXISTS their_count"))
        connection.execute(text("DROP TABLE IF EXISTS their_stock"))
        connection.execute(text("CREATE TABLE their_stock (sku text, price numeric(12, 4), at timestamptz, raw bytea)"))
        connection.execute(text("INSERT INTO their_stock VALUES ('A1', 19.9900, '2026-11-27T05:00:00Z', '\\x00ff')"))
    endpoint = url.set(password=None, query={}).render_as_string(False)
    manifest = {
        "kind": "sql", "title": "x", "reads": [{
            "entity": "items", "query": f"SELECT * FROM {schema}.their_stock WHERE at >= :since", "identity": "sku",  # noqa: S608
            "params": {"since": {"path": "since", "default": "1970-01-01"}}, "since": {"field": "at"},
            "messages": [{"type": "product.described", "version": "at", "fields": {
                "sku": "sku", "title": "raw", "unit_cost": None, "unit_price": "price", "currency": {"value": "EUR"},
            }}],
        }],
    }  # fmt: skip
    secrets = {"password": url.password} if url.password else {}
    context = Given(endpoint, secrets, {"manifest": manifest}, timeout=5.0).context()
    connector = DeclaredConnector(context)
    try:
        [draft] = drafts(connector, "items")
        assert (draft.data["unit_price"], draft.data["title"]) == ("19.9900", "00ff")
        manifest["reads"][0]["query"] = f"SELECT nextval('{schema}.their_count') AS sku"  # type: ignore[index]
        with pytest.raises(RejectedError, match="read-only"):
            polled(DeclaredConnector(context), "items")
        closed = Given(endpoint, secrets, {"manifest": manifest}, internal=frozenset()).context()
        with pytest.raises(UnavailableError, match="no connection was made"):
            polled(DeclaredConnector(closed), "items")
    finally:
        connector.close()
        with postgresql_store.engine.begin() as connection:
            connection.execute(text("DROP TABLE their_stock"))
            connection.execute(text("DROP SEQUENCE their_count"))


# --- files ---

HEAD = "store;receipt;line;article;pieces;price;sold_at"
LINES = ["S1;R1;1;A1;2;9.90;2026-11-27T05:00:00", "S1;R1;2;A2;1;0.50;2026-11-27T05:00:00"]


def files(folder: Path, **read: Any) -> DeclaredConnector:
    manifest = scaffold("files")
    manifest["reads"][0] |= read
    return DeclaredConnector(Given(str(folder), {}, {"manifest": manifest, "currency": "EUR"}).context())


def drop(folder: Path, name: str, *lines: str) -> None:
    (folder / name).write_text("\n".join((HEAD, *lines)) + "\n", encoding="utf-8")


def test_a_file_is_read_once_it_has_stopped_growing_and_never_again(tmp_path: Path) -> None:
    connector = files(tmp_path)
    drop(tmp_path, "sales_1.csv", *LINES)
    drop(tmp_path, "other.csv", *LINES)
    records, cursor = polled(connector, "sales")
    assert records == [], "it may still be written"
    drop(tmp_path, "sales_1.csv", *LINES, "S1;R2;1;A1;-1;9.90;2026-11-27T05:10:00")
    records, cursor = polled(connector, "sales", cursor)
    assert records == [], "it has grown"
    records, cursor = polled(connector, "sales", cursor)
    told = [draft for one in records for draft in connector.translate(one.topic, one.body)]
    assert [(draft.subject, draft.data["quantity"], draft.data["unit_price"]) for draft in told] == [
        ("S1/R1/1", 2, "9.90"), ("S1/R1/2", 1, "0.50"), ("S1/R2/1", -1, "9.90"),
    ]  # fmt: skip
    assert polled(connector, "sales", cursor) == ([], cursor)
    (tmp_path / "sales_1.csv").unlink()
    assert polled(connector, "sales", cursor)[1] == {"done": [], "sizes": {}}


def test_equal_lines_of_a_file_are_two_records_and_the_same_file_read_twice_is_one(tmp_path: Path) -> None:
    connector = files(tmp_path)
    drop(tmp_path, "sales_1.csv", LINES[0], LINES[0])
    _, cursor = polled(connector, "sales")
    first, again = polled(connector, "sales", cursor)[0], polled(connector, "sales", cursor)[0]
    assert len({one.event_key for one in first}) == 2
    assert [one.event_key for one in first] == [one.event_key for one in again]


def test_a_link_in_a_folder_is_no_file_of_it(tmp_path: Path) -> None:
    """A partner who may put files there by SFTP may put links there, too: to the plane's secrets, and in the way of what it writes."""
    folder, secret = tmp_path / "drop", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("\n".join((HEAD, *LINES)) + "\n")
    (folder / "sales_1.csv").symlink_to(secret)
    connector, cursor = files(folder), None
    for _ in range(3):
        pages = list(connector.poll("sales", cursor))
        assert [record for page in pages for record in page.records] == []
        cursor = pages[-1].cursor
    local = LocalFolders(folder)
    assert (local.entries(""), local.exists("sales_1.csv")) == ([], False)
    with pytest.raises(UnavailableError, match="symbolic links"):
        local.read("sales_1.csv", 1000)
    (folder / aside_of("850.edi")).symlink_to(secret)
    with pytest.raises(UnavailableError, match="symbolic links"):
        local.aside("850.edi", b"ISA")
    assert secret.read_text().startswith(HEAD)


def test_a_page_within_a_file_does_not_count_it_as_done(tmp_path: Path) -> None:
    connector = files(tmp_path, size=1)
    drop(tmp_path, "sales_1.csv", *LINES)
    _, cursor = polled(connector, "sales")
    pages = list(connector.poll("sales", cursor))
    assert [page.cursor["done"] for page in pages if page.records] == [[], []]
    assert len(polled(connector, "sales", pages[0].cursor)[0]) == 2, (
        "after a restart in the middle it is read from its start"
    )


def test_a_line_that_cannot_be_taken_apart_waits_for_a_person_and_spoils_no_other(tmp_path: Path) -> None:
    connector = files(tmp_path)
    drop(tmp_path, "sales_1.csv", LINES[0], "S1;R1", LINES[1])
    _, cursor = polled(connector, "sales")
    records, _ = polled(connector, "sales", cursor)
    assert len(records) == 3
    with pytest.raises(BadInputError, match=r"sales_1.csv:3: it has 2 fields and the header 7"):
        connector.translate("sales", records[1].body)
    assert [len(connector.translate("sales", records[at].body)) for at in (0, 2)] == [1, 1]


def test_a_file_in_another_encoding_and_a_folder_that_is_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "sales_1.csv").write_bytes(f"{HEAD}\n".encode() + LINES[0].replace("A1", "Ä").encode("cp1252") + b"\n")
    _, cursor = polled(files(tmp_path), "sales")
    with pytest.raises(UnreadableError, match=r"sales_1.csv is not utf-8-sig"):
        polled(files(tmp_path), "sales", cursor)
    [draft] = drafts(files(tmp_path, encoding="cp1252"), "sales", cursor)
    assert draft.data["sku"] == "Ä"
    with pytest.raises(UnavailableError, match="nowhere: No such file or directory; create or mount the folder"):
        files(tmp_path / "nowhere").ping()


@pytest.mark.parametrize("broken", [b"\xff\xfe", b"head;er\n" + b"x" * 200_000])
def test_a_file_that_cannot_be_read_keeps_none_behind_it_and_is_tried_again(tmp_path: Path, broken: bytes) -> None:
    connector = files(tmp_path)
    drop(tmp_path, "sales_1.csv", LINES[0])
    (tmp_path / "sales_2.csv").write_bytes(broken + b"\n")
    drop(tmp_path, "sales_3.csv", LINES[1])
    _, cursor = polled(connector, "sales")
    got: list[Page] = []
    with pytest.raises(UnreadableError, match=r"sales_2.csv is (not utf-8-sig|no CSV)"):
        got.extend(connector.poll("sales", cursor))
    cursor = got[-1].cursor
    assert sum(len(page.records) for page in got) == 2
    assert cursor["done"] == ["sales_1.csv", "sales_3.csv"]
    with pytest.raises(UnreadableError):
        polled(connector, "sales", cursor)
    drop(tmp_path, "sales_2.csv", "S1;R9;1;A1;2;9.90;2026-11-27T05:00:00")
    _, cursor = polled(connector, "sales", cursor)
    assert len(polled(connector, "sales", cursor)[0]) == 1


FIELDS = {
    "sku": "sku", "location": {"value": "WH1"}, "on_hand": {"path": "count", "as": "integer"}, "allocated": 0, "in_transit": 0,
    "available": {"path": "count", "as": "integer"}, "source_at": {"path": "at", "as": "instant", "zone": "Europe/Berlin"},
}  # fmt: skip


def stock_files(folder: Path, **read: Any) -> DeclaredConnector:
    levels = {"sku": "sku", "location": {"value": "WH1"}, "on_hand": {"path": "count", "as": "integer"}}
    message = {"type": "stock.level", "version": "at", "fields": FIELDS}
    told = {"entity": "stock", "identity": "sku", "messages": [message], "levels": levels, **read}
    manifest = {"kind": "files", "title": "Stock", "reads": [told]}
    return DeclaredConnector(Given(str(folder), {}, {"manifest": manifest}).context())


def _json_lines(path: Path) -> None:
    rows = [
        {"sku": "A1", "count": 5, "at": "2026-11-27T06:00:00"},
        {"sku": "A2", "count": 7, "at": "2026-11-27T06:00:00"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")


def _excel(path: Path) -> None:
    book = Workbook()
    sheet = book.create_sheet("Stock")
    for row in (
        ["a title"],
        ["sku", "count", "at"],
        ["A1", 5, "2026-11-27T06:00:00"],
        [None, None, None],
        ["A2", 7, "2026-11-27T06:00:00"],
    ):
        sheet.append(row)
    book.save(path)


def _fixed(path: Path) -> None:
    path.write_text("A1      52026-11-27T06:00:00\nA2      72026-11-27T06:00:00\n")


def _xml(path: Path) -> None:
    row = "<s:item code='{}'><sku>{}</sku><count>{}</count><at>2026-11-27T06:00:00</at></s:item>"
    items = row.format(1, "A1", 5) + row.format(2, "A2", 7)
    path.write_text(
        f"<?xml version='1.0'?><s:stock xmlns:s='urn:stock'><head><sku>not one</sku></head>{items}</s:stock>"
    )


FORMS: dict[str, tuple[Callable[[Path], None], dict[str, Any]]] = {
    "json_lines": (_json_lines, {"pattern": "*.jsonl"}),
    "excel": (_excel, {"pattern": "*.xlsx", "sheet": "Stock", "header": 2}),
    "xml": (_xml, {"pattern": "*.xml", "record": "item"}),
    "fixed": (_fixed, {"pattern": "*.txt", "columns": [
        {"name": "sku", "at": 1, "length": 6}, {"name": "count", "at": 7, "length": 3}, {"name": "at", "at": 10, "length": 19},
    ]}),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_file_is_read_into_the_same_stock(tmp_path: Path, form: str) -> None:
    write, how = FORMS[form]
    write(tmp_path / how["pattern"].replace("*", "stock_1"))
    connector = stock_files(tmp_path, form=form, **how)
    _, cursor = polled(connector, "stock")
    found = {draft.subject: draft.data for draft in drafts(connector, "stock", cursor)}
    assert {subject: data["on_hand"] for subject, data in found.items()} == {"A1@WH1": 5, "A2@WH1": 7}
    assert found["A1@WH1"]["source_at"] == "2026-11-27T05:00:00Z"
    assert [(one.sku, one.on_hand) for page in connector.snapshot("stock") for one in page] == [("A1", 5), ("A2", 7)]


def test_a_snapshot_is_the_last_file_and_fails_whole_for_one_broken_line(tmp_path: Path) -> None:
    connector = stock_files(tmp_path, form="json_lines", pattern="*.jsonl")
    _json_lines(tmp_path / "stock_1.jsonl")
    (tmp_path / "stock_2.jsonl").write_text('{"sku": "A1", "count": 9}\n')
    assert [(one.sku, one.on_hand) for page in connector.snapshot("stock") for one in page] == [("A1", 9)]
    (tmp_path / "stock_3.jsonl").write_text('{"sku": "A1", "count": 9}\n{"sku": "A2", \n')
    with pytest.raises(UnreadableError, match=r"stock_3.jsonl:2 .*no JSON"):
        list(connector.snapshot("stock"))


def test_a_spreadsheet_that_is_none_or_lacks_its_sheet_is_named(tmp_path: Path) -> None:
    (tmp_path / "stock_1.xlsx").write_bytes(b"PK no archive")
    with pytest.raises(UnreadableError, match="is no spreadsheet"):
        list(stock_files(tmp_path, form="excel", pattern="*.xlsx").snapshot("stock"))
    _excel(tmp_path / "stock_1.xlsx")
    with pytest.raises(UnreadableError, match="has no sheet 'Prices'"):
        list(stock_files(tmp_path, form="excel", pattern="*.xlsx", sheet="Prices").snapshot("stock"))


@pytest.mark.parametrize(("change", "rule"), [
    ({"pattern": "../*.csv"}, "leads out of the folder"), ({"form": "fixed"}, "`columns` say where"),
    ({"form": "xml"}, "`record` says which"), ({"record": "item"}, "`record` says which"),
    ({"encoding": "klingon"}, "no encoding 'klingon'"), ({"since": {"field": "x"}}, "files have no `since`"),
])  # fmt: skip
def test_what_is_no_way_to_read_files_is_refused(change: dict[str, Any], rule: str) -> None:
    manifest = scaffold("files")
    manifest["reads"][0] |= change
    [(_, told, remedy)] = check("/var/drop", {"manifest": manifest, "currency": "EUR"})
    assert rule in told
    assert remedy


@pytest.mark.parametrize("kind", ["sql", "files"])
def test_a_scaffold_is_good_and_its_system_declares_what_it_reads(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "erp.yaml"
    assert CliRunner().invoke(app, ["new", "erp", "--kind", kind, "--out", str(path)]).exit_code == 0
    done = CliRunner().invoke(app, ["check", str(path)])
    assert (done.exit_code, "it writes nothing" in done.stdout) == (0, True), done.stdout


def test_the_last_file_is_tried_live(tmp_path: Path) -> None:
    drop(tmp_path, "sales_1.csv", *LINES)
    system = yaml.safe_load((SCAFFOLDS / "files.yaml").read_text().replace("NAME", "till"))
    system["spec"]["endpoint"] = str(tmp_path)
    (tmp_path / "till.yaml").write_text(yaml.safe_dump(system))
    done = CliRunner().invoke(app, ["try", str(tmp_path / "till.yaml")])
    assert done.exit_code == 0, done.stdout
    assert "canonical  sale.recorded S1/R1/1" in done.stdout
