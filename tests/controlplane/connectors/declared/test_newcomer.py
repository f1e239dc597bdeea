"""Every scaffold as somebody new takes it: begun, checked, pointed at a system of that kind, tried, and told what it cannot promise."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from controlplane.connectors.commands import app
from controlplane.connectors.contract import Write
from controlplane.connectors.declared.connector import DeclaredConnector
from rules.outcomes import Result
from tests.addresses import pairs_of
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.declared.test_soap import xml
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

Begin = Callable[[Callable[[Asked], Reply]], ScriptedServer]
AT = "2026-11-27T05:00:00Z"
SPACE = "urn:example:erp"


def element(name: str, *members: str) -> str:
    return f'<x:element name="{name}"><x:complexType><x:sequence>{"".join(members)}</x:sequence></x:complexType></x:element>'


def member(name: str, kind: str, least: int = 1) -> str:
    return f'<x:element name="{name}" type="x:{kind}" minOccurs="{least}"/>'


def rows(name: str, *members: str) -> str:
    return element(name, *members).replace(f'name="{name}"', f'name="{name}" minOccurs="0" maxOccurs="unbounded"', 1)


OPERATIONS = ("Version", "ListStock", "BookOrder", "FindOrder")
SCHEMA = "".join([
    element("Version"), element("VersionResponse", member("version", "string")),
    element("ListStock", member("from", "int"), member("size", "int"), member("changedSince", "string", 0)),
    element("ListStockResponse", rows(
        "row", member("sku", "string"), member("location", "string"), member("onHand", "decimal"), member("reserved", "decimal", 0),
        member("changed", "dateTime"),
    ), member("total", "int")),
    element("BookOrder", member("reference", "string"), member("currency", "string"),
            rows("lines", member("sku", "string"), member("quantity", "int"))),
    element("BookOrderResponse", member("number", "string")),
    element("FindOrder", member("reference", "string")),
    element("FindOrderResponse", member("number", "string", 0), member("state", "string", 0)),
])  # fmt: skip


def wsdl(address: str) -> bytes:
    """A description of the operations that the scaffold names."""
    messages = "".join(
        f'<message name="{one}In"><part name="p" element="t:{one}"/></message>'
        f'<message name="{one}Out"><part name="p" element="t:{one}Response"/></message>'
        for one in OPERATIONS
    )
    ports = "".join(
        f'<operation name="{one}"><input message="t:{one}In"/><output message="t:{one}Out"/></operation>'
        for one in OPERATIONS
    )
    bound = "".join(
        f'<operation name="{one}"><s:operation soapAction="urn:{one}"/><input><s:body use="literal"/></input>'
        '<output><s:body use="literal"/></output></operation>'
        for one in OPERATIONS
    )
    return f"""<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:t="{SPACE}"
    xmlns:x="http://www.w3.org/2001/XMLSchema" targetNamespace="{SPACE}">
  <types><x:schema targetNamespace="{SPACE}" elementFormDefault="qualified">{SCHEMA}</x:schema></types>{messages}
  <portType name="Port">{ports}</portType>
  <binding name="B" type="t:Port"><s:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>{bound}</binding>
  <service name="Stock"><port name="Port" binding="t:B"><s:address location="{address}"/></port></service></definitions>""".encode()


class Erp:
    """Speaks SOAP as the scaffold has it: two rows of stock, the second without what is reserved, and orders by reference."""

    def __init__(self) -> None:
        self.address, self.booked = "", list[str]()

    def __call__(self, asked: Asked) -> Reply:
        if asked.method == "GET":
            return Reply(body=wsdl(self.address), headers={"Content-Type": "text/xml"})
        name = asked.headers["soapaction"].strip('"').removeprefix("urn:")
        return xml(f'<{name}Response xmlns="{SPACE}">{getattr(self, name)(asked.body)}</{name}Response>')

    def Version(self, _: bytes) -> str:  # noqa: N802
        return "<version>7</version>"

    def ListStock(self, body: bytes) -> str:  # noqa: N802
        told = (("A1", "<reserved>1</reserved>"), ("A2", ""))
        stock = "".join(
            f"<row><sku>{sku}</sku><location>WH1</location><onHand>5.0</onHand>{held}<changed>2026-11-27T05:00:00</changed></row>"
            for sku, held in told
        )
        return f"{stock if b'from>0<' in body else ''}<total>2</total>"

    def BookOrder(self, body: bytes) -> str:  # noqa: N802
        self.booked.append(body.decode())
        return "<number>SO-9</number>"

    def FindOrder(self, body: bytes) -> str:  # noqa: N802
        found = any("O/1" in one for one in self.booked) and b"O/1" in body
        return "<number>SO-9</number><state>open</state>" if found else ""


def rest(asked: Asked) -> Reply:
    row = {"id": 1, "sku": "A1", "location": "WH1", "on_hand": 5, "reserved": 1, "available": 4, "updated_at": AT}
    return Reply(body={} if asked.path.endswith("/me") else {"data": [row], "next_cursor": None})


def graphql(asked: Asked) -> Reply:
    node = {"sku": "A1", "title": "A", "price": 1999, "active": True, "updatedAt": AT}
    listed = {"products": {"nodes": [node], "pageInfo": {"hasNextPage": False, "endCursor": None}}}
    return Reply(body={"data": {"__typename": "Query"} if "__typename" in asked.json()["query"] else listed})


def a_server(answer: Callable[[Asked], Reply]) -> Callable[[Begin, Path], str]:
    return lambda scripted, _: scripted(answer).url


def a_soap_server(scripted: Begin, _: Path) -> str:
    erp = Erp()
    erp.address = f"{(server := scripted(erp)).url}/stock"
    return server.url


def a_database(_: Begin, folder: Path) -> str:
    with sqlite3.connect(folder / "stock.db") as db:
        db.execute("CREATE TABLE stock (sku, location, on_hand, reserved, changed)")
        db.execute("INSERT INTO stock VALUES ('A1', 'WH1', 5, 1, '2026-11-27T05:00:00+00:00')")
    db.close()
    return f"sqlite:///{folder}/stock.db"


def a_folder(_: Begin, folder: Path) -> str:
    (folder / "drop").mkdir()
    (folder / "drop" / "sales_1.csv").write_text(
        "store;receipt;line;article;pieces;price;sold_at\nWH1;7;1;A1;2;19.99;2026-11-27T05:00:00\n", encoding="utf-8"
    )
    return str(folder / "drop")


SYSTEMS: dict[str, tuple[Callable[[Begin, Path], str], tuple[str, ...]]] = {
    "rest": (a_server(rest), ("canonical  stock.level A1@WH1", "level      A1@WH1 on hand 5, available 4")),
    "graphql": (a_server(graphql), ("canonical  product.described A1", '"unit_price": "19.99"')),
    "soap": (a_soap_server, ("level      A1@WH1 on hand 5, available 4", "level      A2@WH1 on hand 5, available 5")),
    "sql": (a_database, ("canonical  stock.level A1@WH1", "level      A1@WH1 on hand 5, available 4")),
    "files": (a_folder, ("canonical  sale.recorded WH1/7/1", '"unit_price": "19.99"')),
}


def test_there_is_a_system_here_for_every_scaffold() -> None:
    folder = files("controlplane.connectors.declared") / "scaffolds"
    assert {one.name.removesuffix(".yaml") for one in folder.iterdir() if one.name.endswith(".yaml")} == set(SYSTEMS)


def begun(tmp_path: Path, kind: str, endpoint: str) -> Path:
    """The scaffold with its endpoint put right, and nothing else changed."""
    path = tmp_path / "acme.yaml"
    assert CliRunner().invoke(app, ["new", "acme-x", "--kind", kind, "--out", str(path)]).exit_code == 0
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    told["spec"]["endpoint"] = endpoint
    if endpoint.startswith("http"):
        told["spec"]["internal"] = list(pairs_of(endpoint))
    path.write_text(yaml.safe_dump(told), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", SYSTEMS)
def test_a_scaffold_is_begun_checked_and_tried_and_says_what_it_cannot_promise(
    tmp_path: Path, scripted: Begin, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    start, wanted = SYSTEMS[kind]
    path = begun(tmp_path, kind, start(scripted, tmp_path))
    for name in ("TOKEN", "USER", "PASSWORD"):
        monkeypatch.setenv(f"ACME_X_{name}", "the-secret-of-acme")
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path / "home"))
    checked = CliRunner().invoke(app, ["check", str(path)])
    assert (checked.exit_code, "acme-x: good" in checked.stdout) == (0, True), checked.stdout
    tried = CliRunner().invoke(app, ["try", str(path)])
    assert tried.exit_code == 0, tried.stdout + str(tried.exception or "")
    for text in ("ping: it answers", *wanted, "cannot be promised: it hears no webhooks"):
        assert text in tried.stdout
    promised = {line.partition(": ")[2] for line in checked.stdout.splitlines() if "cannot be promised" in line}
    assert promised == {line for line in tried.stdout.splitlines() if line.startswith("cannot be promised")}
    assert "the-secret-of-acme" not in checked.stdout + tried.stdout


def test_what_the_scaffold_of_soap_writes_is_booked_once_and_found_again(tmp_path: Path, scripted: Begin) -> None:
    erp = Erp()
    server = scripted(erp)
    erp.address = f"{server.url}/stock"
    spec: dict[str, Any] = yaml.safe_load(begun(tmp_path, "soap", server.url).read_text(encoding="utf-8"))["spec"]
    given = Given(server.url, {"user": "u-name", "password": "pass-word"}, spec["options"], timeout=5.0)
    connector = DeclaredConnector(given.context())
    payload = {"currency": "USD", "lines": [{"sku": "A1", "quantity": 2}]}
    order = Write("order", "O/1", "delivery-1", payload, "O/1")
    assert connector.read_back(order).result is Result.ABSENT
    done = connector.write(order)
    assert (done.result, done.native_id) == (Result.DELIVERED, "SO-9")
    assert "<ns0:reference>O/1</ns0:reference>" in erp.booked[0].replace("ns1:", "ns0:")
    found = connector.read_back(order)
    assert (found.result, found.native_id) == (Result.ALREADY_DELIVERED, "SO-9")
    connector.close()
