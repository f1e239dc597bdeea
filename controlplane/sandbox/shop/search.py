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


def parse_query(text: str | None) -> list[Term]:
    """The terms of a search; anything else in it is ignored, as the shop does."""
    return [
        Term(m[1], m[2] or "=", next(v for v in m.groups()[2:] if v is not None)) for m in _TERM.finditer(text or "")
    ]


def matching(rows: Iterable[RowT], query: str | None, fields: dict[str, Callable[[RowT], object]]) -> list[RowT]:
    """Rows that satisfy every term over a known field; terms over others are ignored, as the shop does."""
    terms = [term for term in parse_query(query) if term.field in fields]
    try:
        return [row for row in rows if all(term.holds(fields[term.field](row)) for term in terms)]
    except ValueError as error:
        raise GraphQLError(f"Invalid search value: {error}") from error


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
        last = _decode(after)
        begin = next(
            (at for at, row in enumerate(ordered) if (key(row) < last if reverse else key(row) > last)), len(ordered)
        )
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


def _encode(key: Any) -> str:
    return base64.b64encode(json.dumps(key).encode()).decode()


def _decode(cursor: str) -> Any:
    try:
        return json.loads(base64.b64decode(cursor, validate=True))
    except ValueError as error:
        raise GraphQLError("Invalid cursor for current pagination sort.", extensions={"code": "BAD_REQUEST"}) from error
