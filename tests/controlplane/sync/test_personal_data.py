"""Personal data of a shop's orders and of till files, planted at the door and looked for in every place that anything is kept or told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.shopify.connector import ShopifyConnector
from controlplane.connectors.builtin.till_files.connector import TillFilesConnector
from controlplane.connectors.codes import codes_for
from controlplane.connectors.contract import Context, Inbound
from controlplane.errors import BadInputError, KeyMissingError, SealError
from controlplane.logs import LogFile, telling
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis
from controlplane.sealing import NoKeys, Ring
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.engines import Sync
from controlplane.sync.engines.workbench import Edit
from controlplane.sync.ledger.archive import Wanted, parts
from controlplane.views import quarantine as view
from controlplane.views.messages import message_life
from tests.conftest import START
from tests.controlplane.sync.archive.kit import pack
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.policies import change

SKU = "0007-BLK-M"
EMAIL, NEW, PHONE = "anna.lindqvist@example.org", "neu.adresse@example.org", "+4915799887766"
NAME, STREET, NOTE = "Lindqvistova", "Kirschgarten 7", "Bitte beim Nachbarn Quastenflosser klingeln"
PLANTED = (EMAIL, NEW, PHONE, NAME, STREET, "Quastenflosser")
SECRET = "whsec-4711"
HEADER = "store;receipt;line;plu;qty;unit_price;sold_at;customer_email;customer_phone;customer_name"


class Shop(House):
    """A retailer whose shop and tills are the real connectors on the way in."""

    def connected(self, folder: Path) -> None:
        """Connect them, and let there be goods."""
        self.folder = folder / "tills"
        self.folder.mkdir()
        self.tills = TillFilesConnector(self._context("tills", str(self.folder), currency="EUR"))  # type: ignore[assignment]
        real = ShopifyConnector(self._context("shop", "http://127.0.0.1:1", locations=["WH1"]))
        self.shop.receive, self.shop.translate = real.receive, real.translate  # type: ignore[method-assign]
        self.shop.levels[SKU, "WH1"] = 80
        self.sync.healing.read_channel("shop")
        self.product(SKU, "4.00")
        self.level(SKU, 100)
        self.run()

    def _context(self, system: str, endpoint: str, **options: Any) -> Context:
        codes = codes_for(self.registry.snapshot(), system)
        return Context(system, endpoint, options, lambda _: SECRET, codes, self.clock, 10.0)

    def told(self, number: int, **changed: Any) -> bool:
        """The shop tells an order by a signed webhook."""
        body = json.dumps(order(number, self.clock, **changed)).encode()
        signed = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
        headers = {
            "x-shopify-hmac-sha256": signed, "x-shopify-topic": "orders/create", "x-shopify-webhook-id": f"W{number}",
        }  # fmt: skip
        return self.sync.take_webhook("shop", Inbound(headers, body))

    def till(self, *rows: str) -> None:
        """The tills drop a file."""
        number = len(list(self.folder.iterdir())) + 1
        (self.folder / f"sales_ST1_{number}.csv").write_text("\n".join([HEADER, *rows]) + "\n")
        self.sync.poll("till-sales")

    def rows(self, table: Any, *where: Any) -> list[Mapping[str, Any]]:
        """Rows as they are kept, the oldest first."""
        with self.store.read() as connection:
            return [
                dict(row) for row in connection.execute(select(table).where(*where).order_by(table.c.id)).mappings()
            ]

    def stock(self, on_hand: int) -> None:
        """The warehouse tells a level, a second later."""
        self.clock.advance(1)
        self.level(SKU, on_hand)

    def levels(self) -> set[int]:
        """What the ledger was told of stock."""
        return {one["data"]["on_hand"] for one in self.rows(t.message, t.message.c.type == "stock.level")}

    def open_case(self) -> Mapping[str, Any]:
        """The newest case that waits."""
        return self.rows(t.quarantine, t.quarantine.c.state.in_(("waiting", "corrected")))[-1]


def order(number: int, clock: ManualClock, **changed: Any) -> dict[str, Any]:
    """An order as the shop tells it, with everything of a person that it knows."""
    address = {
        "name": f"Anna {NAME}",
        "last_name": NAME,
        "address1": STREET,
        "city": "Ulm",
        "zip": "89073",
        "phone": PHONE,
    }
    line = {"id": 1, "sku": SKU, "quantity": 1, "price": "10.00", "name": "Shirt"}
    found = {
        "id": number, "admin_graphql_api_id": f"gid://shopify/Order/{number}", "name": f"#{number}",
        "created_at": clock.now().isoformat(), "currency": "EUR", "email": EMAIL, "phone": PHONE, "note": NOTE,
        "customer": {"id": 900900900, "email": EMAIL, "first_name": "Anna", "last_name": NAME},
        "billing_address": address, "shipping_address": address, "browser_ip": "203.0.113.77",
        "line_items": [{**line, **changed.pop("line", {})}],
    }  # fmt: skip
    return found | changed


def row(receipt: str, plu: str = "900007", more: str = "", price: str = "9,90") -> str:
    """A row of a till that knows its customer."""
    return f"ST1;{receipt};1;{plu};1;{price};2026-03-02T08:00:00Z;{EMAIL};{PHONE};Anna {NAME}{more}"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Where old rows go."""
    return tmp_path / "archive"


@pytest.fixture
def shop(store: Store, clock: ManualClock, tmp_path: Path, archive: Path) -> Shop:
    """A retailer that archives."""
    load_genesis(store, clock, Registry(store, clock), pack(tmp_path, archive=f"file://{archive}"))
    found = Shop(store, clock)
    found.connected(tmp_path)
    return found


@contextmanager
def logged() -> Iterator[io.BytesIO]:
    """Give what the process logs meanwhile."""
    kept = io.BytesIO()
    file = LogFile(kept, encoding="utf-8", write_through=True)
    with telling(file):
        yield kept
    file.detach()


def everything(store: Store, *folders: Path) -> bytes:
    """All that the database keeps, as it keeps it, and every file of the folders, Parquet also read."""
    import pyarrow.parquet as pq

    found = [path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()]
    for folder in folders:
        found += [str(pq.read_table(path).to_pylist()).encode() for path in folder.rglob("*.parquet")]
    with store.read() as connection:
        for name in t.metadata.tables:
            query = f"SELECT * FROM {name}" if store.is_sqlite else f"SELECT t::text FROM {name} t"  # noqa: S608
            found += [repr(tuple(one)).encode() for one in connection.execute(text(query))]
    if store.is_sqlite:
        file = Path(str(store.engine.url.database))
        found += [path.read_bytes() for path in file.parent.glob(f"{file.name}*")]
    return b"\n".join(found)


def assert_nowhere(where: bytes | str) -> None:
    """Nothing that was planted stands there, neither as it is nor escaped or in hexadecimal."""
    told = where if isinstance(where, bytes) else where.encode()
    for value in PLANTED:
        for form in (value.encode(), json.dumps(value).strip('"').encode(), value.encode().hex().encode()):
            assert form not in told, f"{value} stands in the clear: …{told[max(0, told.find(form) - 200) :][:400]!r}"


def answers(shop: Shop) -> str:
    """What the API and the pages make of all cases and all messages."""
    told: list[Any] = []
    with shop.store.read() as connection:
        told += [*view.held(connection, everything=True).rows, *view.groups(connection)]
        told += [view.case(connection, one["id"]) for one in shop.rows(t.quarantine)]
        told += [message_life(connection, one["id"]) for one in shop.rows(t.message)]
    return repr(told)


def correct(shop: Shop, case: Mapping[str, Any], **edit: Any) -> Any:
    return shop.sync.workbench.correct(case["id"], Edit(**edit), "olga")


# --- the whole way ---


def test_nothing_personal_is_kept_or_told_in_the_clear_on_the_whole_way(shop: Shop, archive: Path) -> None:
    told: list[Any] = []
    with logged() as log:
        shop.told(1001)
        shop.run()
        shop.told(1999, line={"quantity": float("inf")})
        shop.run()
        assert shop.open_case()["reason_code"] == "schema"
        shop.erp.faults.append("rejected")
        shop.told(1002)
        shop.run()
        told.append(shop.sync.preview(shop.open_case()["id"]))
        told.append(shop.sync.replay(shop.open_case()["id"], "olga"))
        shop.told(1003, line={"price": EMAIL})
        shop.run()
        case = shop.open_case()
        assert case["reason"] == "line 1 of order #1003 has the price '•••', which is no amount"
        told.append(correct(shop, case, put={"body.line_items[0].price": "10.00", "body.email": NEW}, note=f"to {NEW}"))
        shop.sync.workbench.approve(case["id"], "ben", note="a price")
        told.append(shop.sync.preview(case["id"]))
        told.append(shop.sync.replay(case["id"], "olga"))
        shop.till(row("R1"), row("R2", plu="999999"), row("R3", more=";too much"), row("R4", price=EMAIL))
        shop.run()
        unmapped = next(one for one in shop.rows(t.quarantine) if one["fault"] == "999999")
        told.append(correct(shop, unmapped, put={"body.row.plu": "900007", "body.row.customer_email": NEW}))
        told.append(shop.sync.replay(unmapped["id"], "olga"))
        shop.run()
        assert_nowhere(repr(told) + answers(shop))
        before = everything(shop.store)
        assert_nowhere(before)
        for one in shop.rows(t.quarantine, t.quarantine.c.state == "waiting"):
            shop.sync.workbench.drop_many(selection(one["id"]), "olga", "a test")
        shop.clock.advance(timedelta(days=100).total_seconds())
        shop.stock(90)
        shop.run(minutes=1, step=60)
        shop.clock.advance(timedelta(days=100).total_seconds())
        shop.stock(91)
        shop.run(minutes=1, step=60)
        shop.sync.archive(anew=True)
        assert_nowhere(everything(shop.store, archive))
        restore(shop)
        assert_nowhere(everything(shop.store, archive))
    assert_nowhere(log.getvalue())
    sales = [one["data"]["ref"] for one in shop.rows(t.message, t.message.c.type == "sale.recorded")]
    assert sorted(sales) == ["ST1/R1/1", "ST1/R2/1"]


def selection(*ids: str) -> Any:
    from controlplane.sync.quarantine import Selection

    return Selection.of({"ids": list(ids)})


def restore(shop: Shop) -> None:
    """Put every part back."""
    with shop.store.read() as connection:
        uris = [part["uri"] for part in parts(connection, 100)]
    assert uris
    for uri in uris:
        shop.sync.restorer.ask(uri, Wanted(), timedelta(days=30), "olga")
    shop.sync.restore()


def test_what_was_archived_and_put_back_opens_still(shop: Shop) -> None:
    shop.told(1001)
    shop.run()
    [before] = shop.rows(t.intake, t.intake.c.system == "shop")
    shop.clock.advance(timedelta(days=40).total_seconds())
    shop.told(1002)
    shop.run()
    shop.sync.archive(anew=True)
    assert before["id"] not in {one["id"] for one in shop.rows(t.intake)}
    restore(shop)
    [again] = shop.rows(t.intake, t.intake.c.id == before["id"])
    assert again == before
    raw = shop.keys.ring().open(f"intake/{again['id']}", again["sealed"])
    assert json.loads(raw)["email"] == EMAIL


def test_what_a_connector_says_when_it_breaks_is_kept_without_what_is_personal(shop: Shop) -> None:
    def broken(topic: str, body: bytes) -> list[Any]:
        try:
            raise KeyError(EMAIL)
        except KeyError as error:
            raise RuntimeError(f"no customer {EMAIL}, {PHONE}") from error

    shop.shop.translate = broken  # type: ignore[method-assign]
    with logged() as log:
        shop.told(1001)
        shop.run()
        case = shop.open_case()
        with pytest.raises(BadInputError, match="no customer •••, •••"):
            shop.sync.preview(case["id"])
        shop.sync.workbench.replay_many(selection(case["id"]), "olga")
        shop.run()
    assert (case["reason_code"], "no customer •••, •••" in case["reason"]) == ("defect", True)
    assert b" broken" in log.getvalue(), "the place is told"
    assert_nowhere(log.getvalue())
    assert_nowhere(everything(shop.store))


# --- the same message as before ---


def test_a_sealed_record_becomes_the_message_that_it_always_became_and_is_known_when_told_again(shop: Shop) -> None:
    assert shop.told(1001)
    assert not shop.told(1001), "known by the vendor's id, on the bytes as they came"
    shop.run()
    [message] = shop.rows(t.message, t.message.c.type == "order.placed")
    real = shop.shop.translate("orders/create", json.dumps(order(1001, shop.clock)).encode())
    assert message["data"] == {**real[0].data, "placed_at": message["data"]["placed_at"], "store": None}
    [kept] = shop.rows(t.intake, t.intake.c.system == "shop")
    seen = json.loads(kept["body"])
    assert (seen["name"], seen["line_items"][0]["sku"]) == ("#1001", SKU)
    assert (seen["note"], seen["customer"]["last_name"]) == ("•••", "•••")
    assert seen["email"] == seen["customer"]["email"] == shop.keys.ring().hashed(EMAIL)


def test_replay_of_a_case_sends_what_the_person_could_not_see(shop: Shop) -> None:
    shop.till(row("R2", plu="999999"))
    shop.run()
    case = shop.open_case()
    seen = case["record"]
    sent = {**seen, "body": {**seen["body"], "row": seen["body"]["row"].replace("999999", "900007")}}
    shop.sync.workbench.correct(case["id"], Edit(record=sent), "olga")
    unsealed = shop.sync.workbench.unseal(case["id"], "pia", "a complaint")
    assert unsealed["corrected"]["body"]["row"] == row("R2")
    assert unsealed["record"]["body"]["row"] == row("R2", plu="999999")
    shop.sync.replay(case["id"], "olga")
    shop.run()
    assert [one["subject"] for one in shop.rows(t.message, t.message.c.type == "sale.recorded")] == ["ST1/R2/1"]


def test_a_placeholder_never_becomes_a_value(shop: Shop) -> None:
    shop.till(row("R2", plu="999999"))
    shop.run()
    case = shop.open_case()
    for edit in (
        Edit(record={**case["record"], "topic": "•••"}),
        Edit(put={"body.row.customer_name": "•••"}),
        Edit(put={"body.row.plu": shop.keys.ring().hashed(EMAIL)}),
    ):
        with pytest.raises(BadInputError, match="stands for a value that is not shown"):
            shop.sync.workbench.correct(case["id"], edit, "olga")


def test_a_correction_of_a_personal_field_shows_in_the_history_and_not_in_the_clear(shop: Shop) -> None:
    shop.told(1003, line={"sku": ""})
    shop.run()
    case = shop.open_case()
    made = correct(shop, case, put={"body.email": NEW, "body.note": "call first", "body.line_items[0].sku": SKU})
    hashed = shop.keys.ring().hashed
    changes = {one.path: (one.before, one.after) for one in made.changes}
    assert changes["body.email"] == (hashed(EMAIL), hashed(NEW))
    assert changes["body.note"] == (hashed(NOTE), hashed("call first")), "masked, but a change is to be seen"
    assert changes["body.line_items[0].sku"] == ("", SKU)
    with shop.store.read() as connection:
        log = connection.execute(select(t.action).where(t.action.c.action == "quarantine.correct")).one()
        steps = view.case(connection, case["id"])["history"]
    assert log.after["record"]["body"]["email"] == hashed(NEW)
    assert steps[-1]["before"]["body"]["email"] == hashed(EMAIL)


# --- unsealing ---


def test_unsealing_shows_the_record_and_the_action_log_says_who_and_why_and_no_value(shop: Shop) -> None:
    shop.told(1003, line={"sku": ""})
    shop.run()
    case = shop.open_case()
    found = shop.sync.workbench.unseal(case["id"], "pia", "the customer asks")
    assert found["record"]["body"] == order(1003, shop.clock, line={"sku": ""}) | {
        "created_at": found["record"]["body"]["created_at"]
    }
    with shop.store.read() as connection:
        [log] = connection.execute(select(t.action).where(t.action.c.action == "quarantine.unseal")).all()
    assert (log.actor, log.subject, log.reason) == ("pia", f"quarantine/{case['id']}", "the customer asks")
    assert (log.before, log.after) == (None, None)


# --- tampering ---


def test_an_envelope_that_was_changed_is_refused_and_its_neighbours_go_on(shop: Shop) -> None:
    shop.told(1001)
    shop.told(1002)
    first, _ = shop.rows(t.intake, t.intake.c.system == "shop")
    envelope = first["sealed"][:-1] + bytes([first["sealed"][-1] ^ 1])
    put(shop, t.intake, first["id"], sealed=envelope)
    shop.run()
    case = shop.open_case()
    assert case["reason_code"] == "sealed"
    assert "changed after it was sealed" in case["reason"]
    assert [one["subject"] for one in shop.rows(t.message, t.message.c.type == "order.placed")] == ["#1002"]


def test_the_envelopes_of_two_rows_that_were_swapped_are_refused(shop: Shop) -> None:
    shop.told(1001, line={"sku": ""})
    shop.told(1002, line={"sku": ""})
    shop.run()
    first, second = shop.rows(t.quarantine)
    put(shop, t.quarantine, first["id"], record_sealed=second["record_sealed"])
    put(shop, t.quarantine, second["id"], record_sealed=first["record_sealed"])
    for one in (first, second):
        with pytest.raises(SealError, match="belongs to another row"):
            shop.sync.workbench.unseal(one["id"], "pia", "to see it")
        with pytest.raises(SealError, match="belongs to another row"):
            correct(shop, one, put={"body.name": "#1"})
        with pytest.raises(SealError):
            shop.sync.replay(one["id"], "olga")


def test_the_envelope_of_an_earlier_correction_is_refused_in_place_of_the_present_one(shop: Shop) -> None:
    shop.told(1001, line={"sku": ""})
    shop.run()
    case = shop.open_case()
    correct(shop, case, put={"body.email": NEW})
    old = shop.open_case()["corrected_sealed"]
    correct(shop, case, put={"body.email": "third@example.org"})
    put(shop, t.quarantine, case["id"], corrected_sealed=old)
    with pytest.raises(SealError):
        shop.sync.workbench.unseal(case["id"], "pia", "to see it")


def put(shop: Shop, table: Any, identity: str, **values: Any) -> None:
    """Change a row behind the plane's back."""
    with shop.store.write() as connection:
        connection.execute(update(table).where(table.c.id == identity).values(**values))


def test_a_replay_that_was_asked_for_waits_for_the_key(shop: Shop) -> None:
    shop.told(1001, line={"sku": ""})
    shop.run()
    case = shop.open_case()
    correct(shop, case, put={"body.line_items[0].sku": SKU})
    other = without_keys(shop)
    other.workbench.replay_many(selection(case["id"]), "olga")
    other.drain(1)
    assert shop.open_case()["replay_at"] > shop.clock.now()
    shop.run(minutes=1)
    assert [one["subject"] for one in shop.rows(t.message, t.message.c.type == "order.placed")] == ["#1001"]


# --- keys ---


def without_keys(shop: Shop) -> Sync:
    return Sync(shop.store, shop.clock, shop.registry, shop, keys=NoKeys())  # type: ignore[arg-type]


def test_a_process_without_the_key_leaves_sealed_records_alone_and_does_the_others(shop: Shop) -> None:
    shop.told(1001)
    other = without_keys(shop)
    shop.stock(55)
    with logged() as log:
        other.drain()
        other.drain()
    [waits] = shop.rows(t.intake, t.intake.c.state == "new")
    assert waits["system"] == "shop"
    assert not shop.rows(t.quarantine)
    assert log.getvalue().count(b"sealed records are left alone") == 1
    shop.run()
    assert [one["subject"] for one in shop.rows(t.message, t.message.c.type == "order.placed")] == ["#1001"]


def test_records_that_wait_for_a_key_do_not_stand_in_the_way_of_others(shop: Shop) -> None:
    with shop.store.write() as connection:
        rows = [stranger(number, shop.clock) for number in range(60)]
        connection.execute(insert(t.intake), rows)
    shop.stock(55)
    shop.sync.drain()
    assert len(shop.rows(t.intake, t.intake.c.state == "new")) == 60
    assert 55 in shop.levels()


def stranger(number: int, clock: ManualClock) -> dict[str, Any]:
    """A row that was sealed with keys that this installation does not have."""
    identity = f"00000000-0000-7000-8000-{number:012d}"
    return {
        "id": identity, "system": "shop", "channel": "webhook", "topic": "orders/create", "event_key": f"k{number}",
        "headers": {}, "body": b"{}", "received_at": clock.now(), "trace_id": "", "state": "new",
        "sealed": STRANGERS.seal(f"intake/{identity}", b"{}"),
    }  # fmt: skip


STRANGERS = Ring.new(START)


def test_nothing_personal_is_taken_in_where_there_is_no_key_and_all_else_is(shop: Shop) -> None:
    shop.sync = without_keys(shop)
    with pytest.raises(KeyMissingError):
        shop.told(1001)
    assert not shop.rows(t.intake, t.intake.c.system == "shop"), "so the shop tells it again"
    shop.stock(55)
    shop.run()
    assert 55 in shop.levels()


def test_a_destroyed_key_leaves_records_unreadable_and_says_so(shop: Shop) -> None:
    shop.told(1001, line={"sku": ""})
    shop.run()
    case, old = shop.open_case(), shop.keys.held.keys[0].id
    shop.told(1002)
    shop.keys.held = shop.keys.held.rotated(shop.clock.now()).without(old, shop.clock.now())
    with pytest.raises(SealError, match=f"its key {old} was destroyed at .*nobody can read it any more"):
        shop.sync.workbench.unseal(case["id"], "pia", "to see it")
    shop.run()
    assert "was destroyed" in shop.open_case()["reason"]
    shop.told(1003)
    shop.run()
    assert [one["subject"] for one in shop.rows(t.message, t.message.c.type == "order.placed")] == ["#1003"]


# --- policy, old rows, other formats ---


def test_what_a_systems_policy_says_counts_for_what_comes_after(shop: Shop) -> None:
    change(shop, "System", "shop", personal={"email": "show", "line_items[*].name": "mask"})
    shop.told(1001)
    [kept] = shop.rows(t.intake, t.intake.c.system == "shop")
    seen = json.loads(kept["body"])
    assert (seen["email"], seen["line_items"][0]["name"], seen["phone"][:5]) == (EMAIL, "•••", "hmac:")


def test_a_record_without_personal_data_is_kept_byte_by_byte_and_not_sealed(shop: Shop) -> None:
    shop.stock(77)
    kept = {json.loads(one["body"])["data"].get("on_hand"): one["sealed"] for one in shop.rows(t.intake)}
    assert kept[77] is None


def test_what_is_no_json_is_sealed_whole(shop: Shop) -> None:
    body = f"<order><mail>{EMAIL}</mail></order>".encode()
    signed = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
    headers = {"x-shopify-hmac-sha256": signed, "x-shopify-topic": "orders/create"}
    shop.sync.take_webhook("shop", Inbound(headers, body))
    shop.run()
    [kept] = shop.rows(t.intake, t.intake.c.system == "shop")
    assert kept["body"] == f"sealed, {len(body)} bytes".encode()
    case = shop.open_case()
    assert case["record"]["body"] == f"sealed, {len(body)} bytes"
    assert shop.sync.workbench.unseal(case["id"], "pia", "to see it")["record"]["body"] == body.decode()
    assert_nowhere(everything(shop.store))


def test_rows_from_before_are_read_as_they_are(shop: Shop) -> None:
    shop.told(1001, line={"sku": ""})
    [kept] = shop.rows(t.intake, t.intake.c.system == "shop")
    put(shop, t.intake, kept["id"], sealed=None, body=json.dumps(order(1001, shop.clock)).encode())
    shop.run()
    assert [one["subject"] for one in shop.rows(t.message, t.message.c.type == "order.placed")] == ["#1001"]


def test_a_refused_line_of_a_batch_of_messages_is_sealed_where_it_is_personal(shop: Shop) -> None:
    good = {
        "id": "e1", "source": "wms", "type": "stock.level", "subject": f"{SKU}@WH1", "time": shop.clock.now().isoformat(),
        "data": {"sku": SKU, "location": "WH1", "on_hand": 5, "allocated": 0, "available": 5, "in_transit": 0,
                 "source_at": shop.clock.now().isoformat()},
    }  # fmt: skip
    bad = good | {"id": "e2", "data": {**good["data"], "email": EMAIL}}
    receipt = shop.sync.acceptor.accept(b"\n".join(json.dumps(one).encode() for one in (good, bad)), batch=True)
    assert (len(receipt.accepted), len(receipt.refused)) == (1, 1)
    [kept] = shop.rows(t.intake, t.intake.c.channel == "api")
    assert kept["sealed"] is not None
    assert json.loads(kept["body"].split(b"\n")[0]) == good
    assert_nowhere(everything(shop.store))
