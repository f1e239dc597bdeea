"""Ways in which systems give a long answer in parts, each walked once: no connector turns pages by itself.

Each takes `fetch`, which asks for one page and returns the answer, and yields the answers of all pages, one after another, so that
no more than one is held. A cursor that does not move raises UnreadableError: a walk always ends. GraphQL's are in `graphql.relay`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

from controlplane.connectors.http import Answer

_LINK = re.compile(r'<([^>]*)>\s*((?:;\s*[\w*]+\s*=\s*(?:"[^"]*"|[^",;]+)\s*)*)')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^",;]+))', re.IGNORECASE)


def by_token(fetch: Callable[[str | None], Answer], token_of: Callable[[Answer], str | None]) -> Iterator[Answer]:
    """Follow a cursor or page token that each answer gives to the next; none, or an empty one, ends it."""
    token: str | None = None
    while True:
        answer = fetch(token)
        yield answer
        following = token_of(answer)
        if not following:
            return
        if following == token:
            answer.fail("promises another page and gives no new cursor to it")
        token = following


def by_link(fetch: Callable[[str | None], Answer], endpoint: str) -> Iterator[Answer]:
    """Follow `Link: <…>; rel="next"` (RFC 8288). `fetch` takes path and query below the endpoint, None for the first."""
    return by_token(fetch, lambda answer: _below(endpoint, linked(answer.headers, "next"), answer))


def by_next_url(
    fetch: Callable[[str | None], Answer], endpoint: str, url_of: Callable[[Answer], str | None]
) -> Iterator[Answer]:
    """Follow the address that the body gives (`@odata.nextLink`, `__next`, `next`). `fetch` as in `by_link`."""
    return by_token(fetch, lambda answer: _below(endpoint, url_of(answer), answer))


def by_offset(
    fetch: Callable[[int], Answer], rows_of: Callable[[Answer], Sequence[Any]], size: int, *, first: int = 0, step: int = 0
) -> Iterator[Answer]:  # fmt: skip
    """Count on by `step` (the rows of a full page unless given: 1 where pages are numbered) until a page is not full.

    Rows that move while they are read are repeated or missed: only for what is sorted by something that does not change.
    """
    at = first
    while True:
        answer = fetch(at)
        yield answer
        if len(rows_of(answer)) < size:
            return
        at += step or size


def by_page(
    fetch: Callable[[int], Answer], rows_of: Callable[[Answer], Sequence[Any]], total_of: Callable[[Answer], int]
) -> Iterator[tuple[Sequence[Any], Answer]]:  # fmt: skip
    """Count pages from 1 until as many rows came as there are; yield (rows, answer). What a page beyond the end repeats is left out."""
    page, seen = 1, 0
    while True:
        answer = fetch(page)
        rows, total = rows_of(answer), total_of(answer)
        yield rows[: max(0, total - seen)], answer
        seen += len(rows)
        if not rows or seen >= total:
            return
        page += 1


def by_key(
    fetch: Callable[[Any], Answer], rows_of: Callable[[Answer], Sequence[Any]], key_of: Callable[[Any], Any], size: int, *,
    after: Any = None,
) -> Iterator[Answer]:  # fmt: skip
    """Ask for what comes after the last key of the page before, by a unique order, until a page is not full."""
    while True:
        answer = fetch(after)
        yield answer
        rows = rows_of(answer)
        if len(rows) < size:
            return
        following = key_of(rows[-1])
        if following == after:
            answer.fail("gives the same page again after its last key")
        after = following


def linked(headers: Mapping[str, str], relation: str) -> str | None:
    """Return the target of a Link header's relation, None where there is none."""
    for target, parameters in _LINK.findall(headers.get("link", "")):
        told = _REL.search(parameters)
        if told and relation in (told[1] or told[2] or "").lower().split():
            return str(target)
    return None


def _below(endpoint: str, url: str | None, answer: Answer) -> str | None:
    """Return path and query of the address, relative to the endpoint. What leads elsewhere is not followed."""
    if not url:
        return None
    base = endpoint.rstrip("/") + "/"
    found, ours = urlsplit(urljoin(base, url)), urlsplit(base)
    same = (found.scheme, found.netloc.lower()) == (ours.scheme, ours.netloc.lower())
    if not same or not found.path.startswith(ours.path):
        answer.fail(f"gives a next page at {found.netloc or url}, outside of its own endpoint")
    path = "/" + found.path[len(ours.path) :]
    return f"{path}?{found.query}" if found.query else path
