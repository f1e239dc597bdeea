"""OData V2 against a server that a test scripts: pages, ETags, errors, values, batches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from controlplane.connectors import odata
from controlplane.connectors.http import HttpClient
from controlplane.connectors.odata import ChangedMeanwhileError, LockedError, Service
from controlplane.connectors.odata_batch import Asked as Part
from controlplane.connectors.redaction import Redactor
from controlplane.errors import RejectedError, UnknownOutcomeError, UnreadableError
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

Begin = Callable[[Callable[[Asked], Reply]], ScriptedServer]
ROOT = "/odata/X_SRV"


def service(server: ScriptedServer, **how: Any) -> Service:
    context = Given(server.url + "/sap", timeout=5).context()
    return Service(HttpClient(context, Redactor([])), httpx.BasicAuth("u", "p"), ROOT, **how)


def refused(code: str, words: str, *details: str) -> dict[str, Any]:
    told = [{"code": "X/2", "message": one, "severity": "error"} for one in details]
    return {"error": {"code": code, "message": {"lang": "en", "value": words}, "innererror": {"errordetails": told}}}


def answering(status: int, body: Any = None, **headers: str) -> Callable[[Asked], Reply]:
    def answer(asked: Asked) -> Reply:
        if asked.headers.get("x-csrf-token") == "Fetch":
            return Reply(headers={"X-CSRF-Token": "t", "Set-Cookie": "s=1"})
        return Reply(status, body or {}, headers)

    return answer


def test_a_list_is_followed_along_next(scripted: Begin) -> None:
    def answer(asked: Asked) -> Reply:
        at = int(asked.query.get("$skiptoken", "0"))
        further = {"__next": f"{server.url}/sap{ROOT}/A_X?$skiptoken={at + 2}"} if at < 4 else {}
        return Reply(body={"d": {"results": [{"n": at}, {"n": at + 1}], **further}})

    server = scripted(answer)
    pages = list(service(server).rows("/A_X", filter="a eq 'b'"))
    assert [row["n"] for rows, _ in pages for row in rows] == [0, 1, 2, 3, 4, 5]
    assert server.asked[0].query == {"$filter": "a eq 'b'"}
    assert server.asked[1].query == {"$skiptoken": "2"}


def test_a_next_that_leads_elsewhere_is_not_followed(scripted: Begin) -> None:
    server = scripted(answering(200, {"d": {"results": [], "__next": "http://elsewhere.test/A_X"}}))
    with pytest.raises(UnreadableError, match="outside of its own endpoint"):
        list(service(server).rows("/A_X"))


@pytest.mark.parametrize("most", [2, 3, 50])
def test_a_walk_by_key_loses_no_row_where_a_gateway_gives_shorter_pages_than_asked_for(
    scripted: Begin, most: int
) -> None:
    names = [f"M{n:02}" for n in range(10)]

    def answer(asked: Asked) -> Reply:
        after = asked.query.get("$filter", "Key gt ''").partition(" gt ")[2].strip("'")
        left = [{"Key": one} for one in names if one > after]
        size = min(most, int(asked.query["$top"]))
        further = {"__next": "x"} if size < len(left) else {}
        return Reply(body={"d": {"results": left[:size], **further}})

    pages = list(service(scripted(answer)).by_key("/A_X", "Key", 3))
    assert [row["Key"] for rows, _ in pages for row in rows] == names


@pytest.mark.parametrize("following", [{"": "a", "a": "a"}, {"": "a", "a": "b", "b": "a"}])
def test_a_walk_by_key_that_stands_still_or_goes_in_a_circle_is_unreadable(
    scripted: Begin, following: dict[str, str]
) -> None:
    def answer(asked: Asked) -> Reply:
        _, _, after = asked.query.get("$filter", "").partition("Key gt ")
        return Reply(body={"d": {"results": [{"Key": following[after.strip("'")]}]}})

    server = scripted(answer)
    with pytest.raises(UnreadableError, match="no new cursor"):
        list(service(server).by_key("/A_X", "Key", 1))
    assert len(server.asked) == len(following)


def test_an_entity_is_changed_only_as_it_was_read(scripted: Begin) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.method == "GET":
            return Reply(body={"d": {"a": "1", "__metadata": {"etag": 'W/"1"'}}}, headers={"x-csrf-token": "t"})
        return (
            Reply(204, b"") if asked.headers["if-match"] == 'W/"1"' else Reply(412, refused("", "Precondition failed"))
        )

    server = scripted(answer)
    x = service(server)
    found = x.found("/A_X('1')")
    assert found is not None
    x.merge("/A_X('1')", {"a": "2"}, found[1])
    assert server.asked[-1].json() == {"d": {"a": "2"}}
    with pytest.raises(ChangedMeanwhileError, match="Precondition failed"):
        x.merge("/A_X('1')", {"a": "2"}, 'W/"0"')


def test_what_is_not_there_is_none_and_what_is_refused_is_told_in_the_systems_words(scripted: Begin) -> None:
    assert service(scripted(answering(404, refused("X/404", "Not found")))).found("/A_X('1')") is None
    x = service(scripted(answering(400, refused("V1/100", "An exception was raised", "Material M is not there"))))
    with pytest.raises(RejectedError, match=r"An exception was raised; Material M is not there \[V1/100\]"):
        x.create("/A_X", {})


def test_a_lock_is_no_fault_of_the_document(scripted: Begin) -> None:
    x = service(scripted(answering(400, refused("M3/897", "Locked by JDOE"))), locks=frozenset({"M3/897"}), wait=7)
    with pytest.raises(LockedError, match="Locked by JDOE") as raised:
        x.create("/A_X", {})
    assert raised.value.retry_after == 7


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"d": {"results": []}}', b'{"d": 1}'])
def test_a_creation_that_is_answered_with_something_else_is_unknown(scripted: Begin, body: bytes) -> None:
    with pytest.raises(UnknownOutcomeError):
        service(scripted(answering(200, body))).create("/A_X", {})


def test_a_success_with_a_warning_says_it() -> None:
    told = '{"code": "A/1", "message": "No price", "severity": "warning", "details": [{"message": "Credit"}]}'
    assert odata.warnings({"sap-message": told}) == "No price; Credit"
    assert odata.warnings({"sap-message": "{"}) == odata.warnings({}) == ""


def test_a_batch_that_is_cut_short_leaves_a_write_unknown_and_says_where(scripted: Begin) -> None:
    one = b"--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 201 Created\r\n\r\n{}\r\n"
    kind = {"Content-Type": "multipart/mixed; boundary=b"}
    asked = [[Part("POST", "A_X", {})], [Part("POST", "A_X", {})]]
    for body, names in (
        (one + b"--b--", "1 of the 2 parts"),
        (one + one, "missing"),
        (one + one[:40] + b"\r\n--b--", "part 2"),
    ):
        with pytest.raises(UnknownOutcomeError, match=names):
            service(scripted(answering(202, body, **kind))).batch(asked, write=True)
    replies, _ = service(scripted(answering(202, one + one + b"--b--", **kind))).batch(asked, write=True)
    assert len(replies) == 2


def test_values_are_read_as_the_protocol_writes_them() -> None:
    at = datetime(2026, 11, 27, 6, tzinfo=UTC)
    millis = int(at.timestamp() * 1000)
    assert odata.read_instant(f"/Date({millis})/") == odata.read_instant(f"/Date({millis}+0060)/") == at
    assert odata.read_instant("/Date(-1000)/") == datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert odata.date("2026-11-27T23:59:59+00:00") == f"/Date({millis - 6 * 3600 * 1000})/"
    assert odata.instant(at) == "datetimeoffset'2026-11-27T06:00:00Z'"
    assert odata.decimal("12.340") == Decimal("12.34")
    assert (odata.whole("-3.000"), odata.as_text(Decimal("1E+2")), odata.text("O'Neil")) == (-3, "100", "'O''Neil'")
    assert odata.key("4/5'6") == "'4%2F5''6'"


@pytest.mark.parametrize("told", ["", "NaN", "Infinity", "1e9", "1,5", 3, 1.5, None, "9" * 50])
def test_what_is_no_decimal_is_refused(told: Any) -> None:
    with pytest.raises(ValueError):
        odata.decimal(told)


@pytest.mark.parametrize("told", ["", "2026-11-27", "/Date(x)/", f"/Date({10**16})/"])
def test_what_is_no_instant_is_refused(told: str) -> None:
    with pytest.raises(ValueError):
        odata.read_instant(told)


def test_a_fraction_of_a_piece_is_refused() -> None:
    with pytest.raises(ValueError):
        odata.whole("1.500")
