"""The NetSuite connector: balances and items read by SuiteQL, documents upserted by external id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

from controlplane.connectors import settings
from controlplane.connectors.builtin.netsuite import access, records, shown, suiteql
from controlplane.connectors.builtin.netsuite.submission import Submission
from controlplane.connectors.contract import (
    Connector,
    Context,
    Draft,
    Entry,
    Level,
    Manifest,
    Page,
    ReadSpec,
    Record,
    Setting,
    Write,
    WriteSpec,
)
from controlplane.connectors.http import Answer
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.connectors.records import content_key, read_json, verbatim
from controlplane.errors import BadInputError, RejectedError
from rules.outcomes import Guarantee, Outcome, Result
from rules.units import exact

OVERLAP = timedelta(minutes=10)
LATE = 15.0
NO_CONTENT = 204
"""How the vendor answers an upsert. A page that some proxy made up has another status, and says nothing of the record."""
KEY_FIELD = "custbody_trueup_key"
"""Tells which of our writes a record shows: a corrected document is put under the same external id."""
HOW = "upsert by external id"
QUEUED, QUEUED_HOW = 900.0, "upsert by external id, queued under `X-NetSuite-Idempotency-Key`"
WRITES = (
    ("sales_order", "order.placed"),
    ("item_fulfillment", "shipment.shipped"),
    ("item_receipt", "receipt.received"),
    ("inventory_adjustment", "return.received"),
    ("cash_sale", "sale.recorded"),
    ("journal_entry", "posting.made"),
)


def _specific(options: Mapping[str, Any]) -> Manifest | None:
    """Only the secrets of the way in that is chosen; and a document that is queued may take effect much later than one that is put."""
    manifest = NetSuiteConnector.manifest
    secrets = access.MACHINE if access.machine(options) else access.TBA
    queued = _when_queued(manifest.writes) if options.get("respond_async") else manifest.writes
    return replace(manifest, secrets=secrets, optional_secrets=(), writes=queued)


def _when_queued(specs: Sequence[WriteSpec]) -> tuple[WriteSpec, ...]:
    """Return what is declared of documents that are queued."""
    return tuple(replace(spec, late_effect=QUEUED, how=QUEUED_HOW) for spec in specs)


class NetSuiteConnector(Connector):
    """A NetSuite account. Options: auth (tba, oauth2), realm, currency, locations (ours), time_zone (of the account), respond_async.

    With respond_async documents are queued in the account, and their jobs looked at.
    """

    manifest: ClassVar[Manifest] = Manifest(
        name="netsuite",
        title="NetSuite (SuiteTalk REST, SuiteQL)",
        reads=(
            ReadSpec("inventory_balance", snapshot=True),
            ReadSpec("items", changes=True, listing="articles"),
            ReadSpec("sales_orders", listing="orders"),
        ),
        writes=tuple(WriteSpec(entity, (kind,), Guarantee.KEYED, late_effect=LATE, how=HOW) for entity, kind in WRITES),
        secrets=(*access.TBA, *access.MACHINE),
        optional_secrets=(*access.TBA, *access.MACHINE),
        options=("realm", "currency", "locations", "time_zone", "respond_async", "auth"),
        check=access.flaws,
        specific=_specific,
        verified_against="prose only, the sandbox",
        kind="erp",
        auth="OAuth 1.0a (token-based authentication), HMAC-SHA256; or OAuth 2.0 from machine to machine (a JWT signed with PS256)",
        limits="15 requests at once for the account; 1,000 rows a page, 100,000 a query, which paging by key gets round",
        gaps=(
            "goods handed back at a till",
            "the change time of a balance in the hour that clocks go through twice",
            "several records in one request",
        ),
        statuses={"item.isinactive": {"T": "not sold any more", "F": "sold"}},
        option_schemas={
            "realm": {"type": "string", "description": "the account's id"},
            "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "default": "USD"},
            "locations": {"type": "array", "items": {"type": "string"}},
            "time_zone": {"type": "string", "default": "UTC", "description": "of the account, as America/Los_Angeles"},
            "respond_async": {
                "type": "boolean",
                "default": False,
                "description": "documents are queued in the account",
            },
        },
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._http, self._auth = access.make_api(context)
        self._zone, self._queued = access.zone_of(context.options), bool(context.options.get("respond_async"))
        self._submission = Submission(self._http, self._auth, context.clock)
        self._currency = str(context.options.get("currency", "USD"))
        self._locations = frozenset(str(name) for name in context.options.get("locations", ()))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ping(self) -> None:
        """Count the locations."""
        suiteql.page(self._http, "SELECT COUNT(*) AS n FROM location", self._auth)

    def settings(self) -> list[Setting]:
        """Read the locations and the base currency, which costs are told in. The API tells no time zone."""
        rows, _, answer = suiteql.page(self._http, suiteql.LOCATIONS, self._auth)
        try:
            known = {str(row["id"]): row.get("inactive") != "T" for row in rows}
        except (KeyError, TypeError):
            answer.fail("answered a location without an id")
        places = settings.locations(self.context, settings.among(known), "Setup > Company > Locations")
        zone = "the API does not tell it: look at Setup > Company > Company Information"
        name = str(self.context.options.get("time_zone", "UTC"))
        remedy = "correct `options.time_zone`: times are read and business dates are told in it"
        clock = Setting("time zone", name, None, remedy, note=zone, option="time_zone", never_told=True)
        return [self._base_currency(), *places, clock]

    def _base_currency(self) -> Setting:
        remedy = "correct `options.currency`; the base currency of an account cannot be changed"
        name, promised = "base currency", self._currency
        try:
            rows, _, _ = suiteql.page(self._http, suiteql.BASE_CURRENCY, self._auth)
        except RejectedError as error:  # an account without the feature Multiple Currencies has no such table
            return Setting(name, promised, None, remedy, note=str(error), option="currency")
        actual = ", ".join(sorted(str(row.get("symbol", "")) for row in rows)) or None
        note = "" if actual else "the account shows no base currency to our role"
        return Setting(name, promised, actual, remedy, note=note, option="currency")

    # --- reading ---
    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield the `inventory_balance` of the configured locations (all, if none is named), or of the keys."""
        if entity != "inventory_balance":
            yield from super().snapshot(entity, keys)
        wanted = None if keys is None else set(keys)
        codes = self.context.codes
        skus = None if keys is None else sorted({codes.theirs("sku", sku) for sku, _ in keys})
        places = {codes.theirs("location", name): name for name in self._locations}
        for rows, answer in suiteql.all_balances(self._http, self._auth, skus):
            told = (self._level(row, places, answer) for row in rows)
            yield [n for n in told if n and (wanted is None or (n.sku, n.location) in wanted)]

    def _level(self, row: Mapping[str, Any], places: Mapping[str, str], answer: Answer) -> Level | None:
        try:
            native = str(row["location"])
            if places and native not in places:
                return None
            return Level(
                sku=self.context.codes.ours("sku", row["sku"]),
                location=places.get(native) or self.context.codes.ours("location", native),
                on_hand=_units(row.get("on_hand")),
                available=_units(row.get("available")),
                source_at=suiteql.surely(row.get("changed"), self._zone),
                read_from=answer.started,
                read_to=answer.ended,
            )
        except (KeyError, OverflowError, ValueError):
            answer.fail(f"answered a balance that breaks its contract: {dict(row)}")

    def entries(
        self, entity: str, subjects: Sequence[str] | None = None, since: datetime | None = None
    ) -> Iterator[list[Entry]]:
        """Yield where `sales_orders` stand, by their status (units are not told); or whether `items` are sold (prices are not told)."""
        if entity == "sales_orders":
            yield from shown.entries(self._http, self._auth, self._zone, subjects, since)
        elif entity == "items":
            yield from shown.articles(self.context, self._http, self._auth, subjects)
        else:
            yield from super().entries(entity, subjects, since)

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield `items` changed since the cursor. They are paged by id, so the cursor moves at the end."""
        if entity != "items":
            yield from super().poll(entity, cursor)
        held = cursor or {}
        since = datetime.fromisoformat(held["since"]) - OVERLAP if held else None
        seen = held.get("since", "")
        query = partial(suiteql.items, since=since, zone=self._zone)
        for rows, more, answer in suiteql.pages(self._http, self._auth, query, 0, suiteql.identity):
            try:
                changes = [suiteql.read_instant(row.get("changed"), self._zone) for row in rows]
                taken = tuple(_item_record(row) for row in rows)
            except (KeyError, OverflowError, ValueError):
                answer.fail("answered an item that breaks its contract")
            seen = max([seen, *(change.isoformat() for change in changes if change)])
            yield Page(taken, held if more else ({"since": seen} if seen else {}))

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read items as `product.described`."""
        row = read_json(body)
        try:
            sku, version = self.context.codes.ours("sku", row["sku"]), str(row["changed"])
            occurred = suiteql.read_instant(version, self._zone)
            cost = str(exact(row["cost"])) if row.get("cost") else None
        except (KeyError, OverflowError, ValueError) as error:
            if isinstance(error, BadInputError):
                raise
            raise BadInputError(f"the item breaks the ERP's contract: {error!r}; correct it, or drop it") from error
        data = {
            "sku": sku,
            "title": row.get("title", ""),
            "unit_cost": cost,
            "unit_price": None,
            "currency": self._currency,
            "active": row.get("inactive", "F") != "T",
        }
        key = f"product.described:{sku}:{version}:{cost}{'' if data['active'] else ':inactive'}"
        return [Draft("product.described", sku, key, occurred, data, source_version=version)] if occurred else []

    # --- writing ---
    @answering_write
    def write(self, request: Write) -> Outcome:
        """Put the record under its external id: created or replaced, the vendor keeps one."""
        self.manifest.write_spec(request.entity)
        document = records.document(request.entity, request.payload, self.context.codes, self._zone)
        body = {**document.body, KEY_FIELD: request.idempotency_key}
        try:
            if self._queued:
                return self._submission.put(_path(document), body, request)
            answer = self._http.send("PUT", _path(document), write=True, auth=self._auth, json=body)
        except RejectedError as error:
            waiting = self._waits_for_order(request)
            if waiting is None:
                raise
            return Outcome(Result.UNAVAILABLE, waiting, evidence={**error.evidence, "waits_for": waiting})
        if answer.status != NO_CONTENT:
            answer.fail(f"answered a PUT with {answer.status}, and {NO_CONTENT} is how it says that it has the record")
        native = answer.headers.get("location", "").rpartition("/")[2]
        return Outcome(Result.DELIVERED, native_id=native or None, evidence=answer.evidence)

    def _waits_for_order(self, request: Write) -> str | None:
        """A fulfilment may overtake its order; then nothing is wrong with it and it is only early."""
        if request.entity != "item_fulfillment":
            return None
        order = records.sales_order_id(request.payload["order_ref"])
        if self._find(records.Document("salesOrder", order, {})).status != 404:
            return None
        return f"the sales order {order} is not in the ERP yet; the fulfilment waits for it"

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Get the record by its external id; one that shows another write of ours counts as absent."""
        self.manifest.write_spec(request.entity)
        document = records.document(request.entity, request.payload, self.context.codes, self._zone)
        answer = self._find(document)
        if answer.status == 404:
            return Outcome(Result.ABSENT, f"the ERP has no {document.type} {document.external_id}")
        record = answer.json()
        if not isinstance(record, dict):
            answer.fail("answered a record that is not an object")
        if record.get(KEY_FIELD) not in (None, request.idempotency_key):
            return Outcome(Result.ABSENT, f"the ERP shows an earlier version of {document.type} {document.external_id}")
        changed = record.get("lastModifiedDate")
        return Outcome(
            Result.ALREADY_DELIVERED,
            f"the ERP has it as {document.type} {record.get('id')}",
            target_at=datetime.fromisoformat(changed) if changed else None,
            native_id=str(record.get("id", "")) or None,
        )

    def _find(self, document: records.Document) -> Answer:
        return self._http.send("GET", _path(document), write=False, auth=self._auth, accept=(404,))


def _path(document: records.Document) -> str:
    return f"/services/rest/record/v1/{document.type}/eid:{quote(document.external_id, safe='')}"


def _units(value: str | None) -> int:
    number = exact(value or 0)
    if number != number.to_integral_value():
        raise ValueError(value)
    return int(number)


def _item_record(row: dict[str, Any]) -> Record:
    told = {name: value for name, value in row.items() if name != "links"}
    body = verbatim(told)
    return Record("items", content_key("items", str(told["sku"]), body), body)
