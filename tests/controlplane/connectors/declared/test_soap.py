"""A SOAP service by a manifest: its WSDL and its envelopes over a real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from lxml import etree

from controlplane.connectors.contract import Draft, Write
from controlplane.connectors.declared.checks import check
from controlplane.connectors.declared.connector import DeclaredConnector
from controlplane.errors import RejectedError, SettingsError, UnavailableError, UnreadableError
from rules.outcomes import Result
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

Begin = Callable[[Callable[[Asked], Reply]], ScriptedServer]
SPACE = "urn:example:stock"
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
WSDL = """<?xml version="1.0"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:t="urn:example:stock"
    xmlns:x="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:example:stock">
  <types><x:schema targetNamespace="urn:example:stock" elementFormDefault="qualified">
    <x:element name="List"><x:complexType><x:sequence><x:element name="from" type="x:int"/></x:sequence></x:complexType></x:element>
    <x:element name="ListResponse"><x:complexType><x:sequence>
      <x:element name="row" minOccurs="0" maxOccurs="unbounded"><x:complexType><x:sequence>
        <x:element name="sku" type="x:string"/><x:element name="count" type="x:decimal"/><x:element name="at" type="x:dateTime"/>
      </x:sequence></x:complexType></x:element>
      <x:element name="more" type="x:boolean"/>
    </x:sequence></x:complexType></x:element>
    <x:element name="Book"><x:complexType><x:sequence>
      <x:element name="ref" type="x:string"/><x:element name="lines" maxOccurs="unbounded"><x:complexType><x:sequence>
        <x:element name="sku" type="x:string"/><x:element name="pieces" type="x:int"/>
      </x:sequence></x:complexType></x:element>
    </x:sequence></x:complexType></x:element>
    <x:element name="BookResponse"><x:complexType><x:sequence>
      <x:element name="number" type="x:string"/></x:sequence></x:complexType></x:element>
  </x:schema></types>
  <message name="ListIn"><part name="p" element="t:List"/></message>
  <message name="ListOut"><part name="p" element="t:ListResponse"/></message>
  <message name="BookIn"><part name="p" element="t:Book"/></message>
  <message name="BookOut"><part name="p" element="t:BookResponse"/></message>
  <portType name="Port">
    <operation name="List"><input message="t:ListIn"/><output message="t:ListOut"/></operation>
    <operation name="Book"><input message="t:BookIn"/><output message="t:BookOut"/></operation>
  </portType>
  <binding name="Binding" type="t:Port"><s:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="List"><s:operation soapAction="urn:List"/>
      <input><s:body use="literal"/></input><output><s:body use="literal"/></output></operation>
    <operation name="Book"><s:operation soapAction="urn:Book"/>
      <input><s:body use="literal"/></input><output><s:body use="literal"/></output></operation>
  </binding>
  <service name="Stock"><port name="Port" binding="t:Binding"><s:address location="ADDRESS"/></port></service>
</definitions>
"""
MANIFEST = """
title: Stock by SOAP
access: {kind: basic}
soap: {wsdl: "/stock?wsdl"}
reads:
  - entity: stock
    request: {operation: List, arguments: {from: page}}
    records: row
    paging: {kind: offset, size: 2}
    identity: sku
    messages:
      - type: stock.level
        version: at
        fields:
          sku: sku
          location: {value: WH1}
          on_hand: {path: count, as: integer}
          allocated: 0
          available: {path: count, as: integer}
          in_transit: 0
          source_at: {path: at, as: instant}
writes:
  - entity: booking
    message_types: [shipment.shipped]
    guarantee: keyed
    request:
      operation: Book
      arguments:
        ref: ref
        lines: {each: payload.lines, fields: {sku: item.sku, pieces: item.quantity}}
    native_id: '@'
"""


class Service:
    """Lists stock from an offset, books by reference."""

    def __init__(self) -> None:
        self.address, self.wsdl = "", WSDL
        self.booked: dict[str, list[tuple[str, str]]] = {}
        self.instead: Reply | None = None

    def __call__(self, asked: Asked) -> Reply:
        if asked.method == "GET":
            return Reply(body=self.wsdl.replace("ADDRESS", self.address).encode(), headers={"Content-Type": "text/xml"})
        if self.instead:
            return self.instead
        body = etree.fromstring(asked.body).find(f"{{{ENVELOPE}}}Body")[0]
        return xml(self._list(body) if body.tag.endswith("List") else self._book(body))

    def _list(self, body: Any) -> str:
        at = int(body.findtext(f"{{{SPACE}}}from"))
        rows = [f"<row><sku>A{n}</sku><count>{n}.0</count><at>2026-11-27T05:00:00Z</at></row>" for n in range(1, 6)]
        return f'<ListResponse xmlns="{SPACE}">{"".join(rows[at : at + 2])}<more>false</more></ListResponse>'

    def _book(self, body: Any) -> str:
        ref = body.findtext(f"{{{SPACE}}}ref")
        self.booked[ref] = [(one[0].text, one[1].text) for one in body.findall(f"{{{SPACE}}}lines")]
        return f'<BookResponse xmlns="{SPACE}"><number>N-{ref}</number></BookResponse>'


def xml(inner: str, status: int = 200) -> Reply:
    whole = f'<e:Envelope xmlns:e="{ENVELOPE}"><e:Body>{inner}</e:Body></e:Envelope>'
    return Reply(status, whole.encode(), {"Content-Type": "text/xml; charset=utf-8"})


def fault(code: str) -> Reply:
    return xml(f"<e:Fault><faultcode>e:{code}</faultcode><faultstring>no such article</faultstring></e:Fault>", 500)


@pytest.fixture
def service(scripted: Begin) -> tuple[Service, ScriptedServer]:
    made = Service()
    server = scripted(made)
    made.address = f"{server.url}/stock"
    return made, server


def connector(server: ScriptedServer, **changes: Any) -> DeclaredConnector:
    manifest = {**yaml.safe_load(MANIFEST), **changes}
    return DeclaredConnector(
        Given(server.url, {"user": "u-name", "password": "pass-word"}, {"manifest": manifest}, timeout=5.0).context()
    )


def drafts(made: DeclaredConnector) -> list[Draft]:
    return [
        draft
        for page in made.poll("stock", None)
        for one in page.records
        for draft in made.translate(one.topic, one.body)
    ]


def booking(**more: Any) -> Write:
    return Write(
        "booking",
        "SHP-1",
        "delivery-1",
        {"lines": [{"sku": "A1", "quantity": 2}, {"sku": "A2", "quantity": 1}], **more},
        "SHP-1",
    )


def test_an_operation_is_read_page_by_page_through_the_shared_client(service: tuple[Service, ScriptedServer]) -> None:
    made = connector(service[1])
    assert [(draft.subject, draft.data["on_hand"]) for draft in drafts(made)] == [(f"A{n}@WH1", n) for n in range(1, 6)]
    asked = service[1].asked
    assert [one.method for one in asked].count("GET") == 1, "the WSDL is read once"
    assert all(
        one.headers["authorization"].startswith("Basic ") and one.headers["user-agent"] == "trueup/1" for one in asked
    )
    assert {one.headers["soapaction"] for one in asked if one.method == "POST"} == {'"urn:List"'}


def test_a_document_is_written_by_an_operation(service: tuple[Service, ScriptedServer]) -> None:
    outcome = connector(service[1]).write(booking())
    assert (outcome.result, outcome.native_id) == (Result.DELIVERED, "N-SHP-1")
    assert service[0].booked == {"SHP-1": [("A1", "2"), ("A2", "1")]}


@pytest.mark.parametrize(
    ("code", "result", "kind"),
    [("Client", Result.REJECTED, RejectedError), ("Server", Result.UNKNOWN, UnavailableError)],
)
def test_a_fault_is_a_refusal_or_leaves_the_write_in_doubt(
    service: tuple[Service, ScriptedServer], code: str, result: Result, kind: type[Exception]
) -> None:
    service[0].instead = fault(code)
    outcome = connector(service[1]).write(booking())
    assert (outcome.result, "no such article" in outcome.detail) == (result, True)
    with pytest.raises(kind):
        drafts(connector(service[1]))


@pytest.mark.parametrize("reply", [Reply(500, b"<html>"), Reply(200, b"{}"), xml("<Other/>")])
def test_an_answer_against_the_wsdl_leaves_the_write_in_doubt(
    service: tuple[Service, ScriptedServer], reply: Reply
) -> None:
    service[0].instead = reply
    assert connector(service[1]).write(booking()).result is Result.UNKNOWN
    with pytest.raises(UnreadableError):
        drafts(connector(service[1]))


def test_arguments_that_the_wsdl_does_not_have_are_refused_before_anything_is_sent(
    service: tuple[Service, ScriptedServer],
) -> None:
    manifest = yaml.safe_load(MANIFEST)
    manifest["writes"][0]["request"]["arguments"]["colour"] = {"value": "red"}
    outcome = connector(service[1], writes=manifest["writes"]).write(booking())
    assert (outcome.result, "nothing was sent" in outcome.detail) == (Result.REJECTED, True)
    assert not service[0].booked


def test_a_service_outside_of_the_endpoint_is_not_spoken_to_unless_the_manifest_says_where_it_is(
    service: tuple[Service, ScriptedServer],
) -> None:
    service[0].address = "http://erp.internal:8080/stock"
    with pytest.raises(SettingsError, match=r"soap\.service"):
        drafts(connector(service[1]))
    assert len(drafts(connector(service[1], soap={"wsdl": "/stock?wsdl", "service": "/stock"}))) == 5


@pytest.mark.parametrize(
    "wsdl", ["<html/>", "no xml", '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>']
)
def test_what_is_no_wsdl_is_named(service: tuple[Service, ScriptedServer], wsdl: str) -> None:
    service[0].wsdl = wsdl
    with pytest.raises(UnreadableError, match="the WSDL at"):
        drafts(connector(service[1]))


@pytest.mark.parametrize("place", ["file:///etc/passwd", "http://127.0.0.1:1/other.xsd"])
def test_a_wsdl_loads_nothing_that_is_not_below_the_endpoint(
    service: tuple[Service, ScriptedServer], place: str
) -> None:
    service[0].wsdl = WSDL.replace("<types>", f'<import namespace="urn:other" location="{place}"/><types>')
    with pytest.raises(UnreadableError, match="outside of its own endpoint"):
        drafts(connector(service[1]))


def test_an_operation_without_a_wsdl_is_refused() -> None:
    manifest = {**yaml.safe_load(MANIFEST), "soap": None}
    [(path, rule, remedy)] = check("https://erp.example", {"manifest": manifest})
    assert (path, "calls the operation 'List'" in rule, "wsdl" in remedy) == (("options", "manifest"), True, True)
