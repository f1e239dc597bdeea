"""A connector that is a document, against a system on loopback that nobody wrote a connector for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from controlplane.connectors.contract import Codes, Context, Draft, Record, UnmappedError, Write
from controlplane.connectors.declared.connector import DeclaredConnector
from controlplane.errors import BadInputError, RejectedError, ThrottledError, UnavailableError, UnreadableError
from rules.model.messages import parse
from rules.outcomes import Result
from tests.controlplane.connectors.conftest import Given, PlainCodes
from tests.controlplane.connectors.declared.acme import Acme, manifest, order, row
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

Begin = Callable[[Callable[[Asked], Reply]], ScriptedServer]


@dataclass
class House:
    """The vendor and its connector."""

    vendor: Acme
    server: ScriptedServer
    given: Given

    def connector(self, codes: Codes | None = None, **changes: Any) -> DeclaredConnector:
        self.given.options["manifest"] = manifest(**changes)
        context: Context = self.given.context()
        return DeclaredConnector(replace(context, codes=codes) if codes else context)


@pytest.fixture
def house(scripted: Begin) -> House:
    vendor = Acme()
    server = scripted(vendor)
    return House(vendor, server, Given(server.url, secrets={"token": "the-token-of-acme"}, timeout=3.0))


def polled(
    connector: DeclaredConnector, entity: str, cursor: dict[str, Any] | None = None
) -> tuple[list[Record], dict[str, Any]]:
    pages = list(connector.poll(entity, cursor))
    return [record for page in pages for record in page.records], pages[-1].cursor


def drafts(connector: DeclaredConnector, entity: str) -> list[Draft]:
    return [draft for one in polled(connector, entity)[0] for draft in connector.translate(one.topic, one.body)]


def shipment(ref: str = "SHP-1", **more: Any) -> Write:
    payload = {
        "shipment": ref, "order_ref": "O/1", "location": "WH1", "carrier": "dhl", "lines": [{"sku": "A1", "quantity": 2}], **more,
    }  # fmt: skip
    return Write("shipment", ref, f"delivery-{ref}", payload, ref)


def offer(quantity: int, expected: int | None) -> Write:
    return Write(
        "available",
        "A1@WH1",
        "offer-1",
        {"sku": "A1", "location": "WH1", "quantity": quantity, "expected": expected},
        "A1@WH1",
    )


def test_what_a_manifest_declares_is_what_the_connector_can_do(house: House) -> None:
    told = house.connector().manifest
    assert [(one.entity, one.snapshot, one.changes) for one in told.reads] == [
        ("stock", True, True),
        ("orders", False, True),
    ]
    assert {one.entity: (str(one.guarantee), one.late_effect) for one in told.writes} == {
        "shipment": ("keyed", 20.0), "available": ("conditional", 30.0),
    }  # fmt: skip
    assert told.secrets == ("token",)


def test_a_system_is_pinged_and_a_wrong_token_is_no_fault_of_any_document(house: House) -> None:
    house.connector().ping()
    house.given.secrets["token"] = "another-token-of-acme"
    with pytest.raises(UnavailableError, match="check the secrets") as raised:
        house.connector().ping()
    assert "another-token" not in str(raised.value.evidence)


def test_stock_is_read_page_by_page_into_canonical_levels(house: House) -> None:
    found = drafts(house.connector(), "stock")
    assert [draft.subject for draft in found] == [f"A{n}@WH1" for n in range(1, 6)]
    level = parse("stock.level", found[0].data)
    assert (level.on_hand, level.available, level.allocated) == (11, 1, 0)
    assert [one.query.get("cursor") for one in house.server.asked] == [None, "2", "4"]
    assert house.server.asked[0].query["kind"] == "sellable"


def test_the_same_fact_polled_twice_is_one_fact_and_a_change_is_another(house: House) -> None:
    connector = house.connector()
    before, _ = polled(connector, "stock")
    again, _ = polled(connector, "stock")
    assert [one.event_key for one in before] == [one.event_key for one in again]
    house.vendor.rows[0] = row(1, changed="2026-11-27T05:30:00Z")
    keys = {draft.dedupe_key for one in before for draft in connector.translate(one.topic, one.body)}
    changed = [draft for draft in drafts(connector, "stock") if draft.dedupe_key not in keys]
    assert [draft.subject for draft in changed] == ["A1@WH1"]


def test_a_later_poll_asks_for_what_changed_with_overlap(house: House) -> None:
    connector = house.connector()
    _, cursor = polled(connector, "stock")
    assert cursor == {"since": "2026-11-27T05:00:00+00:00"}
    house.vendor.rows[3] = row(4, changed="2026-11-27T05:45:00Z")
    house.vendor.rows[0] = row(1, changed="2026-11-27T04:00:00Z")
    records, cursor = polled(connector, "stock", cursor)
    assert house.server.asked[-1].query["updated_since"] == "2026-11-27T04:55:00Z"
    assert len(records) == 4
    assert cursor == {"since": "2026-11-27T05:45:00+00:00"}


def test_a_change_that_lies_ahead_does_not_hide_what_comes_before_it(house: House) -> None:
    house.vendor.rows[0] = row(1, changed="2099-01-01T00:00:00Z")
    _, cursor = polled(house.connector(), "stock")
    assert cursor == {"since": house.given.clock.now().isoformat()}


def test_a_manifest_that_looks_for_the_time_of_change_in_the_wrong_place_is_found_out(house: House) -> None:
    with pytest.raises(UnreadableError, match="no time of change where 'modified'"):
        polled(house.connector(reads__0__since__field="modified"), "stock")


def test_a_state_without_a_version_is_an_event_of_its_own_each_time(house: House) -> None:
    connector = house.connector(reads__0__messages__0__version=None)
    first, second = polled(connector, "stock")[0], polled(connector, "stock")[0]
    assert {one.event_key for one in (*first, *second)} == {""}
    [draft] = connector.translate("stock", first[0].body)
    assert (draft.dedupe_key, draft.source_version, draft.occurred_at) == ("", None, house.given.clock.now())


def test_orders_are_told_by_their_status_and_their_money_is_exact(house: House) -> None:
    house.vendor.orders = [order("O-1"), order("O-2", "CART")]
    [draft] = drafts(house.connector(), "orders")
    placed = parse("order.placed", draft.data)
    assert (draft.dedupe_key, placed.ref, str(placed.lines[0].unit_price), placed.currency) == (
        "order.placed:O-1",
        "O-1",
        "19.99",
        "EUR",
    )
    assert draft.occurred_at == datetime.fromtimestamp(1_795_755_600, UTC)
    house.given.options["currency"] = "GBP"
    assert drafts(house.connector(), "orders")[0].data["currency"] == "GBP"


@pytest.mark.parametrize("pieces", ["2", 2.0, " 2 "])
def test_a_count_that_a_system_gives_as_text_or_as_a_float_is_read_as_one(house: House, pieces: Any) -> None:
    line = {"no": "1", "id": 71, "article": "A1", "pieces": pieces, "cents": 1999}
    house.vendor.orders = [order("O-1", lines=[line, line])]
    [draft] = drafts(house.connector(), "orders")
    assert [(one["line"], one["quantity"]) for one in draft.data["lines"]] == [(1, 2)] * 2
    assert {type(one["quantity"]) for one in draft.data["lines"]} == {int}


@pytest.mark.parametrize("pieces", [True, "2.5", 2.5, "two", None, [2]])
def test_what_is_no_count_is_refused_with_its_place(house: House, pieces: Any) -> None:
    house.vendor.orders = [order("O-1", lines=[{"no": 1, "id": 71, "article": "A1", "pieces": pieces, "cents": 1999}])]
    with pytest.raises(BadInputError, match=r"order.placed.lines.0.quantity: .*correct the record"):
        drafts(house.connector(), "orders")


def test_a_constant_0_or_1_is_a_number_and_true_stays_true(house: House) -> None:
    told = {f"reads__0__messages__0__fields__{name}": value for name, value in (("allocated", 1), ("in_transit", 0))}
    connector = house.connector(**told, reads__0__levels__on_hand=0)
    data = drafts(connector, "stock")[0].data
    assert [(type(data[name]), data[name]) for name in ("allocated", "in_transit")] == [(int, 1), (int, 0)]
    assert {level.on_hand for page in connector.snapshot("stock", None) for level in page} == {0}
    with pytest.raises(BadInputError, match=r"stock.level.in_transit"):
        drafts(house.connector(reads__0__messages__0__fields__in_transit=False), "stock")


def test_one_record_that_cannot_be_understood_names_its_field_and_spoils_no_other(house: House) -> None:
    house.vendor.orders = [order("O-1", "PARKED"), order("O-2", lines=[]), order("O-3", placed="soon"), order("O-4")]
    connector = house.connector()
    records, _ = polled(connector, "orders")
    refused: dict[str, BadInputError] = {}
    for number, record in enumerate(records[:3]):
        with pytest.raises(BadInputError) as raised:
            connector.translate(record.topic, record.body)
        refused[str(number)] = raised.value
    assert [(str(error).split(";")[0], error.field) for error in refused.values()] == [
        ("the status 'PARKED' is neither told nor ignored by the manifest", "state"),
        ("order.placed.lines: Tuple should have at least 1 item after validation, not 0", "lines"),
        ("placed_at: 'soon' cannot be read as unix", "placed_at"),
    ]
    assert connector.translate(records[3].topic, records[3].body)[0].subject == "O-4"


class Strict(PlainCodes):
    """Knows one article."""

    def ours(self, entity: str, theirs: str) -> str:
        if entity == "sku" and theirs != "A1":
            raise UnmappedError(entity, theirs, "theirs")
        return f"our-{theirs}"

    def theirs(self, entity: str, ours: str) -> str:
        if entity == "sku" and ours != "A1":
            raise UnmappedError(entity, ours, "theirs")
        return f"their-{ours}"


def test_codes_are_translated_both_ways_and_an_unknown_one_is_named(house: House) -> None:
    connector = house.connector(Strict())
    records, _ = polled(connector, "stock")
    assert connector.translate("stock", records[0].body)[0].subject == "our-A1@our-WH1"
    with pytest.raises(UnmappedError, match="calls a sku 'A2'"):
        connector.translate("stock", records[1].body)
    assert connector.write(shipment()).result is Result.DELIVERED
    assert house.vendor.shipments["SHP-1"]["lines"] == [{"article": "their-A1", "pieces": 2}]
    before = len(house.server.asked)
    outcome = connector.write(shipment("SHP-2", lines=[{"sku": "A9", "quantity": 1}]))
    assert (outcome.result, outcome.evidence) == (Result.REJECTED, {"unmapped": "sku", "code": "A9"})
    assert len(house.server.asked) == before, "nothing was sent"


def test_a_snapshot_has_levels_with_the_time_of_the_source_and_of_the_reading(house: House) -> None:
    pages = list(house.connector().snapshot("stock"))
    assert [len(page) for page in pages] == [2, 2, 1]
    first = pages[0][0]
    assert (first.sku, first.location, first.on_hand, first.available) == ("A1", "WH1", 11, 1)
    assert first.source_at == datetime(2026, 11, 27, 5, tzinfo=UTC)
    [kept] = [one for page in house.connector().snapshot("stock", [("A4", "WH1"), ("A9", "WH1")]) for one in page]
    assert kept.sku == "A4"


@pytest.mark.parametrize("broken", [{"count": "many"}, {"count": 1.5}, {"article": None}, {"changed": "yesterday"}])
def test_a_snapshot_with_a_level_that_cannot_be_read_fails_whole(house: House, broken: dict[str, Any]) -> None:
    house.vendor.rows[4] = row(5, **broken)
    with pytest.raises(UnreadableError, match="breaks its manifest"):
        list(house.connector().snapshot("stock"))


@pytest.mark.parametrize("body", [{"data": {}}, {"data": {"rows": {}}}, {"data": {"rows": [1]}}, [], b"<html>"])
def test_an_answer_without_the_records_is_no_empty_page(house: House, body: object) -> None:
    house.vendor.instead = Reply(body=body)
    with pytest.raises(UnreadableError):
        polled(house.connector(), "stock")


def test_a_write_is_known_by_its_key_however_often_it_is_sent(house: House) -> None:
    connector = house.connector()
    assert connector.read_back(shipment()).result is Result.ABSENT
    first, second = connector.write(shipment()), connector.write(shipment())
    assert (first.result, second.result, first.native_id) == (Result.DELIVERED, Result.DELIVERED, "S1")
    assert len(house.vendor.shipments) == 1
    back = connector.read_back(shipment())
    assert (back.result, back.native_id, back.target_at) == (
        Result.ALREADY_DELIVERED,
        "S1",
        datetime(2026, 11, 27, 6, tzinfo=UTC),
    )
    sent = next(one for one in house.server.asked if one.method == "POST")
    assert (sent.path, sent.headers["idempotency-key"]) == ("/v1/orders/O%2F1/shipments", "delivery-SHP-1")
    assert sent.json()["carrier"] == "DHL_PARCEL"


def test_a_word_that_the_manifest_does_not_map_is_refused_before_anything_is_sent(house: House) -> None:
    outcome = house.connector().write(shipment(carrier="pigeon"))
    assert outcome.result is Result.REJECTED
    assert "'pigeon' is not among those that the manifest maps (dhl, ups)" in outcome.detail
    assert house.server.asked == []


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (409, Result.ALREADY_DELIVERED),
        (423, Result.UNAVAILABLE),
        (422, Result.REJECTED),
        (429, Result.THROTTLED),
        (500, Result.UNKNOWN),
    ],
)
def test_a_status_means_what_the_manifest_says_and_else_what_it_always_does(
    house: House, status: int, result: Result
) -> None:
    house.vendor.instead = Reply(status, {"message": "no"})
    assert house.connector().write(shipment()).result is result


def test_an_error_inside_http_200_is_an_error(house: House) -> None:
    house.vendor.instead = Reply(body={"error": {"code": "BUSY", "message": "later", "wait": 4}})
    outcome = house.connector().write(shipment())
    assert (outcome.result, outcome.retry_after) == (Result.THROTTLED, 4)
    with pytest.raises(ThrottledError):
        polled(house.connector(), "stock")
    house.vendor.instead = Reply(body={"error": {"code": "NO", "message": "no order for anna@example.org"}})
    outcome = house.connector().write(shipment())
    assert outcome.result is Result.REJECTED
    assert "no order for" in outcome.detail
    assert "anna" not in outcome.detail
    with pytest.raises(RejectedError):
        polled(house.connector(), "stock")


def test_a_conditional_write_is_refused_when_the_value_has_moved(house: House) -> None:
    connector = house.connector()
    assert connector.write(offer(7, expected=5)).result is Result.DELIVERED
    assert house.vendor.offers["A1"] == 7
    stale = connector.write(offer(9, expected=5))
    assert (stale.result, stale.current, house.vendor.offers["A1"]) == (Result.STALE, 7, 7)


def test_a_value_that_moves_between_reading_and_writing_is_stale_too(house: House) -> None:
    vendor = house.vendor
    plain = vendor.__call__

    def moving(asked: Asked) -> Reply:
        reply = plain(asked)
        if asked.method == "GET":
            vendor.version += 1
        return reply

    house.server.answer = moving
    assert house.connector().write(offer(7, expected=5)).result is Result.STALE
    assert vendor.offers["A1"] == 5


def test_a_conditional_write_without_an_answer_is_told_by_what_is_shown(house: House) -> None:
    connector = house.connector()
    assert connector.read_back(offer(7, expected=5)).result is Result.ABSENT
    house.vendor.offers["A1"] = 7
    assert connector.read_back(offer(7, expected=5)).result is Result.ALREADY_DELIVERED
    house.vendor.offers["A1"] = 6
    assert connector.read_back(offer(7, expected=5)).result is Result.STALE


def test_a_lookup_that_lists_ids_tells_of_all_that_bear_our_reference(house: House) -> None:
    house.vendor.instead = Reply(body={"items": [{"id": 71}, {"id": 72}]})
    listed = {"writes__0__lookup__found": "items[0]", "writes__0__lookup__id": "items[0].id"}
    outcome = house.connector(**listed, writes__0__lookup__ids="items[].id").read_back(shipment())
    assert (outcome.result, outcome.native_id, outcome.effects) == (Result.ALREADY_DELIVERED, "71", ("71", "72"))
    assert house.connector(**listed).read_back(shipment()).effects == ()
    assert house.connector(**listed, writes__0__lookup__ids="items[0].id").read_back(shipment()).effects == ()


def test_without_a_lookup_a_key_is_all_there_is_and_without_a_key_there_is_nothing(house: House) -> None:
    assert house.connector(writes__0__lookup=None).read_back(shipment()).result is Result.UNSEEN
    nothing = house.connector(writes__0__lookup=None, writes__0__guarantee="none")
    assert nothing.read_back(shipment()).result is Result.UNKNOWN


def test_what_cannot_be_looked_up_now_leaves_the_write_in_doubt(house: House) -> None:
    house.vendor.instead = Reply(403)
    assert house.connector().read_back(shipment()).result is Result.UNKNOWN


def test_a_path_is_never_filled_with_what_leads_elsewhere(house: House) -> None:
    for name in ("..", "", "."):
        outcome = house.connector().write(shipment(order_ref=name))
        assert (outcome.result, "nothing was sent" in outcome.detail) == (Result.REJECTED, True)
    assert house.server.asked == []


@pytest.fixture
def graph(scripted: Begin) -> tuple[ScriptedServer, dict[str, Any]]:
    """A GraphQL system that is signed in to, with pages by Relay."""
    told: dict[str, Any] = {"open": "session-token-of-some-length-1", "errors": None, "left": False}

    def answer(asked: Asked) -> Reply:
        sent = asked.json()
        if "login" in sent["query"]:
            good = sent["variables"] == {"user": "u-name", "password": "pass-word"}
            return Reply(body={"data": {"login": {"ok": good}}}, headers={"X-Session": told["open"]} if good else {})
        if "logout" in sent["query"]:
            told["left"] = asked.headers["authorization"] == f"Bearer {told['open']}"
            return Reply(body={"data": {}})
        if asked.headers.get("authorization") != f"Bearer {told['open']}":
            return Reply(401)
        if told["errors"]:
            return Reply(body={"data": None, "errors": told["errors"]})
        at = int(sent["variables"]["after"] or 0)
        nodes = [{"sku": f"A{at + n}", "title": "x", "price": 5, "at": "2026-11-27T05:00:00Z"} for n in (1, 2)]
        info = {"hasNextPage": at < 4, "endCursor": str(at + 2)}
        return Reply(body={"data": {"items": {"nodes": nodes, "pageInfo": info}}})

    return scripted(answer), told


GRAPH: dict[str, Any] = yaml.safe_load("""
title: Graph
access:
  kind: login
  request: {path: /api, graphql: mutation login, variables: {user: {secret: user}, password: {secret: password}}}
  token: 'headers."x-session"'
  logout: {path: /api, graphql: mutation logout}
errors:
  - {when: "errors[?extensions.code=='THROTTLED']", means: throttled, wait: extensions.wait}
reads:
  - entity: items
    request: {path: /api, graphql: query items, variables: {after: page}}
    records: data.items.nodes
    paging: {kind: relay, connection: data.items}
    identity: sku
    messages:
      - type: product.described
        version: at
        fields: {sku: sku, title: title, unit_cost: null, unit_price: {path: price, as: decimal}, currency: {value: EUR}}
""")


def graphed(server: ScriptedServer, password: str) -> DeclaredConnector:
    return DeclaredConnector(
        Given(server.url, {"user": "u-name", "password": password}, {"manifest": GRAPH}, timeout=3.0).context()
    )


def test_a_graphql_system_is_signed_in_to_read_by_relay_and_left(graph: tuple[ScriptedServer, dict[str, Any]]) -> None:
    server, told = graph
    connector = graphed(server, "pass-word")
    assert set(connector.manifest.secrets) == {"user", "password"}
    assert [draft.subject for draft in drafts(connector, "items")] == [f"A{n}" for n in range(1, 7)]
    told["open"] = "session-token-of-some-length-2"
    assert len(drafts(connector, "items")) == 6, "the session was over, and is opened anew"
    connector.close()
    assert told["left"] is True


def test_headers_of_the_manifest_are_sent_with_every_request(graph: tuple[ScriptedServer, dict[str, Any]]) -> None:
    options = {"manifest": {**GRAPH, "headers": {"X-Channel": "web"}}}
    secrets = {"user": "u-name", "password": "pass-word"}
    connector = DeclaredConnector(Given(graph[0].url, secrets, options, timeout=3.0).context())
    drafts(connector, "items")
    connector.close()
    assert {one.headers.get("x-channel") for one in graph[0].asked} == {"web"}


def test_errors_of_graphql_inside_http_200_are_errors(graph: tuple[ScriptedServer, dict[str, Any]]) -> None:
    server, told = graph
    connector = graphed(server, "pass-word")
    told["errors"] = [{"message": "unknown field"}]
    with pytest.raises(RejectedError, match="unknown field"):
        drafts(connector, "items")
    told["errors"] = [{"message": "slower", "extensions": {"code": "THROTTLED"}}]
    with pytest.raises(ThrottledError):
        drafts(connector, "items")


def test_a_login_that_gives_nothing_is_no_session(graph: tuple[ScriptedServer, dict[str, Any]]) -> None:
    with pytest.raises(UnreadableError, match="check the secrets"):
        drafts(graphed(graph[0], "wrong-word"), "items")


def test_a_write_may_need_what_another_request_answers_and_waits_until_that_is_there(house: House) -> None:
    """An order's lines have ids of their own, which the shipment has to name."""
    before = {"request": {"path": "/v1/orders"}, "needs": "data[?number=='O/1']"}
    found = {"path": "item.sku", "among": "before.data[0].lines", "by": "article", "take": "id"}
    body = {"fields": {"number": "ref", "lines": {"each": "payload.lines", "fields": {"line": found}}}}
    changed = {"writes__0__before": before, "writes__0__request__body": body}
    waiting = house.connector(**changed).write(shipment())
    assert (waiting.result, "waits for it" in waiting.detail) == (Result.UNAVAILABLE, True)
    assert not house.vendor.shipments
    house.vendor.orders = [order("O/1")]
    assert house.connector(**changed).write(shipment()).result is Result.DELIVERED
    assert house.vendor.shipments["SHP-1"]["lines"] == [{"line": 71}]
    outcome = house.connector(**changed).write(shipment("SHP-2", lines=[{"sku": "A9", "quantity": 1}]))
    assert (outcome.result, "'A9' is not among" in outcome.detail) == (Result.REJECTED, True)


def test_a_number_may_be_the_difference_of_two(house: House) -> None:
    house.vendor.rows = [row(1, held=4), row(2)]
    free = {"path": "count", "minus": "held", "as": "integer"}
    found = drafts(house.connector(reads__0__messages__0__fields__available=free), "stock")
    assert [draft.data["available"] for draft in found] == [7, 12]


def test_a_session_that_is_told_to_be_over_inside_http_200_is_opened_anew(
    graph: tuple[ScriptedServer, dict[str, Any]],
) -> None:
    server, told = graph
    plain = server.answer

    def inside(asked: Asked) -> Reply:
        reply = plain(asked)
        return (
            Reply(body={"errors": [{"extensions": {"code": "FORBIDDEN"}}], "data": None})
            if reply.status == 401
            else reply
        )

    server.answer = inside
    options = {"manifest": {**GRAPH, "access": {**GRAPH["access"], "over": "errors[?extensions.code=='FORBIDDEN']"}}}
    connector = DeclaredConnector(
        Given(server.url, {"user": "u-name", "password": "pass-word"}, options, timeout=3.0).context()
    )
    assert len(drafts(connector, "items")) == 6
    told["open"] = "session-token-of-some-length-2"
    assert len(drafts(connector, "items")) == 6


# --- what an expression cannot be put to ---
@pytest.mark.parametrize("told", ["nan", "inf", "1e999"])
def test_a_number_that_is_none_is_refused_by_its_field_and_spoils_no_other_record(house: House, told: str) -> None:
    house.vendor.rows[1] = {**row(2), "note": told}
    connector = house.connector(
        reads__0__messages__0__when="not_null(note, `1`) && ceil(to_number(not_null(note, '1'))) >= `1`"
    )
    records, _ = polled(connector, "stock")
    refused = 0
    for one in records:
        try:
            connector.translate(one.topic, one.body)
        except BadInputError:
            refused += 1
    assert (len(records), refused) == (5, 1)


def test_half_a_character_in_a_record_holds_up_no_other(house: House) -> None:
    house.vendor.rows[1] = {**row(2), "note": "\ud800"}
    records, _ = polled(house.connector(), "stock")
    assert len({one.event_key for one in records}) == len(records) == 5


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({"reads__0__records": "ceil(items)"}, {"items": "x"}),
        ({"reads__0__paging__token": "ceil(next)"}, {"items": [], "next": "x"}),
    ],
)
def test_an_answer_that_the_manifest_cannot_be_put_to_breaks_the_contract(
    house: House, change: dict[str, Any], body: Any
) -> None:
    house.server.answer = lambda _: Reply(body=body)
    with pytest.raises(UnreadableError):
        polled(house.connector(**change), "stock")


def test_an_answer_to_a_write_that_the_manifest_cannot_be_put_to_leaves_it_in_doubt(house: House) -> None:
    """It took effect, whatever the manifest makes of the answer: it is looked for, and not given up."""
    connector = house.connector(errors=[{"when": "ceil(fault)", "means": "rejected"}])
    house.server.answer = lambda asked: Reply(201 if asked.method == "POST" else 200, {"fault": "none"})
    assert connector.write(shipment()).result is Result.UNKNOWN
    assert connector.read_back(shipment()).result is Result.UNKNOWN


# --- pages that never end ---
@pytest.mark.parametrize("kind", ["token", "offset", "key", "numbered"])
def test_pages_that_go_round_or_stand_still_end_as_a_broken_contract(house: House, kind: str) -> None:
    asked = 0

    def answer(_: Asked) -> Reply:
        nonlocal asked
        asked += 1
        return Reply(body={"items": [row(1), row(2)], "next": str(asked % 3)})

    house.server.answer = answer
    paging = {"kind": kind, **({"token": "next"} if kind == "token" else {"size": 2})} | (
        {"key": "code"} if kind == "key" else {}
    )
    connector = house.connector(reads__0__paging=paging, reads__0__records="items")
    with pytest.raises(UnreadableError):
        polled(connector, "stock")
    assert asked < 10
