"""The connector: orders and stock are read, stock and fulfilments are written, new orders are told by webhook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import quote

from controlplane.connectors.auth import StaticHeader, signed_by
from controlplane.connectors.contract import (
    Connector,
    Context,
    Draft,
    Inbound,
    Level,
    Manifest,
    Page,
    ReadSpec,
    Record,
    SignatureError,
    Write,
    WriteSpec,
)
from controlplane.connectors.http import Answer, HttpClient
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.connectors.paging import by_key
from controlplane.connectors.records import content_key, read_json, verbatim
from controlplane.connectors.redaction import Redactor
from controlplane.errors import BadInputError
from rules.outcomes import Guarantee, Outcome, Result

PAGE = 10
GONE = 404
MOVED = 412


class AcmeConnector(Connector):
    """An Acme shop. Options: location (ours, of its one stock)."""

    manifest: ClassVar[Manifest] = Manifest(
        name="acme_shop",
        title="Acme shop (example)",
        kind="shop",
        reads=(ReadSpec("orders", changes=True), ReadSpec("stock", snapshot=True)),
        writes=(
            WriteSpec("level", ("stock.offer",), Guarantee.CONDITIONAL, how="If-Match"),
            WriteSpec("fulfilment", ("shipment.shipped",), Guarantee.KEYED, how="put under our shipment id"),
        ),
        receives=("order.created",),
        secrets=("token", "webhook_secret"),
        webhook_secrets=("webhook_secret",),
        options=("location",),
        option_schemas={"location": {"type": "string", "default": "SHOP"}},
        statuses={"order": {"paid": "placed", "open": "placed", "void": "of no interest"}},
        auth="bearer token; webhooks by HMAC-SHA256",
        limits="pages of 10",
        gaps=("returns",),
        verified_against="its own bench",
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        token = context.secret("token")
        self._http, self._auth = (
            HttpClient(context, Redactor([token])),
            StaticHeader("Authorization", f"Bearer {token}"),
        )
        self._location = str(context.options.get("location", "SHOP"))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ping(self) -> None:
        """Ask for one order."""
        self._get("/orders?after=0&limit=1")

    def _get(self, path: str, accept: tuple[int, ...] = ()) -> Answer:
        return self._http.send("GET", path, write=False, auth=self._auth, accept=accept)

    # --- reading ---
    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield orders by the number of their last change, which the shop counts up."""
        if entity != "orders":
            yield from super().poll(entity, cursor)
        after = int((cursor or {}).get("after", 0))
        for answer in by_key(
            lambda at: self._get(f"/orders?after={at}&limit={PAGE}"), _rows, _change, PAGE, after=after
        ):
            rows = _rows(answer)
            after = max([after, *map(_change, rows)])
            yield Page(tuple(_record("orders", row) for row in rows), {"after": after})

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read an order as `order.placed`."""
        told = read_json(body)
        if told.get("status") == "void":
            return []
        try:
            data = {
                "ref": told["ref"], "native_id": str(told["id"]), "placed_at": told["placed_at"], "currency": told["currency"],
                "lines": [self._line(at, line) for at, line in enumerate(told["lines"], 1)],
            }  # fmt: skip
            occurred = datetime.fromisoformat(told["placed_at"])
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise BadInputError(f"the order breaks Acme's contract: {error!r}; correct it, or drop it") from error
        return [Draft("order.placed", told["ref"], f"order.placed:{told['ref']}", occurred, data)]

    def _line(self, at: int, told: dict[str, Any]) -> dict[str, Any]:
        return {
            "line": at, "native_id": str(at), "sku": self.context.codes.ours("sku", told["sku"]), "location": self._location,
            "quantity": int(told["quantity"]), "unit_price": str(Decimal(str(told["price"]))),
        }  # fmt: skip

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield the shop's stock, paged by SKU."""
        if entity != "stock":
            yield from super().snapshot(entity, keys)
        fetch = lambda at: self._get(f"/stock?after={quote(at, safe='')}&limit={PAGE}")  # noqa: E731
        for answer in by_key(fetch, _rows, lambda row: row["sku"], PAGE, after=""):
            levels = [self._level(row, answer) for row in _rows(answer)]
            yield [one for one in levels if keys is None or (one.sku, one.location) in keys]

    def _level(self, row: dict[str, Any], answer: Answer) -> Level:
        try:
            at, available = datetime.fromisoformat(row["changed_at"]), int(row["available"])
            sku = self.context.codes.ours("sku", row["sku"])
        except (KeyError, TypeError, ValueError):
            answer.fail("answered a level that breaks its contract")
        return Level(sku, self._location, None, available, at, answer.started, answer.ended)

    # --- being told ---
    def receive(self, inbound: Inbound) -> Record:
        """Check the signature of the body; the id of the event stands outside of it."""
        secret, signature = self.context.secret("webhook_secret"), inbound.headers.get("x-acme-signature")
        if not signed_by(secret, inbound.body, signature):
            raise SignatureError("X-Acme-Signature does not match the body; check webhook_secret of the System policy")
        event = inbound.headers.get("x-acme-event", "")
        return Record("order.created", f"order.created:{event}", inbound.body)

    # --- writing ---
    @answering_write
    def write(self, request: Write) -> Outcome:
        """Set a level if it still is what the write was computed from, or put a fulfilment under its id."""
        self.manifest.write_spec(request.entity)
        return self._set(request) if request.entity == "level" else self._fulfil(request)

    def _set(self, request: Write) -> Outcome:
        told = {"available": int(request.payload["quantity"])}
        headers = {"If-Match": str(request.payload["expected"])}
        answer = self._http.send(
            "PUT", self._path(request), write=True, auth=self._auth, json=told, headers=headers, accept=(MOVED,)
        )
        if answer.status == MOVED:
            return Outcome(Result.STALE, "the shop shows something newer", current=self._shown(request))
        return self._done(answer)

    def _fulfil(self, request: Write) -> Outcome:
        told = {"order": request.payload["order_ref"], "lines": request.payload["lines"]}
        return self._done(self._http.send("PUT", self._path(request), write=True, auth=self._auth, json=told))

    def _done(self, answer: Answer) -> Outcome:
        found = answer.json()
        if not isinstance(found, dict) or "id" not in found:
            answer.fail("answered a write without the id of what was written")
        return Outcome(Result.DELIVERED, native_id=str(found["id"]), evidence=answer.evidence)

    def _path(self, request: Write) -> str:
        if request.entity == "level":
            return f"/stock/{quote(self.context.codes.theirs('sku', request.payload['sku']), safe='')}"
        return f"/fulfilments/{quote(request.payload['shipment'], safe='')}"

    def _shown(self, request: Write) -> int:
        answer = self._get(self._path(request))
        try:
            return int(answer.json()["available"])
        except (KeyError, TypeError, ValueError):
            answer.fail("answered a level that breaks its contract")

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look at the level, or for the fulfilment."""
        self.manifest.write_spec(request.entity)
        if request.entity == "level":
            shown, wanted = self._shown(request), int(request.payload["quantity"])
            if shown == wanted:
                return Outcome(Result.ALREADY_DELIVERED, f"the shop shows {shown}", current=shown)
            still = shown == request.payload["expected"]
            return Outcome(Result.ABSENT if still else Result.STALE, f"the shop shows {shown}", current=shown)
        found = self._get(self._path(request), accept=(GONE,)).status != GONE
        return Outcome(Result.ALREADY_DELIVERED if found else Result.ABSENT, "looked for by our shipment id")


def _rows(answer: Answer) -> list[dict[str, Any]]:
    found = answer.json()
    if not isinstance(found, dict) or not isinstance(found.get("rows"), list):
        answer.fail("answered a page without rows")
    return list(found["rows"])


def _change(row: dict[str, Any]) -> int:
    return int(row["change"])


def _record(topic: str, row: dict[str, Any]) -> Record:
    body = verbatim(row)
    return Record(topic, content_key(topic, str(row["ref"]), body), body)
