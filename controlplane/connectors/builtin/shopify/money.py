"""Money: refunds, and the movements and payouts of Shopify Payments, as canonical messages. No personal data passes.

A refund that Shopify Payments carried out is told by its balance, with the fee; of any other gateway the shop's word is all that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from controlplane.connectors.builtin.shopify import documents
from controlplane.connectors.contract import Codes, Draft, Page, Record
from controlplane.connectors.graphql import GraphqlClient, relay
from controlplane.connectors.http import Answer
from controlplane.connectors.records import content_key, verbatim
from controlplane.errors import BadInputError, RejectedError
from rules.model.messages import parse
from rules.units import exact

REFUNDS, BALANCE, PAYOUTS = "refunds", "balance_transactions", "payouts"
OURS = "shopify_payments"
PAGE, OF_ORDERS, TOGETHER = 50, 25, 10
"""Of a page: movements or payouts, orders; and refunds that one request asks for."""
OPEN = timedelta(days=30)
"""How long a payout may still change, for its time of issue stays."""
KINDS = {
    "CHARGE": "charge", "REFUND": "refund", "REFUND_FAILURE": "refund_failed", "DISPUTE_WITHDRAWAL": "dispute",
    "DISPUTE_REVERSAL": "dispute_won", "CHARGEBACK_FEE": "fee", "CHARGEBACK_FEE_REFUND": "fee", "STRIPE_FEE": "fee",
    "REFERRAL_FEE": "fee", "REFERRAL_FEE_TAX": "fee", "TRANSFER": "payout", "TRANSFER_FAILURE": "payout_failed",
    "TRANSFER_CANCEL": "payout_failed",
}  # fmt: skip
"""The vendor's types of movements; one that is not listed is `other`, so that none gets lost."""
STATES = {
    "SCHEDULED": "pending", "IN_TRANSIT": "in_transit", "PAID": "paid", "FAILED": "failed", "CANCELED": "canceled",
}  # fmt: skip


class Listing(NamedTuple):
    """How something is polled: document, field of the search, members of the answer, time of a node, what is overlapped."""

    document: str
    field: str
    path: tuple[str, ...]
    changed: str
    overlap: timedelta
    page: int


ACCOUNT = "shopifyPaymentsAccount"
LISTINGS = {
    REFUNDS: Listing(documents.REFUNDED, "updated_at", ("orders",), "updatedAt", timedelta(minutes=5), OF_ORDERS),
    BALANCE: Listing(
        documents.MOVEMENTS,
        "processed_at",
        (ACCOUNT, "balanceTransactions"),
        "transactionDate",
        timedelta(hours=1),
        PAGE,
    ),
    PAYOUTS: Listing(documents.PAYOUTS, "issued_at", (ACCOUNT, "payouts"), "issuedAt", OPEN, PAGE),
}


def poll(graphql: GraphqlClient, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
    """Yield what changed since the cursor, oldest first, with overlap. Raises ConnectorError."""
    listing, seen = LISTINGS[entity], cursor["since"] if cursor else ""
    since = datetime.fromisoformat(seen) - listing.overlap if seen else None
    query = f"{listing.field}:>='{since.strftime('%Y-%m-%dT%H:%M:%SZ')}'" if since else None

    def fetch(after: str | None) -> tuple[dict[str, Any], Answer]:
        data, answer = graphql.ask(listing.document, first=listing.page, after=after, query=query)
        return _found(data, listing.path), answer

    for nodes, answer in relay(fetch):
        try:
            seen = max([seen, *(str(node[listing.changed]) for node in nodes)])
            if entity == REFUNDS:
                nodes = _refunds(graphql, [str(one["id"]) for node in nodes for one in node["refunds"]])
            records = tuple(_record(entity, node) for node in nodes)
        except (KeyError, TypeError):
            answer.fail(f"answered one of {entity} that breaks its contract")
        yield Page(records, {"since": seen} if seen else {})


def _found(data: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    found: Any = data
    for name in path:
        found = found.get(name)
        if found is None:
            raise RejectedError(
                f"the shop shows no {name}: it has no Shopify Payments, or the app lacks the scope "
                "read_shopify_payments_payouts; take the flow out, or give it the scope"
            )
    return dict(found)


def _refunds(graphql: GraphqlClient, names: Sequence[str]) -> list[dict[str, Any]]:
    """Read refunds, several with one request; one that is gone meanwhile is left out. Each comes whole, or raises ConnectorError."""
    found: list[dict[str, Any]] = []
    for at in range(0, len(names), TOGETHER):
        data, answer = graphql.ask(documents.REFUNDS_OF, ids=list(names[at : at + TOGETHER]))
        nodes = data.get("nodes")
        if not isinstance(nodes, list) or len(nodes) != len(names[at : at + TOGETHER]):
            answer.fail("answered nodes(ids:) with another number of them")
        found += [_whole(node, answer) for node in nodes if node]
    return found


def _whole(node: dict[str, Any], answer: Answer) -> dict[str, Any]:
    told = dict(node)
    for name in ("refundLineItems", "transactions"):
        try:
            more = node[name]["pageInfo"]["hasNextPage"]
            told[name] = {"nodes": node[name]["nodes"]}
        except (KeyError, TypeError):
            answer.fail(f"answered a refund without {name}")
        if more:
            answer.fail(f"has a refund with more {name} than a page holds: {node.get('id')}")
    return told


def _record(entity: str, node: dict[str, Any]) -> Record:
    body = verbatim(node)
    return Record(entity, content_key(entity, str(node["id"]), body), body)


def refund_named(graphql: GraphqlClient, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the refund that a webhook is about: it does not say which order by name. Raises ConnectorError, BadInputError."""
    name = str(body.get("admin_graphql_api_id") or "")
    for found in _refunds(graphql, [name]):
        return found
    raise BadInputError(f"the shop has no refund {name}; drop the record if it was taken back", "admin_graphql_api_id")


def kept(body: Mapping[str, Any]) -> bytes:
    """Return what is kept of a webhook about a refund: only which one it is."""
    return verbatim({name: body.get(name) for name in ("id", "admin_graphql_api_id")})


def read(reader: Callable[[], list[Draft]]) -> list[Draft]:
    """Read something that has to fit the canonical model; tell what breaks the shop's contract. Raises BadInputError."""
    try:
        drafts = reader()
        for draft in drafts:
            parse(draft.type, draft.data)
        return drafts
    except (ArithmeticError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInputError(f"the record breaks the shop's contract: {error!r}; correct it, or drop it") from error


def refund(told: Mapping[str, Any], elsewhere: Sequence[str]) -> list[Draft]:
    """Return a `payment.recorded` for each transaction of a refund that was carried out, but by gateways that tell it themselves."""
    order = str(told["order"]["name"])
    return [
        _given_back(one, order)
        for one in told["transactions"]["nodes"]
        if (one["kind"], one["status"]) == ("REFUND", "SUCCESS")
        and not one.get("test")
        and one["gateway"] not in (OURS, *elsewhere)
    ]


def _given_back(one: Mapping[str, Any], order: str) -> Draft:
    paid = one["amountSet"]["shopMoney"]
    amount, ref, at = -exact(paid["amount"]), str(one["id"]), str(one["processedAt"])
    data = {
        "ref": ref, "kind": "refund", "native_kind": f"REFUND ({one['gateway']})",
        "about": str((one.get("parentTransaction") or {}).get("id") or ""), "order_ref": order, "amount": str(amount), "fee": "0",
        "net": str(amount), "currency": paid["currencyCode"], "recorded_at": at, "available_at": at,
    }  # fmt: skip
    return Draft("payment.recorded", ref, f"payment.recorded:{ref}", datetime.fromisoformat(at), data)


def goods(told: Mapping[str, Any], codes: Codes) -> list[Draft]:
    """Return a `return.received` for each location to which a refund put goods back. Raises BadInputError, UnmappedError."""
    places: dict[str, list[dict[str, Any]]] = {}
    for line in told["refundLineItems"]["nodes"]:
        if line["restockType"] != "RETURN" or not line.get("location"):
            continue
        sku = line["lineItem"].get("sku")
        if not sku:
            raise BadInputError(f"a line of refund {told['id']} has no SKU; give the product one in the shop", "sku")
        lines = places.setdefault(codes.ours("location", str(line["location"]["id"])), [])
        lines.append({"sku": codes.ours("sku", sku), "quantity": int(line["quantity"])})
    return [_returned(told, place, lines) for place, lines in sorted(places.items())]


def _returned(told: Mapping[str, Any], place: str, lines: list[dict[str, Any]]) -> Draft:
    ref, at = f"{str(told['id']).rpartition('/')[2]}/{place}", str(told["processedAt"])
    data = {
        "return_ref": ref, "order_ref": told["order"]["name"], "location": place, "received_at": at, "lines": lines,
    }  # fmt: skip
    return Draft("return.received", ref, f"return.received:{ref}", datetime.fromisoformat(at), data)


def movement(told: Mapping[str, Any]) -> list[Draft]:
    """Return `payment.recorded` of a movement of Shopify Payments; nothing of a test."""
    if told.get("test"):
        return []
    ref, native, at = str(told["id"]), str(told["type"]), str(told["transactionDate"])
    about = told.get("sourceOrderTransactionId")
    payout = (told.get("associatedPayout") or {}).get("id") if KINDS.get(native, "").startswith("payout") else None
    data = {
        "ref": ref, "kind": KINDS.get(native, "other"), "native_kind": native,
        "about": f"gid://shopify/OrderTransaction/{about}" if about else str(payout or ""),
        "order_ref": str((told.get("associatedOrder") or {}).get("name") or ""),
        **{name: str(exact(told[name]["amount"])) for name in ("amount", "fee", "net")},
        "currency": told["amount"]["currencyCode"], "recorded_at": at, "available_at": at,
    }  # fmt: skip
    return [Draft("payment.recorded", ref, f"payment.recorded:{ref}", datetime.fromisoformat(at), data)]


def payout(told: Mapping[str, Any]) -> list[Draft]:
    """Return `settlement.changed`: each state is a fact of its own; the shop tells no time of it but that of issue."""
    ref, status, at = str(told["id"]), str(told["status"]), str(told["issuedAt"])
    if status not in STATES:
        raise BadInputError(
            f"payout {ref} is '{status}', which is no state that is known; report it, and replay when it is", "status"
        )
    amount = abs(exact(told["net"]["amount"]))
    data = {
        "ref": ref, "state": STATES[status], "currency": told["net"]["currencyCode"], "arrives_on": at[:10], "reason": "",
        "amount": str(-amount if told["transactionType"] == "WITHDRAWAL" else amount), "changed_at": at,
    }  # fmt: skip
    key = f"settlement.changed:{ref}:{STATES[status]}"
    return [Draft("settlement.changed", ref, key, datetime.fromisoformat(at), data)]
