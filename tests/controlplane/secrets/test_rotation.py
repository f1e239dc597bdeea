"""Secrets that change under a running plane: the next request has the new one, and nothing is refused for the old one."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from controlplane.access import issue_token
from controlplane.clock import ManualClock
from controlplane.connectors.connections import LOOKED
from controlplane.settings import Settings
from controlplane.store import tables as t
from controlplane.wiring import Plane, build_plane
from tests.conftest import START
from tests.controlplane.connectors.bad_server import BadServer, Habit
from tests.controlplane.connectors.vault_server import VaultServer
from tests.controlplane.secrets.test_planted import ENV, FILES, VAULT, event, planted_pack
from tests.web import PEOPLE, served


@dataclass
class House:
    plane: Plane
    url: str
    vendor: BadServer
    vault: VaultServer
    clock: ManualClock
    client: httpx.Client

    def sale(self, number: int) -> None:
        data = {"ref": f"R{number}", "location": "ST1", "sku": "0007-BLK-M", "quantity": 1, "unit_price": "9.90",
                "currency": "USD", "sold_at": START.isoformat()}  # fmt: skip
        sent = self.client.post("/api/v1/messages", json=event(number, "tills", "sale.recorded", f"R{number}", data))
        assert sent.status_code == 202, sent.text
        self.plane.sync.drain(1)

    def tries(self) -> list[tuple[str, str]]:
        a = t.attempt.c
        with self.plane.store.read() as conn:
            query = select(a.outcome, a.detail).where(a.system == "erp", a.flow == "till-sales").order_by(a.id)
            return [(row.outcome, row.detail) for row in conn.execute(query)]

    def signatures(self) -> list[str]:
        return [headers["authorization"] for method, _, headers, _ in self.vendor.asked if method == "PUT"]

    def hook(self, secret: str, number: int = 1) -> int:
        body = b'{"webhook_type": "Tote Complete", "n": %d}' % number
        signed = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
        answer = self.client.post("/hooks/wms", content=body, headers={"X-Shiphero-Hmac-Sha256": signed})
        return answer.status_code


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    vendor, vault, clock = BadServer(), VaultServer(), ManualClock(START, pace=1.0)
    vendor.script(Habit(204, b""))
    vault.put("planted", **VAULT)
    folder = tmp_path / "home" / "sandbox" / "secrets"
    folder.mkdir(parents=True)
    for name, value in FILES.items():
        (folder / name).write_text(value)
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    settings = Settings(
        home=tmp_path / "home", sandbox_port=int(vendor.url.rpartition(":")[2]), vault_addr=vault.url,
        vault_token="file:vault_token",
    )  # fmt: skip
    plane = build_plane(settings, clock, planted_pack(tmp_path / "pack"))
    from controlplane.access import create_account

    create_account(
        plane.store, clock, "olga", "a password of twenty", ["operator"], actor="setup", team=PEOPLE["olga"][1]
    )
    token = issue_token(plane.store, clock, "olga", "tests", actor="setup")
    with served(plane) as url:
        client = httpx.Client(base_url=url, trust_env=False, headers={"Authorization": f"Bearer {token}"})
        yield House(plane, url, vendor, vault, clock, client)
        client.close()
    plane.close()
    vendor.close()
    vault.close()


def test_a_delivery_that_meets_a_401_goes_out_with_the_new_secret_before_it_counts_as_refused(house: House) -> None:
    house.sale(1)
    assert [outcome for outcome, _ in house.tries()] == ["delivered"]
    (house.plane.settings.secrets / "erp_consumer_key").write_text("a-new-consumer-key")
    house.vendor.script(Habit(401), Habit(204, b""))  # the vendor takes the new one only, and no second has gone by
    house.sale(2)
    assert [outcome for outcome, _ in house.tries()] == ["delivered", "delivered"]
    old, refused, new = house.signatures()
    assert FILES["erp_consumer_key"] in old
    assert FILES["erp_consumer_key"] in refused
    assert "a-new-consumer-key" in new


def test_a_secret_in_vault_that_was_rotated_is_asked_for_at_once_after_a_401(house: House) -> None:
    house.sale(1)
    asked = len(house.vault.asked)
    house.vault.put("planted", **{**VAULT, "erp_token_id": "a-new-token-id"})
    house.vendor.script(Habit(401), Habit(204, b""))
    house.sale(2)
    assert [outcome for outcome, _ in house.tries()] == ["delivered", "delivered"]
    assert "a-new-token-id" in house.signatures()[-1]
    assert len(house.vault.asked) == asked + 1


def test_a_401_with_the_secret_as_it_was_counts_at_once_and_says_what_to_check(house: House) -> None:
    house.vendor.script(Habit(401))
    house.sale(1)
    [(outcome, detail)] = house.tries()
    assert (outcome, "check the secrets of the System policy" in detail) == ("unavailable", True)
    assert len(house.signatures()) == 1


def test_a_new_secret_is_used_without_any_refusal_once_a_second_is_over(house: House) -> None:
    house.sale(1)
    (house.plane.settings.secrets / "erp_consumer_key").write_text("a-new-consumer-key")
    house.clock.advance(LOOKED.total_seconds())
    house.sale(2)
    assert "a-new-consumer-key" in house.signatures()[-1]
    assert len(house.signatures()) == 2


def test_a_webhook_that_is_signed_with_a_new_secret_is_taken_at_once(house: House) -> None:
    assert house.hook(VAULT["wms_webhook"], 1) == 200
    house.vault.put("planted", **{**VAULT, "wms_webhook": "the-new-webhook-secret"})
    assert house.hook("the-new-webhook-secret", 2) == 200
    assert house.hook(VAULT["wms_webhook"], 3) == 401


def test_forged_webhooks_do_not_have_vault_asked_more_than_once_a_second(house: House) -> None:
    house.hook(VAULT["wms_webhook"])
    asked = len(house.vault.asked)
    assert {house.hook("forged", number) for number in range(20)} == {401}
    assert len(house.vault.asked) == asked + 1
