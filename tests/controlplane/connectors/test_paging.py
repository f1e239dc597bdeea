"""Walks over pages of a real server: each ends, none loses a row without saying so, none leaves the endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controlplane.connectors import paging
from controlplane.connectors.graphql import relay
from controlplane.connectors.http import Answer, HttpClient
from controlplane.connectors.paging import ExpiredPageError, linked
from controlplane.connectors.redaction import Redactor
from controlplane.errors import RejectedError, UnreadableError
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

Begin = Callable[[Callable[[Asked], Reply]], ScriptedServer]
ROWS = list(range(1, 11))


def rows_of(answer: Answer) -> list[int]:
    found: list[int] = answer.json()["rows"]
    return found


def all_rows(walk: Iterator[Answer]) -> list[int]:
    return [row for answer in walk for row in rows_of(answer)]


def asking(server: ScriptedServer, base: str = "") -> tuple[HttpClient, Callable[..., Answer]]:
    http = HttpClient(Given(server.url + base).context(), Redactor())
    return http, lambda **params: http.send("GET", "/rows", write=False, params=params)


def token_of(answer: Answer) -> Any:
    return answer.json().get("next")


def by_token(fetch: Callable[..., Answer]) -> Iterator[Answer]:
    return paging.by_token(lambda token: fetch(**({"page": token} if token else {})), token_of, rows_of)


def test_a_cursor_is_followed_to_its_end(scripted: Begin) -> None:
    def answer(asked: Asked) -> Reply:
        at = int(asked.query.get("page", 0))
        return Reply(body={"rows": ROWS[at : at + 4], "next": str(at + 4) if at + 4 < 10 else ""})

    _, fetch = asking(scripted(answer))
    assert all_rows(by_token(fetch)) == ROWS


@pytest.mark.parametrize("tokens", [{None: "a", "a": "a"}, {None: "a", "a": "b", "b": "a"}])
def test_a_cursor_that_stands_still_or_goes_in_a_circle_is_no_end(
    scripted: Begin, tokens: dict[str | None, str]
) -> None:
    server = scripted(lambda asked: Reply(body={"rows": [1], "next": tokens[asked.query.get("page")]}))
    _, fetch = asking(server)
    with pytest.raises(UnreadableError, match="no new cursor"):
        all_rows(by_token(fetch))
    assert len(server.asked) == len(tokens)


def links(server: ScriptedServer, base: str = "/api") -> list[int]:
    http, _ = asking(server, base)
    walk = paging.by_link(
        lambda path: http.send("GET", path or "/rows?limit=5", write=False), http.context.endpoint, rows_of
    )
    return all_rows(walk)


@pytest.mark.parametrize("form", ["{url}/api/rows?page=2", "/api/rows?page=2", "rows?page=2", "?page=2"])
def test_a_link_is_followed_however_it_is_written(scripted: Begin, form: str) -> None:
    def answer(asked: Asked) -> Reply:
        second = asked.query.get("page") == "2"
        base = form if form != "?page=2" else "rows?page=2"
        told = {"Link": f'<{base.format(url=server.url)}>; title="a, b"; rel="last next", </api/x>; rel=prev'}
        return Reply(body={"rows": ROWS[5:] if second else ROWS[:5]}, headers={} if second else told)

    server = scripted(answer)
    assert links(server) == ROWS
    assert [one.path for one in server.asked] == ["/api/rows", "/api/rows"]


@pytest.mark.parametrize("form", [
    "https://evil.example/api/rows", "//evil.example/api/rows", "{url}/other", "{url}/api/../admin", "{url}/api/%2e%2e/admin",
    "{url}/api/%252e%252e/admin", "/apix/rows", "http://u:p@{host}/api/rows", "http://127.0.0.1:99999/api/rows", "ftp://{host}/api/rows",
])  # fmt: skip
def test_a_link_that_leads_off_the_endpoint_is_not_followed(scripted: Begin, form: str) -> None:
    def answer(asked: Asked) -> Reply:
        url = form.format(url=server.url, host=server.url.removeprefix("http://"))
        return Reply(body={"rows": [1]}, headers={"Link": f'<{url}>; rel="next"'})

    server = scripted(answer)
    with pytest.raises(UnreadableError, match="outside of its own endpoint"):
        links(server)
    assert [one.path for one in server.asked] == ["/api/rows"]


def test_a_link_may_name_the_port_that_goes_without_saying() -> None:
    answer = Answer(200, {}, b"", None, None, False)  # type: ignore[arg-type]
    assert paging.below("https://shop.example/api", "https://SHOP.example:443/api/rows?a=1", answer) == "/rows?a=1"


def test_a_long_header_without_a_link_is_read_quickly() -> None:
    assert linked({"link": "<a>" + "; x" * 20000 + " " * 20000 + '"'}, "next") is None
    assert linked({}, "next") is None


def test_the_next_address_of_an_odata_answer_is_followed(scripted: Begin) -> None:
    def answer(asked: Asked) -> Reply:
        first = "$skiptoken" not in asked.query
        told = {"@odata.nextLink": f"{server.url}/odata/rows?$skiptoken=5"} if first else {}
        return Reply(body={"rows": ROWS[:5] if first else ROWS[5:], **told})

    server = scripted(answer)
    http, _ = asking(server, "/odata")
    walk = paging.by_next_url(
        lambda path: http.send("GET", path or "/rows", write=False), http.context.endpoint,
        lambda a: a.json().get("@odata.nextLink"), rows_of,
    )  # fmt: skip
    assert all_rows(walk) == ROWS


def offsets(limit: int, total: bool = False) -> Callable[[Asked], Reply]:
    def answer(asked: Asked) -> Reply:
        at, size = int(asked.query["at"]), min(limit, int(asked.query["size"]))
        return Reply(body={"rows": ROWS[at : at + size], **({"total": 10} if total else {})})

    return answer


@pytest.mark.parametrize(("limit", "requests"), [(4, 3), (100, 3), (3, 5)])
def test_a_system_that_gives_less_than_is_asked_for_is_read_whole(scripted: Begin, limit: int, requests: int) -> None:
    size = 4 if limit != 100 else 5
    server = scripted(offsets(limit))
    _, fetch = asking(server)
    assert all_rows(paging.by_offset(lambda at: fetch(at=at, size=size), rows_of, size)) == ROWS
    assert len(server.asked) == requests


def test_a_total_saves_the_request_that_finds_nothing(scripted: Begin) -> None:
    server = scripted(offsets(5, total=True))
    _, fetch = asking(server)
    walk = paging.by_offset(lambda at: fetch(at=at, size=5), rows_of, 5, total_of=lambda a: a.json()["total"])
    assert all_rows(walk) == ROWS
    assert len(server.asked) == 2


def test_pages_may_be_numbered(scripted: Begin) -> None:
    server = scripted(lambda asked: Reply(body={"rows": ROWS[(int(asked.query["n"]) - 1) * 4 :][:4]}))
    _, fetch = asking(server)
    assert all_rows(paging.by_offset(lambda n: fetch(n=n), rows_of, 4, first=1, step=1)) == ROWS


def test_a_system_that_does_not_take_the_offset_is_found_out(scripted: Begin) -> None:
    _, fetch = asking(scripted(lambda _: Reply(body={"rows": ROWS})))
    with pytest.raises(UnreadableError, match="same page again"):
        all_rows(paging.by_offset(lambda at: fetch(at=at), rows_of, 10))


@pytest.mark.parametrize("limit", [3, 5])
def test_keys_are_followed_although_the_system_has_a_limit_of_its_own(scripted: Begin, limit: int) -> None:
    def answer(asked: Asked) -> Reply:
        after = int(asked.query.get("after", 0))
        return Reply(body={"rows": [row for row in ROWS if row > after][:limit]})

    _, fetch = asking(scripted(answer))
    walk = paging.by_key(lambda after: fetch(**({"after": after} if after else {})), rows_of, lambda row: row, 5)
    assert all_rows(walk) == ROWS


def test_a_page_that_ends_with_a_key_that_was_there_is_no_progress(scripted: Begin) -> None:
    _, fetch = asking(scripted(lambda _: Reply(body={"rows": ROWS})))
    with pytest.raises(UnreadableError, match="no new cursor"):
        all_rows(paging.by_key(lambda after: fetch(after=after), rows_of, lambda row: row, 10))


class Tokens:
    """Pages of two rows by tokens, of which those in `dead` ran out; a walk may begin after a row."""

    def __init__(self, *dead: str) -> None:
        self.dead = set(dead)

    def __call__(self, asked: Asked) -> Reply:
        token = asked.query.get("page", "")
        if token in self.dead:
            self.dead.discard(token)
            return Reply(410, {"error": "the token is over"})
        at = int(token or asked.query.get("after", 0))
        return Reply(body={"rows": ROWS[at : at + 2], "next": str(at + 2) if at + 2 < 10 else None})


def resumed(fetch: Callable[..., Answer]) -> Iterator[Answer]:
    def walk(after: int | None) -> Iterator[Answer]:
        start = {} if after is None else {"after": after}
        return paging.by_token(
            paging.expiring(lambda token: fetch(**({"page": token} if token else start))), token_of, rows_of
        )

    return paging.resuming(walk, lambda answer: rows_of(answer)[-1])


def test_a_page_token_that_ran_out_is_told_by_name(scripted: Begin) -> None:
    _, fetch = asking(scripted(Tokens("4")))
    walk = paging.by_token(
        paging.expiring(lambda token: fetch(**({"page": token} if token else {}))), token_of, rows_of
    )
    found: list[int] = []
    with pytest.raises(ExpiredPageError, match="ran out in the middle"):
        found.extend(row for answer in walk for row in rows_of(answer))


def test_what_refuses_the_first_page_is_a_refusal(scripted: Begin) -> None:
    _, fetch = asking(scripted(lambda _: Reply(410)))
    with pytest.raises(RejectedError):
        all_rows(paging.by_token(paging.expiring(lambda _: fetch()), token_of, rows_of))


def test_a_walk_goes_on_from_the_last_key_when_its_token_ran_out(scripted: Begin) -> None:
    _, fetch = asking(scripted(Tokens("4", "8")))
    assert all_rows(resumed(fetch)) == ROWS


def test_a_token_that_always_runs_out_at_once_ends_the_walk(scripted: Begin) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(410) if "page" in asked.query else Reply(body={"rows": [5], "next": "t"})

    server = scripted(answer)
    _, fetch = asking(server)
    with pytest.raises(ExpiredPageError):
        all_rows(resumed(fetch))
    assert len(server.asked) == 4


def test_pages_by_number_that_stand_still_short_of_their_total_are_no_end(scripted: Begin) -> None:
    server = scripted(lambda asked: Reply(body={"rows": ROWS[:4], "at": asked.query["page"]}))
    _, fetch = asking(server)
    walk = paging.by_page(lambda page: fetch(page=str(page)), rows_of, lambda _: 10**9)
    with pytest.raises(UnreadableError, match="the same page again"):
        list(walk)
    assert len(server.asked) == 2


def test_a_cursor_of_graphql_that_goes_in_a_circle_is_no_end(scripted: Begin) -> None:
    following = {None: "a", "a": "b", "b": "a"}
    server = scripted(lambda asked: Reply(body={"next": following[asked.query.get("after")]}))
    _, fetch = asking(server)

    def connection(after: str | None) -> tuple[dict[str, Any], Answer]:
        answer = fetch(**({"after": after} if after else {}))
        return {"nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": answer.json()["next"]}}, answer

    with pytest.raises(UnreadableError, match="no new cursor"):
        list(relay(connection))
    assert len(server.asked) == 3


@pytest.mark.parametrize("token", [{"a": 1}, [1]])
def test_what_is_no_cursor_ends_a_walk_by_name(scripted: Begin, token: Any) -> None:
    _, fetch = asking(scripted(lambda _: Reply(body={"rows": [1], "next": token})))
    with pytest.raises(UnreadableError, match="for a cursor"):
        all_rows(by_token(fetch))
