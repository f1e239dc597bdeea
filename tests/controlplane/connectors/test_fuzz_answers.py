"""Whatever a system answers is read or refused by a typed error: every way in which every connector asks, against answers of any form.

Answers are made of the words that the connector itself looks for, so that they get past its first look; or they are no JSON at all.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.clock import ManualClock
from controlplane.connectors import catalogue, downloads, odata
from controlplane.connectors.builtin.amazon.feeds import read_report
from controlplane.connectors.contract import Connector, NoNumbers, Number, Write
from controlplane.connectors.http import Answer
from controlplane.connectors.odata4 import Service4
from controlplane.errors import BadInputError, ConnectorError, SettingsError, UnavailableError, UnreadableError
from controlplane.plugins import load
from rules.model.messages import parse
from rules.outcomes import Outcome
from tests.controlplane.connectors.conftest import START, Given
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

AT = "2026-11-27T06:00:00+00:00"
LINE = {"line": 1, "native_id": "1", "sku": "A", "location": "1010/WH1", "quantity": 2, "unit_price": "10.00"}
HERE = {"country": "US", "region": "NY", "postal_code": "10001"}
PAYLOADS: dict[str, dict[str, Any]] = {
    "stock.offer": {
        "sku": "A", "location": "1010/WH1", "channel": "theirs", "quantity": 5, "expected": None, "rule_revision": "1",
    },
    "stock.level": {
        "sku": "A", "location": "1010/WH1", "on_hand": 5, "allocated": 0, "available": 5, "in_transit": 0, "source_at": AT,
    },
    "product.described": {"sku": "A", "title": "A", "unit_cost": "4.00", "unit_price": "10.00", "currency": "USD", "active": True},
    "order.placed": {"ref": "#1", "native_id": "1", "placed_at": AT, "currency": "USD", "lines": [LINE]},
    "shipment.shipped": {
        "shipment": "S1", "order_ref": "#1", "location": "1010/WH1", "shipped_at": AT, "lines": [{"sku": "A", "quantity": 1}],
    },
    "receipt.received": {
        "receipt": "R1", "purchase_order": "P1", "location": "1010/WH1", "received_at": AT, "lines": [{"sku": "A", "quantity": 1}],
    },
    "return.received": {
        "return_ref": "T1", "order_ref": "#1", "location": "1010/WH1", "received_at": AT, "lines": [{"sku": "A", "quantity": 1}],
    },
    "sale.recorded": {
        "ref": "1", "location": "1010/WH1", "sku": "A", "quantity": 1, "unit_price": "10.00", "currency": "USD", "sold_at": AT,
    },
    "posting.made": {
        "posting_key": "p1", "document": "d1", "business_date": "2026-11-27", "currency": "USD", "rule_revision": "1",
        "lines": [{"account": "1", "debit": "1.00", "credit": "0"}, {"account": "2", "debit": "0", "credit": "1.00"}],
    },
    "refund.requested": {"ref": "f1", "payment": "ch_1", "amount": "1.00", "currency": "USD", "requested_at": AT},
    "tax.asked": {
        "posting_key": "p", "document": "d", "cause": "c", "engine": "theirs", "rule": "r", "rule_revision": "1",
        "issued_on": "2026-11-27", "currency": "USD", "ship_from": HERE, "ship_to": HERE, "tolerance": "0.01",
        "lines": [{"number": "1", "sku": "A", "quantity": 1, "amount": "10.00", "tax": "0.89", "tax_code": "P0000000"}],
    },
}  # fmt: skip
PLACES = {"locations": ["1010/WH1"]}
SAP = {
    **PLACES, "sales_organization": "1", "distribution_channel": "10", "division": "00", "sold_to_party": "1", "company_code": "1",
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {
    "amazon": {"seller": "A1", "marketplace": "M", "location": "1010/WH1", "fba_location": "FBA", "currency": "USD",
        "prices_with_tax": False},
    "amazon queue": {"seller": "A1", "marketplace": "M", "location": "1010/WH1", "queue_region": "us-east-1"},
    "avalara": {"tax_codes": ["P0000000"]},
    "netsuite": {**PLACES, "realm": "1", "currency": "USD"},
    "sap_s4": SAP, "sap_s4 v4": {**SAP, "orders_api": "v4"},
    "shopify": {**PLACES, "currency": "USD", "time_zone": "UTC"}, "shopify bulk": {**PLACES, "currency": "USD", "snapshot": "bulk"},
    "tryton": {"database": "retail", "currency": "EUR", "locations": ["1010/WH1"], "customer": "2"},
    "vendure": {**PLACES, "currency": "USD"},
}  # fmt: skip
LOCAL = frozenset({"broker", "declared", "edi_x12", "kafka", "nats", "till_files", "webhook"})
"""They ask nothing by HTTP, or are tried by tests of their own."""
NAMES = [*sorted(set(catalogue.shipped()) - LOCAL), "amazon queue", "sap_s4 v4", "shopify bulk"]
SIGNED_IN = {
    "access_token": "Atza|1", "token_type": "bearer", "expires_in": 3600, "session_key": "1", "result": [1, "session"], "token": "t",
}  # fmt: skip
ODD = [
    AT, "12.34", "USD", "-1", "0", "NaN", "1e999", "9" * 400, "2026-13-45", "\ud800", "\x00", "/Date(1e9)/", "/Date(99999999999999999)/",
    "#1", "A",
]  # fmt: skip
NUMBERS = st.integers(-(10**30), 10**30) | st.integers(0, 3) | st.floats()
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=6) | st.sampled_from(ODD)
EXAMPLES = 60


def modules_of(connector: Connector) -> Iterator[str]:
    package = type(connector).__module__.rpartition(".")[0]
    for file in Path(str(inspect.getfile(importlib.import_module(package)))).parent.glob("*.py"):
        yield file.read_text(encoding="utf-8")
    for shared in ("odata", "odata4", "graphql", "jobs"):
        yield inspect.getsource(importlib.import_module(f"controlplane.connectors.{shared}"))


@cache
def words_of(name: str) -> list[str]:
    """The names that a connector looks for: short literals of its modules, and what its queries ask for."""
    found = set[str]()
    connector = made(name, "http://127.0.0.1:1")
    for source in modules_of(connector):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = node.value.replace("{", " ").replace("}", " ").replace("(", " ").split()
                found.update(word for word in words if 1 < len(word) < 32 and word.isidentifier())
    connector.close()
    return sorted(found)


def bodies(name: str) -> st.SearchStrategy[Any]:
    words = st.sampled_from(words_of(name))
    inner = st.recursive(
        LEAVES | words,
        lambda one: st.lists(one, max_size=3) | st.dictionaries(words, one, min_size=1, max_size=6),
        max_leaves=25,
    )
    return st.dictionaries(words, inner, min_size=1, max_size=6) | st.lists(inner, max_size=3) | inner


class Brisk(ManualClock):
    """A clock that goes as far as is waited for, so that whoever asks for patience gets it at once."""

    def stopwatch(self) -> float:
        return self.now().timestamp()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.advance(max(seconds, 0.001))
        return event.is_set()


class Counting(NoNumbers):
    """Numbers for whoever needs them, as if everything had been sent a while ago."""

    def find(self, series: str, key: str) -> Number | None:
        return Number(1, START, START)

    def take(self, series: str, key: str) -> Number:
        return Number(1, START, START)

    def use(self, series: str, key: str) -> None:
        """Nothing is kept."""

    def find_all(self, series: str, keys: Any) -> dict[str, Number]:
        return {key: self.find(series, key) or Number(1, START, START) for key in keys}

    def take_all(self, series: str, keys: Any) -> list[Number]:
        return [self.take(series, key) for key in keys]

    def use_all(self, series: str, keys: Any) -> None:
        """Nothing is kept."""


def made(name: str, url: str) -> Connector:
    kind: type[Connector] = load("connectors", name.split()[0])
    options = {**OPTIONS.get(name, PLACES), **({"login_endpoint": url} if name.startswith("amazon") else {})}
    options |= {"queue_url": f"{url}/1/told"} if name == "amazon queue" else {}
    manifest = kind.manifest.of(options)
    secrets = {one: "secret" for one in manifest.secrets if one not in manifest.optional_secrets} | (
        {"consumer_key": "c", "consumer_secret": "s", "token_id": "t", "token_secret": "s"}
        if name == "netsuite"
        else {}
    )
    given = Given(url, secrets, options, timeout=5, clock=Brisk(START, pace=1.0), numbers=Counting())
    return kind(given.context(frozenset(secrets)))


def ways(connector: Connector) -> dict[str, Callable[[], object]]:
    """Everything that a connector can be asked."""
    found: dict[str, Callable[[], object]] = {"ping": connector.ping, "settings": connector.settings}
    manifest = connector.manifest
    if manifest.consumes:
        found |= {"consume": lambda: consumed(connector), "waiting": connector.waiting}
    for one in manifest.reads:
        if one.changes:
            found[f"poll {one.entity}"] = lambda one=one: polled(connector, one.entity)
        if one.snapshot:
            found[f"snapshot {one.entity}"] = lambda one=one: list(islice(connector.snapshot(one.entity), 3))
            found[f"levels {one.entity}"] = lambda one=one: list(
                islice(connector.snapshot(one.entity, [("A", "1010/WH1")]), 3)
            )
        if one.listing:
            found[f"entries {one.entity}"] = lambda one=one: list(islice(connector.entries(one.entity), 3))
    for spec in manifest.writes:
        for kind in spec.message_types:
            if kind in PAYLOADS:
                asked = Write(spec.entity, "A", "key-1", parse(kind, PAYLOADS[kind]).model_dump(mode="json"), "#1")
                found[f"write {spec.entity}"] = lambda asked=asked: connector.write(asked)
                found[f"read back {spec.entity}"] = lambda asked=asked: connector.read_back(asked)
                if spec.batch > 1:
                    found[f"write many {spec.entity}"] = lambda asked=asked: connector.write_many([asked] * 2)
    return found


def polled(connector: Connector, entity: str) -> None:
    """Read some pages, and what stands in them."""
    for page in islice(connector.poll(entity, None), 3):
        json.dumps(page.cursor)
        for record in page.records:
            with suppress(BadInputError, ConnectorError):
                connector.translate(record.topic, record.body)


def consumed(connector: Connector) -> None:
    """Take what a queue gives, have it forgotten, and leave."""
    feed = connector.consume()
    try:
        for record in feed.take(1):
            with suppress(BadInputError, ConnectorError):
                connector.translate(record.topic, record.body)
        feed.acknowledge()
    finally:
        feed.close()


@pytest.mark.parametrize("name", NAMES)
def test_any_answer_is_read_or_refused_however_it_was_asked_for(name: str) -> None:
    holding: list[Reply] = [Reply()]

    def answer(asked: Asked) -> Reply:
        if "token" in asked.path or "oauth" in asked.path or b"common.db.login" in asked.body:
            return Reply(body=SIGNED_IN)
        return holding[0]

    server = ScriptedServer(answer)
    connector = made(name, server.url)
    asked = ways(connector)

    @settings(
        max_examples=EXAMPLES * max(1, len(asked) // 4),
        suppress_health_check=list(HealthCheck),
        deadline=None,
        database=None,
    )
    @given(
        st.sampled_from(sorted(asked)),
        st.sampled_from([200, 200, 200, 200, 201, 202, 204, 400, 404, 409, 412, 422, 429, 500]),
        bodies(name) | st.binary(max_size=40),
        st.sampled_from(["application/json", "text/xml", "multipart/mixed; boundary=b", ""]),
    )
    def whatever(way: str, status: int, body: Any, kind: str) -> None:
        told = body if isinstance(body, bytes) else json.dumps(body).encode()
        holding[0] = Reply(status, told, {"Content-Type": kind, "X-CSRF-Token": "t"})
        try:
            outcome = asked[way]()
        except (ConnectorError, BadInputError, SettingsError):
            return
        outcomes = outcome if isinstance(outcome, list) else [outcome]
        assert not way.startswith(("write", "read back")) or all(isinstance(one, Outcome) for one in outcomes)

    try:
        whatever()
    finally:
        connector.close()
        server.close()


MEMBERS = (
    "d", "value", "results", "error", "code", "message", "innererror", "errordetails", "details", "severity", "@odata.nextLink", "__next",
    "header", "feedId", "issues", "messageId", "summary", "messagesAccepted", "items", "sku", "_Item", "__metadata", "etag",
)  # fmt: skip
JSON = st.recursive(
    LEAVES | st.sampled_from(MEMBERS),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), one, max_size=6),
    max_leaves=20,
)
REPORTS = st.dictionaries(st.sampled_from(["issues", "summary", "items"]), JSON).map(
    lambda told: {"header": {"feedId": "7"}, **told}
)


@settings(max_examples=400, deadline=None)
@given(JSON)
def test_any_body_of_odata_is_read_or_is_none(body: Any) -> None:
    for service in (odata.Service, Service4):
        rows, entity = service.rows_of(body), service.entity_of(body)
        assert rows is None or all(isinstance(row, dict) for row in rows)
        assert entity is None or isinstance(entity, dict)
        assert isinstance(service.further_of(body), str | None)
        for held in (rows or []) + ([entity] if entity is not None else []):
            with suppress(KeyError, TypeError, ValueError):  # as it says
                assert all(isinstance(row, dict) for row in service.inside(held, "_Item"))
    code, words = odata.problem(body)
    assert isinstance(code + words + odata.warnings({"sap-messages": json.dumps(body)}), str)
    for read in (odata.decimal, odata.whole):
        with suppress(ValueError):
            read(body)


@settings(max_examples=400, deadline=None)
@given(JSON | REPORTS, st.binary(max_size=4))
def test_any_report_of_a_feed_is_read_or_refused(told: Any, hurt: bytes) -> None:
    answer = Answer(200, {}, b"", None, None, False)  # type: ignore[arg-type]
    with suppress(UnreadableError):
        read_report(json.dumps(told).encode() + hurt, "7", answer)


@pytest.mark.parametrize("number", ["1e999", "-1e999", '"9"', "[]", "null", "1.5", '"x"'])
def test_the_number_of_a_message_in_a_report_may_be_anything(number: str) -> None:
    issue = f'{{"severity": "ERROR", "code": "1", "message": "m", "messageId": {number}}}'
    with suppress(UnreadableError):
        read_report(
            f'{{"header": {{"feedId": "7"}}, "issues": [{issue}]}}'.encode(),
            "7",
            Answer(200, {}, b"", None, None, False),
        )  # type: ignore[arg-type]


FILE = bytes(range(256)) * 4


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(
    st.integers(0, 300), st.sampled_from([200, 206, 416]), st.sampled_from(['"1"', '"2"', 'W/"1"', ""]),
    st.sampled_from(["right", "wrong", "", "bytes 0-1/x", "bytes " + "9" * 400 + "-1/*"]), st.booleans(), st.integers(1, 64),
), max_size=8))  # fmt: skip
def test_however_a_file_breaks_off_what_is_read_of_it_is_its_beginning(
    turns: list[tuple[int, int, str, str, bool, int]],
) -> None:
    left = iter(turns)

    def opened(headers: Any) -> tuple[httpx.Response, Iterator[bytes]]:
        after, status, mark, ranged, packed, size = next(left, (10_000, 206, '"1"', "right", False, 64))
        begin = int(headers["Range"][6:-1]) if headers else 0
        told = {"etag": mark, "accept-ranges": "bytes"} | ({"content-encoding": "gzip"} if packed else {})
        told |= (
            {"content-range": f"bytes {begin}-{len(FILE) - 1}/{len(FILE)}" if ranged == "right" else ranged}
            if ranged
            else {}
        )
        response = httpx.Response(status if headers else 200, headers=told)
        same = not headers or (status == 206 and mark == headers["If-Range"])

        def parts() -> Iterator[bytes]:
            content = FILE[begin:] if same else b"another file" * 100
            for at in range(0, min(after, len(content)), size):
                yield content[at : min(at + size, after)]
            if after < len(content):
                raise UnavailableError("it broke off")

        return response, parts()

    got = b""
    try:
        for part in downloads.whole(opened, lambda: None):
            got += part
    except UnavailableError:
        assert FILE.startswith(got)
    else:
        assert got == FILE
