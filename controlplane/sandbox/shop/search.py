"""The shop's search syntax (terms joined by AND) and its relay pages."""

import base64
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from graphql import GraphQLError

from controlplane.sandbox.clock import parse_iso

RowT = TypeVar("RowT")
_TERM = re.compile(r"(\w+):(>=|<=|>|<)?(?:'([^']*)'|\"([^\"]*)\"|(\S+))")
DEFAULT_PAGE, LARGEST_PAGE = 50, 250


@dataclass(frozen=True)
class Term:
    """`field:>='value'`."""

    field: str
    operator: str
    value: str

    def holds(self, actual: object) -> bool:
        """Whether a value satisfies the term; times are compared as the shop shows them, to the second."""
        if isinstance(actual, datetime):
            return self._ordered(actual.replace(microsecond=0), parse_iso(self.value))
        if isinstance(actual, int) and self.value.isdigit():
            return self._ordered(actual, int(self.value))
        return str(actual).lower().lstrip("#") == self.value.lower().lstrip("#")

    def _ordered(self, actual: Any, wanted: Any) -> bool:
        verdicts = {">=": actual >= wanted, "<=": actual <= wanted, ">": actual > wanted, "<": actual < wanted}
        return bool(verdicts.get(self.operator, actual == wanted))


def parse_query(text: str | None) -> list[list[Term]]:
    """The terms of a search: one list for each alternative (OR); anything else in it is ignored, as the shop does."""
    groups: list[list[Term]] = [[]]
    end = 0
    for m in _TERM.finditer(text or ""):
        if groups[-1] and (text or "")[end : m.start()].strip() == "OR":
            groups.append([])
        groups[-1].append(Term(m[1], m[2] or "=", next(v for v in m.groups()[2:] if v is not None)))
        end = m.end()
    return groups


def matching(rows: Iterable[RowT], query: str | None, fields: dict[str, Callable[[RowT], object]]) -> list[RowT]:
    """Rows that satisfy every term of an alternative over a known field; terms over others are ignored, as the shop does."""
    groups = [[term for term in group if term.field in fields] for group in parse_query(query)]
    if [] in groups:
        return list(rows)  # an alternative that asks for nothing
    try:
        return [row for row in rows if _fits(row, groups, fields)]
    except ValueError as error:
        raise GraphQLError(f"Invalid search value: {error}") from error


def _fits(row: RowT, groups: list[list[Term]], fields: dict[str, Callable[[RowT], object]]) -> bool:
    return any(all(term.holds(fields[term.field](row)) for term in group) for group in groups)


def named(query: str | None, field: str) -> list[str] | None:
    """The values in lower case of a search that asks for that field alone, one in each alternative; else None."""
    groups = parse_query(query)
    if any(len(group) != 1 or group[0].field != field or group[0].operator != "=" for group in groups):
        return None
    return [group[0].value.lower() for group in groups]


def connection(
    rows: Iterable[RowT],
    key: Callable[[RowT], Any],
    *,
    first: int | None,
    after: str | None,
    reverse: bool = False,
) -> dict[str, Any]:
    """A relay page, rows ordered by `key`, which must be unique and comparable after a trip through JSON."""
    size = DEFAULT_PAGE if first is None else first
    if not 0 <= size <= LARGEST_PAGE:
        raise GraphQLError(f"first must be between 0 and {LARGEST_PAGE}", extensions={"code": "BAD_REQUEST"})
    ordered = sorted(rows, key=key, reverse=reverse)
    begin = 0
    if after is not None:
        begin = _behind(ordered, key, _decode(after), reverse)
    page = ordered[begin : begin + size]
    edges = [{"cursor": _encode(key(row)), "node": row} for row in page]
    return {
        "edges": edges,
        "nodes": page,
        "pageInfo": {
            "hasNextPage": begin + len(page) < len(ordered),
            "hasPreviousPage": begin > 0,
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
        },
    }


def _behind(ordered: list[RowT], key: Callable[[RowT], Any], last: Any, reverse: bool) -> int:
    """The first place behind that key."""
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        found = key(ordered[middle])
        if found < last if reverse else found > last:
            high = middle
        else:
            low = middle + 1
    return low


def _encode(key: Any) -> str:
    return base64.b64encode(json.dumps(key).encode()).decode()


def _decode(cursor: str) -> Any:
    try:
        return json.loads(base64.b64decode(cursor, validate=True))
    except ValueError as error:
        raise GraphQLError("Invalid cursor for current pagination sort.", extensions={"code": "BAD_REQUEST"}) from error
