"""Systems that promise another page for ever, each time with a new cursor: every way of paging gives up, and says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import httpx
import pytest

from controlplane.connectors import paging
from controlplane.connectors.builtin.netsuite import suiteql
from controlplane.connectors.declared.connector import DeclaredConnector
from controlplane.connectors.graphql import relay
from controlplane.connectors.http import Answer, HttpClient
from controlplane.connectors.odata import Service
from controlplane.connectors.odata4 import Service4
from controlplane.connectors.paging import BARREN, ExpiredPageError
from controlplane.connectors.redaction import Redactor
from controlplane.errors import UnreadableError
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

Begin = Callable[[Callable[[Asked], Reply]], ScriptedServer]
Serve = Callable[[list[dict[str, Any]], int], Reply]
"""(rows of a page, the number of the request) -> the answer, which promises another page."""
Walk = Callable[[HttpClient, str], Iterator[Any]]
EMPTY: tuple[list[dict[str, Any]], ...] = ([],)
REPEATED = ([{"id": 1}, {"id": 2}], [{"id": 3}, {"id": 4}])
NO_END = "gave 100 pages in a row without a record that had not come before.*such a list has no end.*tell its vendor"


def rows_of(answer: Answer) -> list[Any]:
    found: list[Any] = answer.json()["rows"]
    return found


def token_of(answer: Answer) -> str | None:
    told = answer.json().get("next")
    return str(told) if told else None


def by_token(http: HttpClient, _: str) -> Iterator[Any]:
    return paging.by_token(
        lambda token: http.send("GET", "/rows", write=False, params={"page": token or ""}), token_of, rows_of
    )


def by_expiring_token(http: HttpClient, _: str) -> Iterator[Any]:
    fetch = paging.expiring(lambda token: http.send("GET", "/rows", write=False, params={"page": token or ""}))
    return paging.resuming(lambda _: paging.by_token(fetch, token_of, rows_of), lambda _: None)


def by_link(http: HttpClient, url: str) -> Iterator[Any]:
    return paging.by_link(lambda path: http.send("GET", path or "/rows", write=False), url, rows_of)


def by_next_url(http: HttpClient, url: str) -> Iterator[Any]:
    return paging.by_next_url(lambda path: http.send("GET", path or "/rows", write=False), url, token_of, rows_of)


def by_offset(http: HttpClient, _: str) -> Iterator[Any]:
    return paging.by_offset(lambda at: http.send("GET", "/rows", write=False, params={"at": at}), rows_of, 2)


def by_page(http: HttpClient, _: str) -> Iterator[Any]:
    return paging.by_page(
        lambda at: http.send("GET", "/rows", write=False, params={"at": at}), rows_of, lambda _: 10**9
    )


def by_relay(http: HttpClient, _: str) -> Iterator[Any]:
    def fetch(after: str | None) -> tuple[dict[str, Any], Answer]:
        answer = http.send("GET", "/rows", write=False, params={"after": after or ""})
        return {"nodes": rows_of(answer), "pageInfo": {"hasNextPage": True, "endCursor": token_of(answer)}}, answer

    return relay(fetch)


def odata(kind: type[Service]) -> Walk:
    def walk(http: HttpClient, _: str) -> Iterator[Any]:
        return kind(http, httpx.Auth(), "").rows("/Rows")

    return walk


def plain(rows: list[dict[str, Any]], number: int) -> Reply:
    return Reply(body={"rows": rows, "next": f"t{number}"})


def linked(rows: list[dict[str, Any]], number: int) -> Reply:
    return Reply(body={"rows": rows}, headers={"Link": f'</rows?page={number}>; rel="next"'})


def url(rows: list[dict[str, Any]], number: int) -> Reply:
    return Reply(body={"rows": rows, "next": f"/rows?page={number}"})


def v2(rows: list[dict[str, Any]], number: int) -> Reply:
    return Reply(body={"d": {"results": rows, "__next": f"/Rows?$skiptoken={number}"}})


def v4(rows: list[dict[str, Any]], number: int) -> Reply:
    return Reply(body={"value": rows, "@odata.nextLink": f"/Rows?$skiptoken={number}"})


SCHEMES: dict[str, tuple[Walk, Serve]] = {
    "cursor": (by_token, plain), "a cursor that expires": (by_expiring_token, plain), "link header": (by_link, linked),
    "next address": (by_next_url, url), "relay": (by_relay, plain), "odata v2": (odata(Service), v2), "odata v4": (odata(Service4), v4),
}  # fmt: skip
COUNTED: dict[str, tuple[Walk, Serve]] = {"offset": (by_offset, plain), "numbers": (by_page, plain)}
"""Of these an empty page is the end; but a system may repeat its pages in turns."""


def endless(scripted: Begin, serve: Serve, pages: tuple[list[dict[str, Any]], ...]) -> ScriptedServer:
    numbers = count()

    def answer(_: Asked) -> Reply:
        number = next(numbers)
        return serve(pages[number % len(pages)], number)

    return scripted(answer)


@pytest.mark.parametrize("pages", [EMPTY, REPEATED], ids=["empty", "repeated"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_cursor_that_is_new_every_time_does_not_lead_on_for_ever(
    scripted: Begin, scheme: str, pages: tuple[list[dict[str, Any]], ...]
) -> None:
    walk, serve = SCHEMES[scheme]
    server = endless(scripted, serve, pages)
    http = HttpClient(Given(server.url).context(), Redactor())
    with pytest.raises(UnreadableError, match=f"^{http.context.system} {NO_END}"):
        list(walk(http, server.url))
    assert len(server.asked) == BARREN + (len(pages) if pages is REPEATED else 0)


@pytest.mark.parametrize("scheme", COUNTED)
def test_pages_that_are_counted_and_come_again_in_turns_are_no_progress(scripted: Begin, scheme: str) -> None:
    walk, serve = COUNTED[scheme]
    server = endless(scripted, serve, REPEATED)
    http = HttpClient(Given(server.url).context(), Redactor())
    with pytest.raises(UnreadableError, match=f"^{http.context.system} {NO_END}"):
        list(walk(http, server.url))
    assert len(server.asked) == BARREN + len(REPEATED)


def test_keys_that_come_in_turns_are_no_progress(scripted: Begin) -> None:
    server = endless(scripted, plain, REPEATED)
    http = HttpClient(Given(server.url).context(), Redactor())
    walk = paging.by_key(
        lambda after: http.send("GET", "/rows", write=False, params={"after": after or 0}),
        rows_of,
        lambda row: row["id"],
        2,
    )
    with pytest.raises(UnreadableError, match=f"^{http.context.system} promises another page and gives no new cursor"):
        list(walk)
    assert len(server.asked) == 3


def test_keys_of_suiteql_that_stand_still_are_no_progress(scripted: Begin) -> None:
    server = scripted(lambda _: Reply(body={"items": [{"id": 7}], "hasMore": True}))
    http = HttpClient(Given(server.url).context(), Redactor())
    with pytest.raises(UnreadableError, match="no new cursor"):
        list(suiteql.pages(http, None, lambda after: f"after {after}", 0, suiteql.identity))
    assert len(server.asked) == 2


def test_a_few_empty_pages_are_walked_through(scripted: Begin) -> None:
    """A vendor that filters after it has cut its pages leaves some of them empty."""

    def answer(asked: Asked) -> Reply:
        at = int(asked.query.get("page") or 0)
        return Reply(body={"rows": [{"id": at}] if at in (0, 90, 179) else [], "next": str(at + 1) if at < 179 else ""})

    http = HttpClient(Given(scripted(answer).url).context(), Redactor())
    assert [row["id"] for answer in by_token(http, "") for row in rows_of(answer)] == [0, 90, 179]


def test_a_token_that_runs_out_again_and_again_ends_a_walk_that_goes_round(scripted: Begin) -> None:
    """From row 1 on the system gives 2, from row 2 on it gives 1, and every second page has run out."""

    def answer(asked: Asked) -> Reply:
        if "page" in asked.query:
            return Reply(410)
        return Reply(body={"rows": [2 if asked.query.get("after") == "1" else 1], "next": "t"})

    server = scripted(answer)
    http = HttpClient(Given(server.url).context(), Redactor())

    def walk(after: int | None) -> Iterator[Answer]:
        def fetch(token: str | None) -> Answer:
            asked: dict[str, Any] = {"page": token} if token else {"after": after} if after else {}
            return http.send("GET", "/rows", write=False, params=asked)

        return paging.by_token(paging.expiring(fetch), token_of, rows_of)

    with pytest.raises(ExpiredPageError):
        list(paging.resuming(walk, lambda answer: rows_of(answer)[-1]))
    assert len(server.asked) == 6


def test_a_page_that_is_short_is_not_the_last_one_where_the_total_says_more(scripted: Begin) -> None:
    parts = {0: [1, 2, 3, 4], 4: [5, 6], 6: [7, 8, 9, 10]}
    server = scripted(lambda asked: Reply(body={"rows": parts[int(asked.query["at"])], "total": 10}))
    http = HttpClient(Given(server.url).context(), Redactor())
    walk = paging.by_offset(
        lambda at: http.send("GET", "/rows", write=False, params={"at": at}),
        rows_of,
        4,
        total_of=lambda a: int(a.json()["total"]),
    )
    assert [row for answer in walk for row in rows_of(answer)] == list(range(1, 11))


# --- declared connectors ---
REQUEST = {"path": "/rows", "params": {"page": "page", "size": "size"}}
DECLARED: dict[str, tuple[dict[str, Any], Serve]] = {
    "token": ({"kind": "token", "token": "next"}, plain),
    "a token that expires": ({"kind": "token", "token": "next", "expires": True}, plain),
    "link": ({"kind": "link"}, linked),
    "next_url": ({"kind": "next_url", "token": "next"}, url),
    "relay": (
        {"kind": "relay", "connection": "connection"},
        lambda rows, number: Reply(
            body={"rows": rows, "connection": {"pageInfo": {"hasNextPage": True, "endCursor": f"t{number}"}}}
        ),
    ),
    "offset": ({"kind": "offset", "size": 2}, plain),
    "numbered": ({"kind": "numbered", "size": 2, "first": 1}, plain),
}


def declared(server: ScriptedServer, pages: dict[str, Any]) -> DeclaredConnector:
    read = {
        "entity": "stock", "request": REQUEST, "records": "rows", "paging": pages, "identity": "id",
        "levels": {"sku": {"path": "id", "as": "text"}, "location": {"value": "WH1"}, "on_hand": "id"},
    }  # fmt: skip
    return DeclaredConnector(Given(server.url, options={"manifest": {"title": "Endless", "reads": [read]}}).context())


@pytest.mark.parametrize("pages", [EMPTY, REPEATED], ids=["empty", "repeated"])
@pytest.mark.parametrize("kind", DECLARED)
def test_a_manifest_reads_no_list_without_end(
    scripted: Begin, kind: str, pages: tuple[list[dict[str, Any]], ...]
) -> None:
    how, serve = DECLARED[kind]
    server = endless(scripted, serve, pages)
    connector = declared(server, how)
    if kind in ("offset", "numbered") and pages is EMPTY:
        assert [level for page in connector.snapshot("stock") for level in page] == []
        assert len(server.asked) == 1
        return
    with pytest.raises(UnreadableError, match=f"^{connector.context.system} {NO_END}"):
        list(connector.snapshot("stock"))
    assert len(server.asked) <= BARREN + len(REPEATED)
