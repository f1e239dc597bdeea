"""SuiteQL: pages by keyset, because offset pages shift when rows change and end at 100,000 rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any

from controlplane.connectors.http import Answer, HttpClient
from controlplane.connectors.paging import Seen

LIMIT = 1000
MASK = "YYYY-MM-DD HH24:MI:SS"
STAMP = "%Y-%m-%d %H:%M:%S"
KEYS_AT_ONCE = 200
BALANCES = """
SELECT b.location AS location, b.item AS item, item.itemid AS sku, location.name AS location_name,
  b.quantityonhand AS on_hand, b.quantityavailable AS available, TO_CHAR(b.lastmodifieddate, 'YYYY-MM-DD HH24:MI:SS') AS changed
FROM InventoryBalance b JOIN item ON item.id = b.item JOIN location ON location.id = b.location"""
ITEMS = """
SELECT item.id AS id, item.itemid AS sku, item.displayname AS title, item.averagecost AS cost, item.isinactive AS inactive,
  TO_CHAR(item.lastmodifieddate, 'YYYY-MM-DD HH24:MI:SS') AS changed
FROM item"""

ORDERS = """
SELECT transaction.id AS id, transaction.externalid AS external, transaction.status AS status,
  TO_CHAR(transaction.lastmodifieddate, 'YYYY-MM-DD HH24:MI:SS') AS changed
FROM transaction"""
LOCATIONS = "SELECT location.id AS id, location.isinactive AS inactive FROM location ORDER BY location.id"
BASE_CURRENCY = "SELECT currency.symbol AS symbol FROM currency WHERE currency.isbasecurrency = 'T'"


def text(value: str) -> str:
    """Return a SuiteQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def instant(value: datetime, zone: tzinfo = UTC) -> str:
    """Return a SuiteQL timestamp that does not depend on the user's date format, in the account's time zone.

    In the hour that clocks go through twice it is the first: what is read from there on is rather too much.
    """
    return f"TO_TIMESTAMP({text(value.astimezone(zone).strftime(STAMP))}, {text(MASK)})"


def read_instant(value: str | None, zone: tzinfo = UTC) -> datetime | None:
    """Read a timestamp written with MASK in the account's time zone; of two that it may be the earlier. Raises ValueError."""
    return datetime.strptime(value, STAMP).replace(tzinfo=zone).astimezone(UTC) if value else None


def surely(value: str | None, zone: tzinfo = UTC) -> datetime | None:
    """Read a timestamp as `read_instant`, and None where clocks went through that hour twice: it may be the one or the other."""
    local = datetime.strptime(value, STAMP).replace(tzinfo=zone) if value else None
    return None if local is None or local.utcoffset() != local.replace(fold=1).utcoffset() else local.astimezone(UTC)


def balances(after: tuple[int, int], skus: Sequence[str] | None) -> str:
    """Return the query for the next page of balances after (location id, item id), by a unique order."""
    location, item = after
    chosen = f" AND item.itemid IN ({', '.join(map(text, skus))})" if skus is not None else ""
    return (
        f"{BALANCES} WHERE (b.location > {location} OR (b.location = {location} AND b.item > {item})){chosen} "
        "ORDER BY b.location, b.item"
    )


def items(after: int, since: datetime | None, zone: tzinfo = UTC) -> str:
    """Return the query for the next page of items after an id, changed since an instant."""
    changed = f" AND item.lastmodifieddate >= {instant(since, zone)}" if since else ""
    return f"{ITEMS} WHERE item.id > {after}{changed} ORDER BY item.id"


def orders(after: int, since: datetime | None, externals: Sequence[str] | None, zone: tzinfo = UTC) -> str:
    """Return the query for the next page of sales orders after an id: changed since an instant, or with the external ids."""
    changed = f" AND transaction.lastmodifieddate >= {instant(since, zone)}" if since else ""
    chosen = f" AND transaction.externalid IN ({', '.join(map(text, externals))})" if externals is not None else ""
    return f"{ORDERS} WHERE transaction.type = 'SalesOrd' AND transaction.id > {after}{changed}{chosen} ORDER BY transaction.id"


def page(http: HttpClient, query: str, auth: Any) -> tuple[list[dict[str, Any]], bool, Answer]:
    """Run a query and return (rows, whether there are more, answer). Raises ConnectorError."""
    answer = http.send(
        "POST",
        "/services/rest/query/v1/suiteql",
        write=False,
        auth=auth,
        params={"limit": LIMIT, "offset": 0},
        headers={"Prefer": "transient"},
        json={"q": query},
    )
    found = answer.json()
    try:
        return list(found["items"]), bool(found["hasMore"]), answer
    except (KeyError, TypeError):
        answer.fail("answered SuiteQL without items and hasMore")


def all_balances(
    http: HttpClient, auth: Any, skus: Sequence[str] | None
) -> Iterator[tuple[list[dict[str, Any]], Answer]]:
    """Yield every page of balances, of the SKUs or of all."""
    chunks: list[Sequence[str] | None] = [None]
    if skus is not None:
        chunks = [skus[at : at + KEYS_AT_ONCE] for at in range(0, len(skus), KEYS_AT_ONCE)]
    for chunk in chunks:
        walk = pages(http, auth, partial(balances, skus=chunk), (0, 0), _balance)
        yield from ((rows, answer) for rows, _, answer in walk)


def pages(
    http: HttpClient, auth: Any, query_of: Callable[[Any], str], first: Any, key_of: Callable[[dict[str, Any]], Any]
) -> Iterator[tuple[list[dict[str, Any]], bool, Answer]]:
    """Yield (rows, whether there are more, answer) of the query for what comes after a key, from the first on. Raises ConnectorError."""
    after, seen = first, Seen(first)
    while True:
        rows, more, answer = page(http, query_of(after), auth)
        yield rows, more, answer
        if not more:
            return
        try:
            after = key_of(rows[-1])
        except (IndexError, KeyError, TypeError, ValueError):
            answer.fail("promises another page after one without keys")
        seen.once(after, answer)


def identity(row: Mapping[str, Any]) -> int:
    """Return the id of a row. Raises KeyError, ValueError."""
    return int(row["id"])


def _balance(row: Mapping[str, Any]) -> tuple[int, int]:
    return int(row["location"]), int(row["item"])
