"""Ways in which systems give a long answer in parts, each walked once: no connector turns pages by itself.

Each takes `fetch`, which asks for one page and returns the answer, and yields the answers of all pages, one after another, so that
no more than one is held. A page with fewer rows than were asked for ends a walk only where an earlier page had as many: a system may have
a limit of its own, and only where it does not tell how many there are. A walk always ends: a cursor that was there before, a page that
comes twice in a row, and too many pages in a row that bring nothing new, however new their cursors are, raise UnreadableError, which
names the system and the remedy. GraphQL's are in `graphql.relay`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from controlplane.connectors.http import Answer, with_evidence
from controlplane.errors import RejectedError, UnavailableError

_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[\w*-]+(?:\s*=\s*(?:"[^"]*"|[^",;\s]+))?)*)')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^",;\s]+))', re.IGNORECASE)
PORTS = {"http": 80, "https": 443}
GONE = frozenset({400, 404, 410, 422})
"""Statuses by which vendors say that a page token ran out."""
BARREN = 100
"""Pages in a row without a record that had not come before, after which a walk is given up: a filter may leave some empty, not so many."""
Rows = Callable[[Answer], Sequence[Any]]
"""Returns the rows that an answer lists."""


class ExpiredPageError(UnavailableError):
    """A page token ran out in the middle of a walk; what was read is only a part. Read again from the last key, or from the start."""


def by_token(
    fetch: Callable[[str | None], Answer], token_of: Callable[[Answer], str | None], rows_of: Rows
) -> Iterator[Answer]:
    """Follow a cursor or page token that each answer gives to the next; none, or an empty one, ends it."""
    token: str | None = None
    seen, news = Seen(), News()
    while True:
        answer = fetch(token)
        yield answer
        token = token_of(answer)
        if not token:
            return
        seen.once(token, answer)
        news.heard(rows_of(answer), answer)


def by_link(fetch: Callable[[str | None], Answer], endpoint: str, rows_of: Rows) -> Iterator[Answer]:
    """Follow `Link: <…>; rel="next"` (RFC 8288). `fetch` takes path and query below the endpoint, None for the first."""
    return by_token(fetch, lambda answer: below(endpoint, linked(answer.headers, "next"), answer), rows_of)


def by_next_url(
    fetch: Callable[[str | None], Answer], endpoint: str, url_of: Callable[[Answer], str | None], rows_of: Rows
) -> Iterator[Answer]:
    """Follow the address that the body gives (`@odata.nextLink`, `__next`, `next`). `fetch` as in `by_link`."""
    return by_token(fetch, lambda answer: below(endpoint, url_of(answer), answer), rows_of)


def by_offset(
    fetch: Callable[[int], Answer], rows_of: Rows, size: int, *, first: int = 0, step: int = 0,
    total_of: Callable[[Answer], int | None] = lambda _: None,
) -> Iterator[Answer]:  # fmt: skip
    """Count on by the rows that came (by `step` where given: 1 for numbered pages) until none are left, or all of the total came.

    Rows that move while they are read are repeated or missed: only for what is sorted by something that does not change.
    """
    at, count, news, last = first, 0, News(), _Last(size)
    while True:
        answer = fetch(at)
        yield answer
        rows, total = rows_of(answer), total_of(answer)
        count += len(rows)
        if not rows or (last.with_(rows) if total is None else count >= total):
            return
        if not news.moved(rows):
            answer.fail("gives the same page again: it does not take the offset, or the page number")
        news.heard(rows, answer)
        at += step or len(rows)


def by_page(
    fetch: Callable[[int], Answer], rows_of: Rows, total_of: Callable[[Answer], int]
) -> Iterator[tuple[Sequence[Any], Answer]]:  # fmt: skip
    """Count pages from 1 until as many rows came as there are; yield (rows, answer). What a page beyond the end repeats is left out."""
    page, seen, news = 1, 0, News()
    while True:
        answer = fetch(page)
        rows, total = rows_of(answer), total_of(answer)
        yield rows[: max(0, total - seen)], answer
        seen += len(rows)
        if not rows or seen >= total:
            return
        if not news.moved(rows):
            answer.fail(f"gives the same page again, and {total - seen} rows of its {total} are to come")
        news.heard(rows, answer)
        page += 1


def by_key(
    fetch: Callable[[Any], Answer], rows_of: Rows, key_of: Callable[[Any], Hashable], size: int, *,
    after: Any = None,
) -> Iterator[Answer]:  # fmt: skip
    """Ask for what comes after the last key of the page before, by a unique order, until none are left."""
    seen, last = Seen(after), _Last(size)
    while True:
        answer = fetch(after)
        yield answer
        rows = rows_of(answer)
        if last.with_(rows):
            return
        after = key_of(rows[-1])
        seen.once(after, answer)


def expiring(fetch: Callable[[str | None], Answer], statuses: frozenset[int] = GONE) -> Callable[[str | None], Answer]:
    """Tell a page token that ran out by name: what refuses the first page is a refusal, what refuses a later one is an expiry.

    Raises ExpiredPageError.
    """

    def asked(token: str | None) -> Answer:
        try:
            return fetch(token)
        except RejectedError as error:
            status = (error.evidence.get("response") or {}).get("status")
            if token is None or status not in statuses:
                raise
            told = f"the page token ran out in the middle of the walk ({error}); it is read again from where it stood"
            raise with_evidence(ExpiredPageError(told), error.evidence) from error

    return asked


def resuming(
    walk: Callable[[Any], Iterator[Answer]], last_key: Callable[[Answer], Any], *, after: Any = None
) -> Iterator[Answer]:
    """Walk on from the last key that came when a page token runs out. Raises ExpiredPageError when nothing came in between.

    So it does where a key comes again from which was walked on before: that would lead round.
    """
    begun = set[int]()
    while True:
        reached = after
        begun.add(hash(after))
        try:
            for answer in walk(after):
                found = last_key(answer)
                reached = reached if found is None else found
                yield answer
            return
        except ExpiredPageError:
            if hash(reached) in begun:
                raise
            after = reached


def linked(headers: Mapping[str, str], relation: str) -> str | None:
    """Return the target of a Link header's relation, None where there is none."""
    for target, parameters in _LINK.findall(headers.get("link", "")):
        told = _REL.search(parameters)
        if told and relation in (told[1] or told[2] or "").lower().split():
            return str(target)
    return None


def below(endpoint: str, url: str | None, answer: Answer) -> str | None:
    """Return path and query of the address, relative to the endpoint. What leads elsewhere is not followed: UnreadableError."""
    if not url:
        return None
    base = endpoint.rstrip("/") + "/"
    found, ours = urlsplit(urljoin(base, url)), urlsplit(base)
    climbs = ".." in unquote(unquote(found.path)).replace("\\", "/").split("/")
    if _place(found) != _place(ours) or climbs or not found.path.startswith(ours.path):
        answer.fail(f"gives a next page at {found.hostname or url}{found.path}, outside of its own endpoint")
    path = "/" + found.path[len(ours.path) :]
    return f"{path}?{found.query}" if found.query else path


def _place(url: SplitResult) -> tuple[str, str, int | None, bool]:
    try:
        port = url.port
    except ValueError:
        port = -1
    return (url.scheme, (url.hostname or "").lower(), port or PORTS.get(url.scheme), "@" in url.netloc)


class _Last:
    """Knows the last page of a walk: an empty one, or one that is not full where an earlier one was."""

    def __init__(self, size: int) -> None:
        self._size, self._was_full = size, False

    def with_(self, rows: Sequence[Any]) -> bool:
        over = not rows or (self._was_full and len(rows) < self._size)
        self._was_full = self._was_full or len(rows) >= self._size
        return over


class News:
    """Knows a page by its first and last row and its size: whether it brought something that had not come before."""

    def __init__(self) -> None:
        self._known, self._last, self._barren = set[int](), 0, 0

    def moved(self, rows: Sequence[Any]) -> bool:
        """Whether a page is another one than the one before it."""
        return _ends(rows) != self._last

    def heard(self, rows: Sequence[Any], answer: Answer) -> None:
        """Note a page that is not the last one. Raises UnreadableError after BARREN in a row that brought nothing new."""
        self._last = _ends(rows)
        self._barren = 0 if rows and self._last not in self._known else self._barren + 1
        self._known.add(self._last)
        if self._barren >= BARREN:
            answer.fail(
                f"gave {BARREN} pages in a row without a record that had not come before, and promises another one each time: such a list "
                "has no end. Correct how its pages are asked for (in a manifest `paging`), or narrow what is asked for; if it is asked "
                "as its documentation says, tell its vendor"
            )


def _ends(rows: Sequence[Any]) -> int:
    return hash((len(rows), repr(rows[0]), repr(rows[-1]))) if rows else 0


class Seen:
    """Remembers cursors by their hash: a cursor that comes again would lead round for ever."""

    def __init__(self, *given: Any) -> None:
        self._known = {hash(one) for one in given}

    def once(self, cursor: Any, answer: Answer) -> None:
        """Note a cursor. Raises UnreadableError for one that was there before, and for what is none."""
        if isinstance(cursor, dict | list):
            answer.fail(f"gives {type(cursor).__name__} for a cursor to the next page")
        if hash(cursor) in self._known:
            answer.fail("promises another page and gives no new cursor to it")
        self._known.add(hash(cursor))
