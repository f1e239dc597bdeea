"""What each vendor may tell of a person, planted into its own records and answers, taken through the whole plane and looked for everywhere.

What a connector polls comes through a proxy that plants in every object of every answer; what is told by webhook is planted and signed
anew; files are written with it. Connectors that the machine has no system for get the records that they would take in.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from sqlalchemy import select

from controlplane import logs, plugins
from controlplane.access import create_account, issue_token
from controlplane.connectors.builtin.till_files.sales import COLUMNS
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.faults import Asked, Canned
from controlplane.connectors.conformance.proxy import Proxy
from controlplane.connectors.conformance.report import NotApplicable
from controlplane.connectors.conformance.suite import bench_of
from controlplane.connectors.contract import Connector, Record
from controlplane.registry.packs import pack_folder
from controlplane.settings import Settings
from controlplane.store import tables as t
from controlplane.sync import intake
from controlplane.wiring import Plane, build_plane
from dashboards.app import mount
from tests.controlplane.connectors.signing import ADDRESS, SCHEMES
from tests.controlplane.connectors.x12_kit import SHIPPED, interchange, one_set
from tests.controlplane.sync.test_personal_data import everything
from tests.web import PASSWORD, served

NAME, FIRST, EMAIL, PHONE = "Lindqvistova", "Annelieska", "anna.lindqvist@mail.example", "+4915799887766"
STREET, CITY, POSTAL, COMPANY = "Kirschgarten 7b", "Quastenflossingen", "QX9 8ZZ", "Nachtigall Privatbestattung"
NOTE, CARD, BORN, WHERE_FROM = "bitte beim Uhrmacher klingeln", "4929 7777 1234 5678", "1971-07-13", "203.0.113.77"
PLANTED = (NAME, FIRST, EMAIL, PHONE, STREET, CITY, POSTAL, COMPANY, NOTE, CARD, BORN, WHERE_FROM)
ADDRESS_OF = {
    "name": f"{FIRST} {NAME}", "company": COMPANY, "first_name": FIRST, "last_name": NAME, "address1": STREET, "city": CITY,
    "postal_code": POSTAL, "phone": PHONE,
}  # fmt: skip
PARTY = {"name": f"{FIRST} {NAME}", "company": COMPANY, "line1": STREET, "email": EMAIL}
TOLD: dict[str, Any] = {
    # Shopify
    "email": EMAIL, "contact_email": EMAIL, "phone": PHONE, "note": NOTE, "note2": NOTE, "browser_ip": WHERE_FROM, "tags": NOTE,
    "customer": {"first_name": FIRST, "displayName": f"{FIRST} {NAME}", "default_address": ADDRESS_OF},
    "billing_address": ADDRESS_OF, "shippingAddress": {"name": f"{FIRST} {NAME}", "formatted": [STREET, CITY]}, "destination": ADDRESS_OF,
    "customAttributes": [{"key": "engraving", "value": NOTE}], "receiptJson": json.dumps({"payer": EMAIL}),
    # Adobe Commerce
    "customer_email": EMAIL, "customer_firstname": FIRST, "customer_lastname": NAME, "customer_dob": BORN, "customer_note": NOTE,
    "remote_ip": WHERE_FROM, "street": [STREET], "postcode": POSTAL, "telephone": PHONE, "cc_owner": f"{FIRST} {NAME}",
    "extension_attributes": {"shipping_assignments": [{"shipping": {"address": {"firstname": FIRST, "street": [STREET], "city": CITY}}}]},
    # Square
    "shipment_details": {"recipient": {"display_name": f"{FIRST} {NAME}", "email_address": EMAIL, "address": {"address_line_1": STREET}}},
    "buyer_email_address": EMAIL, "card_details": {"card": {"cardholder_name": f"{FIRST} {NAME}"}},
    "pickup_details": {"note": NOTE, "recipient": {"phone_number": PHONE}},
    # Amazon
    "BuyerInfo": {"BuyerEmail": EMAIL, "BuyerName": f"{FIRST} {NAME}"}, "buyer": {"buyerName": NAME, "buyerCompanyName": COMPANY},
    "ShippingAddress": {"Name": f"{FIRST} {NAME}", "AddressLine1": STREET, "City": CITY}, "GiftMessageText": NOTE,
    "recipient-name": f"{FIRST} {NAME}", "ship-address-1": STREET, "buyer-phone-number": PHONE, "BuyerCompanyName": COMPANY,
    # NetSuite
    "entity": {"refName": f"{FIRST} {NAME}"}, "shipAddress": f"{STREET} {CITY}", "memo": NOTE, "shipAddressee": f"{FIRST} {NAME}",
    # SAP S/4HANA
    "SoldToPartyName": COMPANY, "StreetName": STREET, "CityName": CITY, "EmailAddress": EMAIL, "BusinessPartnerName1": COMPANY,
    "PersonFamilyName": NAME, "GoodsRecipientName": NAME, "CreatedByUser": NAME,
    "to_Partner": {"results": [PARTY]},
    # ShipHero and other warehouses
    "gift_note": NOTE, "packing_note": NOTE, "order_notes": NOTE, "ship_to": PARTY, "bill_to": {"name": NAME}, "shipTo": {"name": NAME},
    "deliver_to": {"full_name": NAME}, "signed_by": NAME, "delivery_instructions": NOTE,
    # Stripe
    "billing_details": PARTY, "receipt_email": EMAIL, "shipping": {"name": f"{FIRST} {NAME}", "phone": PHONE, "address": {"line1": STREET}},
    "owner": {"name": f"{FIRST} {NAME}", "email": EMAIL}, "customer_shipping": {"name": NAME}, "card_number": CARD,
    # Tryton, Vendure
    "party": {"name": f"{FIRST} {NAME}", "vat_number": CARD}, "emailAddress": EMAIL, "fullName": f"{FIRST} {NAME}", "streetLine1": STREET,
    # whatever is called in no vendor's way
    "user": {"name": f"{FIRST} {NAME}"}, "contacts": [{"name": NAME}], "place": {"name": NAME, "street": STREET, "zip": POSTAL},
}  # fmt: skip
"""What vendors tell of people, by their own names."""


def planted(value: Any) -> Any:
    """Return a document with everything planted in every object of it that says something."""
    if isinstance(value, list):
        return [planted(one) for one in value]
    if not isinstance(value, dict):
        return value
    inner = {name: planted(one) for name, one in value.items()}
    said = any(not isinstance(one, dict | list) for one in value.values())
    return TOLD | {name: one for name, one in inner.items() if one is not None or name not in TOLD} if said else inner


class Planting(Proxy):
    """A system whose every answer in JSON tells of somebody."""

    told = 0

    def forward(self, asked: Asked) -> Canned:
        """Return what the system answers, planted."""
        answer = super().forward(asked)
        try:
            found = json.loads(answer.body)
        except ValueError:
            return answer
        self.told += 1
        headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
        return Canned(answer.status, json.dumps(planted(found)).encode(), headers)


ABSENT: dict[str, dict[str, Any]] = {
    "tryton": {"database": "retail", "locations": ["WH"]}, "vendure": {"locations": ["1"]}, "broker": {}, "kafka": {}, "nats": {},
}  # fmt: skip
"""Options of connectors whose system may not be at hand."""


class Absent(Bench):
    """A system that nothing can be had of."""

    def start(self, folder: Path) -> Place:
        """It is not there."""
        raise NotApplicable(f"nothing is at {folder}")


@dataclass
class Walk:
    """A plane with one system more, `native`, whose connector is on trial."""

    name: str
    plane: Plane
    url: str
    place: Place
    log: io.StringIO
    proxy: Planting | None
    viewer: httpx.Client
    operator: httpx.Client
    out: dict[str, bytes] = field(default_factory=dict)

    @property
    def inbox(self) -> str:
        """The folder below the endpoint in which a partner drops its files."""
        return "in" if self.name == "edi_x12" else ""

    @property
    def connector(self) -> Connector:
        return self.plane.sync.connections.get("native")

    def keep(self, where: str, text: str | bytes) -> None:
        self.out[where] = self.out.get(where, b"") + (text if isinstance(text, bytes) else text.encode())

    def ask(self, client: httpx.Client, method: str, path: str, **content: Any) -> httpx.Response:
        answer = client.request(method, path, **content)
        self.keep(f"{method} {path}", answer.content)
        return answer

    def poll(self, entity: str) -> None:
        """Read what the system has, as the plane does."""
        sync = self.plane.sync
        intake.poll(
            self.plane.store, self.plane.clock, self.connector, entity, sync.shield("native"), sync.acceptor.room
        )

    def take(self, *records: Record) -> None:
        """Take records in that came off a queue."""
        with self.plane.store.write() as connection:
            intake.take(connection, self.plane.clock, "native", "queue", records, self.plane.sync.shield("native"))

    def hook(self, body: bytes, event: str) -> httpx.Response:
        """Let the vendor call us."""
        [secret] = (self.place.secrets[one] for one in self.connector.manifest.webhook_secrets)
        headers = SCHEMES[self.name].sign(secret, body, self.plane.clock.now(), event)
        return self.ask(self.viewer, "POST", "/hooks/native", content=body, headers=headers)

    def taken(self) -> list[Any]:
        """The rows of intake."""
        with self.plane.store.read() as connection:
            return list(connection.execute(select(t.intake).where(t.intake.c.system == "native")))

    def whole(self) -> list[bytes]:
        """The records as they came."""
        shield = self.plane.sync.shield("native")
        return [shield.whole(intake.label(row.id), row.body, row.sealed) for row in self.taken()]

    def found(self) -> list[str]:
        """Where something planted stands in the clear, with what is around it."""
        told = []
        for where, content in self.out.items():
            for value in PLANTED:
                for form in {value.encode(), json.dumps(value)[1:-1].encode(), value.encode().hex().encode()}:
                    if form in content:
                        at = content.find(form)
                        told.append(f"{where}: {value}: …{content[max(0, at - 160) : at + 80]!r}")
                        break
        return told


def pack_with(folder: Path, name: str, endpoint: str, place: Place) -> Path:
    """The shipped pack, and the system `native`."""
    shutil.copytree(pack_folder("sandbox"), folder)
    options = {**place.options, **({"webhook_url": ADDRESS} if "webhook_url" in place.options else {})}
    internal = [urlsplit(one).netloc for one in (endpoint, *place.beside) if urlsplit(one).netloc]
    spec = {"connector": name, "owner": "ecommerce", "role": "shop", "endpoint": endpoint, "options": options,
            "secrets": {one: f"file:native_{one}" for one in place.secrets}, "internal": internal}  # fmt: skip
    system = {"apiVersion": "trueup/v1", "kind": "System", "metadata": {"name": "native"}, "spec": spec}
    (folder / "native.yaml").write_text(yaml.safe_dump(system))
    return folder


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


def walk_of(name: str, folder: Path, stack: ExitStack) -> tuple[Walk, Bench]:
    """Start a plane with the system of a connector's bench."""
    bench = bench_of(name)()
    (folder / "bench").mkdir()
    stack.callback(bench.stop)
    try:
        place = bench.start(folder / "bench")
    except NotApplicable:  # its system is not at hand
        place, bench = (
            Place("http://127.0.0.1:1", dict.fromkeys(bench.connector.manifest.secrets, "a secret"), ABSENT[name]),
            Absent(),
        )
    proxy = Planting(place.endpoint) if place.endpoint.startswith("http") else None
    if proxy:
        stack.callback(proxy.close)
    endpoint = proxy.endpoint if proxy else place.endpoint
    home = folder / "home"
    (home / "sandbox" / "secrets").mkdir(parents=True)
    for secret, value in place.secrets.items():
        (home / "sandbox" / "secrets" / f"native_{secret}").write_text(value)
    log = io.StringIO()
    stack.enter_context(logs.telling(log))
    settings = Settings(home=home, engine="embedded", admin_password="", rate_asking="", rate_sign_in="")
    plane = build_plane(settings, bench.clock, pack_with(folder / "pack", name, endpoint, place))
    stack.callback(plane.close)
    tokens = {}
    for person, roles in (("vic", ["viewer"]), ("olga", ["operator", "auditor"])):
        create_account(plane.store, plane.clock, person, PASSWORD, roles, actor="setup", team="store-ops")
        tokens[person] = issue_token(plane.store, plane.clock, person, "tests", actor="setup")
    url = stack.enter_context(served(plane, [mount]))
    viewer, operator = [
        stack.enter_context(
            httpx.Client(base_url=url, trust_env=False, timeout=60, headers={"Authorization": f"Bearer {token}"})
        )
        for token in tokens.values()
    ]
    return Walk(name, plane, url, place, log, proxy, viewer, operator), bench


def spoilt(value: Any) -> Any:
    """Return a record as no connector can read it: whatever is not of a person is another thing."""
    if isinstance(value, dict):
        return {name: one if name in TOLD or name in ("header", "row") else spoilt(one) for name, one in value.items()}
    if isinstance(value, list):
        return [spoilt(one) for one in value]
    return {"spoilt": value} if value is not None else None


FEW = 12
"""Records of a system that are spoilt, and cases that are worked on."""
EDI = interchange(one_set(
    "945", SHIPPED[0], f"N1*ST*{FIRST} {NAME}*92*1", f"N2*{COMPANY}", f"N3*{STREET}", f"N4*{CITY}*LN*{POSTAL}*US",
    f"PER*IC*{NAME}*TE*{PHONE}",
    f"NTE*ZZZ*{NOTE}", *SHIPPED[5:],
)).decode()  # fmt: skip
FILES = {
    "till_files": ("sales_000777.csv", (
        f"{';'.join(COLUMNS)};name;street;customer_email;note\n"
        f"ST1;r1;1;900007;1;9,90;2026-11-27T07:00:00+01:00;{FIRST} {NAME};{STREET};{EMAIL};{NOTE}\n"
        f"ST1;r1;2;900007;1;{EMAIL};2026-11-27T07:00:00+01:00;{FIRST} {NAME};{STREET};{EMAIL};{NOTE};one too many\n"
    )),
    "edi_x12": ("945_1.edi", EDI), "edi_x12 torn": ("945_2.edi", EDI.replace("IEA", "IEX")),
}  # fmt: skip
"""Connector -> name and content of a file that its partner drops; a second word tells files of one connector apart."""
LINE = {"sku": "A", "quantity": 1}
QUEUED = {
    **dict.fromkeys(("broker", "kafka", "nats"), ("event", {
        "specversion": "1.0", "id": "e1", "source": "native", "type": "order.placed", "subject": "#1", "time": "2026-11-27T06:00:00Z",
        "data": {"ref": "#1", "lines": [LINE]},
    })),
    "tryton": ("shipments", {"number": "CS-1", "order": "#1", "lines": [LINE]}),
    "vendure": ("orders", {"code": "V1", "updatedAt": "2026-11-27T06:00:00Z", "lines": [LINE]}),
}  # fmt: skip
"""Connector -> topic and record of its own, where no simulator tells it."""
SILENT = {"avalara", "webhook"}
"""Connectors that nothing is taken in from."""
REDUCES = {"adobe_commerce", "sap_s4", "stripe", "tryton", "vendure"}
"""Connectors that keep of what they are told nothing but what they need, and nothing of that is personal."""


def happen(walk: Walk, bench: Bench) -> None:
    """Take everything in that the system tells, once as it is and once as nobody can read it."""
    manifest = walk.connector.manifest
    for name, content in (found for key, found in FILES.items() if key.partition(" ")[0] == walk.name):
        (Path(walk.place.endpoint) / walk.inbox / name).write_text(content)
    for spec in (one for one in manifest.reads if one.changes):
        if not isinstance(bench, Absent):
            bench.things(spec.entity, 2)
            walk.poll(spec.entity)
    for number, inbound in enumerate(bench.webhooks() if manifest.receives else ()):
        body = planted(json.loads(inbound.body))
        assert walk.hook(json.dumps(body).encode(), f"e{number}").status_code == 200
    if walk.name in QUEUED:
        topic, document = QUEUED[walk.name]
        walk.take(Record(topic, "queued", json.dumps(planted(document)).encode()))
    if walk.name in DECLARED:
        walk.take(
            *(Record(DECLARED[walk.name], f"text:{text[:5]}", text.encode()) for text in (XML, f"{NAME};{EMAIL}"))
        )
    some = list(zip(walk.taken(), walk.whole(), strict=True))[-FEW:]
    walk.take(*(Record(row.topic, f"spoilt:{row.id}", body) for row, raw in some if (body := _spoilt(raw))))
    walk.plane.sync.drain(20)


XML = f"<order><Name>{FIRST} {NAME}</Name><Street>{STREET}</Street></order>"
DECLARED = {"declared": "orders"}


def _spoilt(raw: bytes) -> bytes | None:
    try:
        return json.dumps(spoilt(json.loads(raw))).encode()
    except ValueError:
        return None


def work(walk: Walk) -> None:
    """Do with the cases what an operator does."""
    cases = walk.ask(walk.operator, "GET", "/api/v1/quarantine").json()["cases"]
    edit = {
        "put": {"body.ship_to.name": f"{NAME} {FIRST}", "body.place.name": NAME, "body.email": EMAIL}, "note": f"tell {EMAIL}",
    }  # fmt: skip
    for case in cases[:FEW]:
        here = f"/api/v1/quarantine/{case['id']}"
        walk.ask(walk.operator, "GET", f"{here}/preview")
        walk.ask(walk.operator, "POST", f"{here}/correct", json=edit)
        walk.ask(walk.operator, "POST", f"{here}/replay", json={})
    walk.plane.sync.drain(20)


def write(walk: Walk, bench: Bench) -> None:
    """Write what can be written; what is kept of the exchange is the evidence of an attempt."""
    for spec in walk.connector.manifest.writes:
        for make in (bench.write, bench.refused, bench.stale):
            try:
                request = make(spec.entity)
            except NotApplicable:
                continue
            for outcome in (walk.connector.write(request), walk.connector.read_back(request)):
                told = json.dumps(dict(outcome.evidence), default=str, ensure_ascii=False)
                walk.keep(f"evidence of {spec.entity}", f"{outcome.detail} {told}")


def look(walk: Walk) -> None:
    """Ask for all that there is to be seen, as somebody who may only look, and as an auditor."""
    for route in walk.ask(walk.viewer, "GET", "/api/v1/").json()["routes"]:
        if "GET" in route["methods"] and "<" not in route["path"]:
            for client in (walk.viewer, walk.operator):
                walk.ask(client, "GET", route["path"])
    for listed, key in (
        ("quarantine", "cases"),
        ("incidents", "incidents"),
        ("messages", "messages"),
        ("intake", "records"),
    ):
        for one in walk.ask(walk.viewer, "GET", f"/api/v1/{listed}?limit={FEW}").json().get(key, []):
            walk.ask(walk.viewer, "GET", f"/api/v1/{listed}/{one['id']}")
    for path in ("/metrics", "/", "/quarantine", "/incidents"):
        walk.ask(walk.viewer, "GET", path)
    walk.keep("the log", walk.log.getvalue())
    walk.keep("the database", everything(walk.plane.store))


@pytest.mark.parametrize("name", sorted(plugins.registered("connectors")))
def test_nothing_that_a_vendor_tells_of_a_person_stands_in_the_clear(
    name: str, tmp_path: Path, stack: ExitStack
) -> None:
    walk, bench = walk_of(name, tmp_path, stack)
    happen(walk, bench)
    work(walk)
    write(walk, bench)
    look(walk)
    assert walk.found() == []
    assert walk.out["the database"]
    sealed = [raw for raw, row in zip(walk.whole(), walk.taken(), strict=True) if row.sealed]
    assert bool(walk.proxy and walk.proxy.told) or name in {*(key.partition(" ")[0] for key in FILES), *QUEUED}, (
        "nothing was planted"
    )
    if name not in SILENT | REDUCES:
        assert any(NAME.encode() in raw for raw in sealed), "what was told of somebody is not kept for a replay"
