"""Recognisable secrets of every kind are planted, everything is made to happen and to fail, and then all outputs are searched."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from controlplane import logs
from controlplane.access import create_account, ensure_admin, ensure_cli_token, issue_token
from controlplane.clock import ManualClock
from controlplane.jobs.ticker import Ticker
from controlplane.registry.packs import pack_folder
from controlplane.settings import Settings
from controlplane.wiring import Plane, build_plane
from dashboards.app import mount
from tests.conftest import START
from tests.controlplane.connectors.vault_server import TOKEN, VaultServer
from tests.controlplane.secrets.echo import ACCESS_TOKEN, Echo
from tests.web import served

ENV = {"PLANTED_SHOP": "shpat_planted/access+token=01", "PLANTED_ERP": "planted&erp+consumer/secret=02"}
FILES = {
    "shop_webhook_secret": "planted-shop-webhook-secret-03", "erp_consumer_key": "planted-erp-consumer-key-04",
    "erp_token_secret": 'planted"erp\\token-secret-05', "vault_token": TOKEN,
}  # fmt: skip
VAULT = {
    "wms_refresh": "planted-wms-refresh-token-06", "wms_webhook": "planted-wms-webhook-secret-07",
    "erp_token_id": "planted-erp-token-id-08", "pager": "planted-pager/token+09==",
}  # fmt: skip
REFERENCES = {
    "shop": {"access_token": "env:PLANTED_SHOP", "webhook_secret": "file:shop_webhook_secret"},
    "wms": {"refresh_token": "vault:secret/planted#wms_refresh", "webhook_secret": "vault:secret/planted#wms_webhook"},
    "erp": {
        "consumer_key": "file:erp_consumer_key", "consumer_secret": "env:PLANTED_ERP",
        "token_id": "vault:secret/planted#erp_token_id", "token_secret": "file:erp_token_secret",
    },
    "pager": {"token": "vault:secret/planted#pager"},
}  # fmt: skip
ADMIN, PERSON = "planted-admin-password-10", "planted-password-of-ada-11"
VALUES = {f"env:{name}": value for name, value in ENV.items()} | {
    f"file:{name}": value for name, value in FILES.items()
}
VALUES |= {f"vault:secret/planted#{name}": value for name, value in VAULT.items()}
OF_SYSTEM = {name: [VALUES[reference] for reference in given.values()] for name, given in REFERENCES.items()}
OF_SYSTEMS = [value for values in OF_SYSTEM.values() for value in values]


@dataclass
class House:
    """A plane whose vendors tell all they know, and everything that was ever put out."""

    plane: Plane
    url: str
    echo: Echo
    clock: ManualClock
    log: io.StringIO
    service: str
    """Olga's token."""
    secrets: list[str]
    out: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ticker = Ticker(self.plane)

    def keep(self, name: str, text: str | bytes) -> None:
        self.out[name] = self.out.get(name, b"") + (text if isinstance(text, bytes) else text.encode())

    def ask(self, client: httpx.Client, method: str, path: str, **content: Any) -> httpx.Response:
        answer = client.request(method, path, **content)
        self.keep(f"{method} {path.partition('?')[0]}", answer.content)
        return answer


def planted_pack(folder: Path) -> Path:
    """The shipped pack with references to the planted secrets."""
    shutil.copytree(pack_folder("sandbox"), folder)
    documents = list(yaml.safe_load_all((folder / "systems.yaml").read_text()))
    for document in documents:
        document["spec"]["secrets"] = REFERENCES.get(document["metadata"]["name"], {})
    (folder / "systems.yaml").write_text(yaml.safe_dump_all(documents))
    return folder


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    home, vault, echo, clock = tmp_path / "home", VaultServer(), Echo(OF_SYSTEM), ManualClock(START, pace=1.0)
    vault.put("planted", **VAULT)
    (home / "sandbox" / "secrets").mkdir(parents=True)
    for name, value in FILES.items():
        (home / "sandbox" / "secrets" / name).write_text(value)
    environment = ENV | {
        "TRUEUP_HOME": str(home), "TRUEUP_SANDBOX_PORT": str(echo.port), "TRUEUP_VAULT_ADDR": vault.url,
        "TRUEUP_VAULT_TOKEN": "file:vault_token", "TRUEUP_ADMIN_PASSWORD": ADMIN,
    }  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    log = io.StringIO()
    with logs.telling(log):
        plane = build_plane(Settings(), clock, planted_pack(tmp_path / "pack"))
        ensure_admin(plane.store, clock, ADMIN)
        for name, role, team in (("ada", "editor", "integration-platform"), ("olga", "operator", "store-ops")):
            create_account(plane.store, clock, name, PERSON, [role, "auditor"], actor="setup", team=team)
        ensure_cli_token(plane.store, clock, home / "cli-token")
        service = issue_token(plane.store, clock, "olga", "tests", actor="setup")
        with served(plane, [mount]) as url:
            monkeypatch.setenv("TRUEUP_PORT", url.rpartition(":")[2])
            cli = (home / "cli-token").read_text().strip()
            secrets = [*OF_SYSTEMS, ACCESS_TOKEN, TOKEN, ADMIN, PERSON, service, cli]
            yield House(plane, url, echo, clock, log, service, secrets)
        plane.close()
    vault.close()
    echo.close()


def event(number: int, source: str, kind: str, subject: str, data: dict[str, Any]) -> dict[str, Any]:
    time = START.isoformat()
    return {"specversion": "1.0", "id": f"e{number}", "source": source, "type": kind, "subject": subject, "time": time,
            "data": data}  # fmt: skip


def events() -> Iterator[dict[str, Any]]:
    """Something for every target."""
    at, sku = START.isoformat(), "0007-BLK-M"
    for number in range(4):
        line = {
            "line": 1,
            "native_id": f"L{number}",
            "sku": sku,
            "location": "WH1",
            "quantity": 1,
            "unit_price": "9.90",
        }
        order = {"ref": f"#{number}", "native_id": f"O{number}", "placed_at": at, "currency": "USD", "lines": [line]}
        yield event(10 + number, "shop", "order.placed", f"#{number}", order)
        level = {"sku": sku, "location": "WH1", "on_hand": 40 + number, "allocated": 0, "available": 40 + number,
                 "in_transit": 0, "source_at": at}  # fmt: skip
        yield event(20 + number, "wms", "stock.level", f"{sku}@WH1", level)
        parcel = {"shipment": f"S{number}", "order_ref": f"#{number}", "location": "WH1", "shipped_at": at,
                  "lines": [{"sku": sku, "quantity": 1}]}  # fmt: skip
        yield event(30 + number, "wms", "shipment.shipped", f"S{number}", parcel)
        sale = {"ref": f"R{number}", "location": "ST1", "sku": sku, "quantity": 1, "unit_price": "9.90", "currency": "USD",
                "sold_at": at}  # fmt: skip
        yield event(40 + number, "tills", "sale.recorded", f"R{number}", sale)


def signed_in(house: House, name: str, password: str) -> httpx.Client:
    client = httpx.Client(base_url=house.url, trust_env=False)
    house.ask(client, "POST", "/login", data={"name": name, "password": password})
    house.secrets.append(client.cookies["trueup_session"])
    client.headers["X-CSRFToken"] = client.cookies["_csrf_token"]
    return client


def happen(house: House) -> None:
    """Let everything be tried, again and again, against vendors that answer in every way they can."""
    service = httpx.Client(base_url=house.url, trust_env=False, headers={"Authorization": f"Bearer {house.service}"})
    for one in events():
        assert house.ask(service, "POST", "/api/v1/messages", json=one).status_code == 202
    for headers in ({}, {"X-Shopify-Hmac-Sha256": FILES["shop_webhook_secret"]}):
        assert house.ask(service, "POST", "/hooks/shop", content=b"{}", headers=headers).status_code == 401
    house.ask(service, "POST", "/hooks/wms", content=b"{}", headers={"X-Shiphero-Hmac-Sha256": VAULT["wms_webhook"]})
    house.ask(service, "GET", "/api/v1/me", headers={"Authorization": f"Bearer {TOKEN}"})
    for _ in range(24):
        house.ticker.run_due()
        house.plane.sync.drain(3)
        house.clock.advance(60)
    service.close()


def change(house: House, ada: httpx.Client) -> None:
    """Propose what is right, and what has a secret in it by mistake."""
    system = house.ask(ada, "GET", "/api/v1/policies/System/shop").json()["policy"]["document"]
    spec = system["spec"]
    wrong = [{"secrets": {**spec["secrets"], "access_token": ENV["PLANTED_SHOP"]}},
             {"endpoint": f"https://shop:{quote(VAULT['pager'], safe='')}@example.com"},
             {"options": {**spec["options"], "accessToken": FILES["shop_webhook_secret"]}},
             {"options": {"manifest": {"headers": {"X-Api-Key": FILES["erp_consumer_key"]}}}}]  # fmt: skip
    house.secrets.append(quote(VAULT["pager"], safe=""))
    for part in wrong:
        asked = {
            "kind": "System",
            "name": "shop",
            "document": {**system, "spec": {**spec, **part}},
            "title": "t",
            "reason": "r",
        }
        answer = house.ask(ada, "POST", "/api/v1/change-requests", json=asked)
        assert (answer.status_code, "by reference, never by value" in answer.text) == (422, True)
    domain = house.ask(ada, "GET", "/api/v1/policies/Domain/orders").json()["policy"]["document"]
    kept = {**domain["spec"], "retention": {"archive": f"s3://ada:{FILES['erp_token_secret'][:7]}-05@bucket/ledger"}}
    asked = {"kind": "Domain", "name": "orders", "document": {**domain, "spec": kept}, "title": "t", "reason": "r"}
    answer = house.ask(ada, "POST", "/api/v1/change-requests", json=asked)
    assert (answer.status_code, "spec.retention.archive: a secret is given by reference" in answer.text) == (422, True)
    right = {**system, "spec": {**spec, "timeout": "11s"}}
    asked = {"kind": "System", "name": "shop", "document": right, "title": "t", "reason": "r"}
    made = house.ask(ada, "POST", "/api/v1/change-requests", json=asked).json()
    assert house.ask(ada, "POST", f"/api/v1/change-requests/{made['id']}/submit").is_success


def look(house: House, ada: httpx.Client, olga: httpx.Client) -> None:
    """Ask for every page and every list there is, and for each row of it."""
    assert house.ask(ada, "POST", "/login", data={"name": "ada", "password": ADMIN}).status_code == 401
    for client in (ada, olga):
        for route in house.ask(client, "GET", "/api/v1/").json()["routes"]:
            if "GET" in route["methods"] and "<" not in route["path"]:
                house.ask(client, "GET", route["path"])
        for path in ("/metrics", "/readyz", "/", "/incidents", "/quarantine", "/policies", "/_dash-layout"):
            house.ask(client, "GET", path)
    for case in house.ask(olga, "GET", "/api/v1/quarantine").json()["cases"]:
        message = house.ask(olga, "GET", f"/api/v1/quarantine/{case['id']}").json().get("message_id")
        house.ask(olga, "GET", f"/api/v1/quarantine/{case['id']}/preview")
        house.ask(olga, "GET", f"/api/v1/messages/{message}")
    for incident in house.ask(olga, "GET", "/api/v1/incidents").json()["incidents"]:
        house.ask(olga, "GET", f"/api/v1/incidents/{incident['id']}")


def command(house: House, folder: Path) -> None:
    """Call the commands whose output people hand around."""
    from controlplane.audit.commands import app as audit
    from controlplane.cli import root as trueup
    from controlplane.registry.change_commands import app as policy

    calls = [
        (policy, ["export"]), *((policy, ["export", "--as", form]) for form in ("openslo", "odcs", "backstage")),
        (policy, ["export", str(folder)]), (policy, ["drift", str(folder)]), (policy, ["drift", "--json"]),
        (policy, ["plan", str(folder)]), (policy, ["show", "System", "shop"]), (policy, ["history", "System", "shop"]),
        (audit, ["export"]), (trueup, ["doctor"]), (trueup, ["doctor", "--json"]), (trueup, ["sync", "retrying"]),
        (trueup, ["sync", "status"]), (trueup, ["quarantine", "list"]),
    ]  # fmt: skip
    for app, arguments in calls:
        result = CliRunner().invoke(app, arguments)
        house.keep(f"trueup {arguments}", result.output + repr(result.exception))
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            house.keep("export", file.read_bytes())


def forms(secret: str) -> Iterator[bytes]:
    """How a secret may stand in what was put out."""
    for text in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], base64.b64encode(secret.encode()).decode()):
        yield text.rstrip("=").encode()


def found(house: House) -> list[tuple[str, str]]:
    return [
        (where, secret)
        for where, content in house.out.items()
        for secret in house.secrets
        if any(form in content for form in forms(secret))
    ]


def count(house: House, query: str) -> int:
    with house.plane.store.read() as conn:
        return int(conn.exec_driver_sql(query).scalar() or 0)


def test_no_planted_secret_is_in_anything_that_the_plane_puts_out(house: House, tmp_path: Path) -> None:
    happen(house)
    ada, olga = signed_in(house, "ada", PERSON), signed_in(house, "olga", PERSON)
    change(house, ada)
    look(house, ada, olga)
    command(house, tmp_path / "exported")
    house.keep("plane.log", house.log.getvalue())
    house.keep("incident notifications", "\n".join(house.echo.notified))
    home = house.plane.settings.home
    for name in ("plane.sqlite", "plane.sqlite-wal"):
        house.keep(name, (home / name).read_bytes())
    for anchor in sorted((home / "anchors").rglob("*")):
        house.keep("anchors", anchor.read_bytes() if anchor.is_file() else b"")

    # the vendors were spoken to and failed in all ways, so that there was something to leak
    outcomes = {"rejected", "unavailable", "unknown", "throttled"}
    with house.plane.store.read() as conn:
        assert outcomes <= {row[0] for row in conn.exec_driver_sql("SELECT DISTINCT outcome FROM attempt")}
        systems = {row[0] for row in conn.exec_driver_sql("SELECT DISTINCT system FROM attempt")}
    assert {"shop", "wms", "erp", "pager"} <= systems
    assert count(house, "SELECT count(*) FROM quarantine") > 3
    assert count(house, "SELECT count(*) FROM attempt WHERE evidence LIKE '%[redacted]%'") > 5
    assert b"[redacted]" in house.out["GET /api/v1/retrying"] + house.out["GET /api/v1/quarantine"]
    assert house.echo.notified
    assert b"secret" in house.out["trueup ['doctor']"]
    assert found(house) == []


def test_the_search_finds_a_secret_however_it_is_written(house: House) -> None:
    for form in ("raw", "base64", "percent"):
        house.out.clear()
        for name in OF_SYSTEM:
            house.keep("somewhere", house.echo.said(f"/{name}/", form))
        assert {secret for _, secret in found(house)} >= set(OF_SYSTEMS)
