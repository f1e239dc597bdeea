"""Every connector that takes webhooks, attacked over HTTP on a plane that runs: what is not its vendor's is refused, and not kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import func, select

from controlplane.clock import ManualClock
from controlplane.plugins import load_all
from controlplane.settings import Settings
from controlplane.store import tables as t
from controlplane.wiring import Plane, build_plane
from tests.conftest import START
from tests.controlplane.connectors.signing import ADDRESS, SCHEMES, Scheme
from tests.controlplane.sync.archive.kit import pack
from tests.web import served

OLD, NEW = "whsec-of-last-year-0123456789", "whsec-of-this-year-9876543210"
OPTIONS: dict[str, dict[str, Any]] = {
    "square": {"webhook_url": ADDRESS, "locations": []}, "shopify": {"locations": ["WH1"], "currency": "USD"},
    "amazon": {"marketplace": "ATVPDKIKX0DER", "seller": "A1"},
}  # fmt: skip
LARGEST = 2 * 2**20


@dataclass
class Hooks:
    """A plane that listens to one vendor, which signs with a secret."""

    scheme: Scheme
    plane: Plane
    client: httpx.Client
    file: Path

    def send(self, body: bytes, headers: Any) -> int:
        """Return the status of what is sent as it is given."""
        return self.client.post("/hooks/native", content=body, headers=headers).status_code

    def signed(
        self, body: bytes | None = None, secret: str = OLD, late: float = 0, event: str = "e1"
    ) -> dict[str, str]:
        """Headers as the vendor makes them, so many seconds ago."""
        at = self.plane.clock.now() - timedelta(seconds=late)
        return self.scheme.sign(secret, self.scheme.body if body is None else body, at, event)

    def kept(self) -> int:
        """How many records were taken in."""
        with self.plane.store.read() as connection:
            return (
                connection.scalar(select(func.count()).select_from(t.intake).where(t.intake.c.system == "native")) or 0
            )


@pytest.fixture(params=sorted(SCHEMES))
def hooks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hooks]:
    name = request.param
    secrets = tmp_path / "home" / "sandbox" / "secrets"
    secrets.mkdir(parents=True)
    manifest = dict(load_all("connectors"))[name].manifest
    for secret in manifest.secrets:
        (secrets / f"native_{secret}").write_text(OLD)
    spec = {
        "connector": name, "owner": "ecommerce", "role": "shop", "endpoint": "https://vendor.example", "options": OPTIONS.get(name, {}),
        "secrets": {secret: f"file:native_{secret}" for secret in manifest.secrets},
    }  # fmt: skip
    folder = pack(tmp_path)
    system = {"apiVersion": "trueup/v1", "kind": "System", "metadata": {"name": "native"}, "spec": spec}
    (folder / "native.yaml").write_text(yaml.safe_dump(system))
    settings = Settings(home=tmp_path / "home", engine="embedded", admin_password="")
    plane = build_plane(settings, ManualClock(START), folder)
    [signing] = SIGNING.get(name) or manifest.webhook_secrets
    with served(plane) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        yield Hooks(SCHEMES[name], plane, client, secrets / f"native_{signing}")
    plane.close()


SIGNING = {"amazon": ("notification_key",)}
"""Secrets by which webhooks are known, where the connector works without webhooks."""


def test_every_connector_that_takes_webhooks_is_attacked_here() -> None:
    from controlplane.connectors.contract import Connector

    hearing = {name for name, kind in load_all("connectors") if kind.receive is not Connector.receive}
    ours = {name for name in hearing if dict(load_all("connectors"))[name].__module__.startswith("controlplane.")}
    assert ours == SCHEMES.keys()


def test_what_the_vendor_signed_is_taken_once(hooks: Hooks) -> None:
    body = hooks.scheme.body
    answers = [hooks.client.post("/hooks/native", content=body, headers=hooks.signed()).json() for _ in range(3)]
    assert [one["new"] for one in answers] == [True, False, False]
    lower = {name.lower(): value for name, value in hooks.signed().items()}
    upper = {name.upper(): value for name, value in hooks.signed().items()}
    assert [hooks.send(body, headers) for headers in (lower, upper)] == [200, 200]
    assert hooks.kept() == 1


def test_what_is_not_signed_or_by_somebody_else_is_refused(hooks: Hooks) -> None:
    body, good, header = hooks.scheme.body, hooks.signed(), hooks.scheme.header
    without = {name: value for name, value in good.items() if name != header}
    wrong = [
        "",
        "x",
        "=",
        good[header][:-1],
        good[header] + "A",
        good[header].swapcase(),
        "é",
        "v1=,t=",
        "null",
        "0" * 64,
    ]
    forged = [without, *({**good, header: one} for one in wrong if one != good[header])]
    for headers in forged:
        sent = [(name, value.encode("utf-8")) for name, value in headers.items()]
        assert hooks.send(body, sent) == 401, headers
    for name, scheme in SCHEMES.items():
        if scheme is not hooks.scheme:
            told = scheme.sign(OLD, body, hooks.plane.clock.now(), "e1")
            told = {**without, **{key: value for key, value in told.items() if key == scheme.header}}
            assert hooks.send(body, told) == 401, f"the proof of {name}"
    assert hooks.send(body, hooks.signed(secret=NEW)) == 401
    assert hooks.kept() == 0


def test_the_signature_of_another_body_is_refused(hooks: Hooks) -> None:
    if not hooks.scheme.of_body:
        pytest.skip("the vendor signs no body; its bus bears a key, over TLS")
    body, good = hooks.scheme.body, hooks.signed()
    changed = [
        body.replace(b" ", b""),
        body + b" ",
        b" " + body,
        body + b"\n",
        body.replace(b"1", b"2"),
        b"",
        b"{}",
        body + body,
        body[:-1],
    ]
    assert [hooks.send(other, good) for other in changed] == [401] * len(changed)
    assert hooks.send(b"", hooks.signed(b"")) in (200, 422), (
        "signed, and empty: told what is wrong with it, or kept as it is"
    )
    assert hooks.kept() <= 1


def test_a_signed_time_that_is_not_now_is_refused(hooks: Hooks) -> None:
    statuses = [hooks.send(hooks.scheme.body, hooks.signed(late=late)) for late in (3600, 301, -301, -86400)]
    assert statuses == ([401] * 4 if hooks.scheme.of_time else [200] * 4), (
        "docs/security.md says whose signatures bear no time"
    )
    assert [hooks.send(hooks.scheme.body, hooks.signed(late=late)) for late in (299, -299)] == [200, 200]
    assert hooks.kept() == 1, "told again it is known"


def test_two_signatures_let_nobody_in_who_has_none(hooks: Hooks) -> None:
    body, header, good = hooks.scheme.body, hooks.scheme.header, hooks.signed()
    stranger = hooks.signed(secret=NEW)
    others = [(name, value) for name, value in good.items() if name != header]
    assert hooks.send(body, [*others, (header, stranger[header]), (header, stranger[header])]) == 401
    for pair in ((stranger, good), (good, stranger)):
        twice = [*others, *((header, one[header]) for one in pair)]
        assert hooks.send(body, twice) in (200, 401), "never an error"
    assert hooks.kept() <= 1


def test_a_body_beyond_the_limit_is_refused_before_it_is_read_and_a_large_one_is_only_checked(hooks: Hooks) -> None:
    huge = b'{"x": "' + b"a" * LARGEST + b'"}'
    assert hooks.send(huge, hooks.signed(huge)) == 413
    large = b'{"x": "' + b"a" * (LARGEST - 1000) + b'"}'
    assert hooks.send(large, hooks.signed(large, secret=NEW)) == 401
    assert hooks.kept() == 0


def test_while_a_secret_is_changed_both_are_taken_and_afterwards_the_new_one_only(hooks: Hooks) -> None:
    body = hooks.scheme.body
    assert hooks.send(body, hooks.signed(secret=OLD)) == 200
    hooks.file.write_text(f"{NEW} {OLD}\n")
    assert [hooks.send(body, hooks.signed(secret=one)) for one in (NEW, OLD)] == [200, 200]
    assert [hooks.send(body, hooks.signed(secret=one)) for one in (f"{NEW} {OLD}", "whsec-of-nobody", "")] == [
        401,
        401,
        401,
    ]
    hooks.file.write_text(NEW)
    hooks.plane.clock.advance(2)  # type: ignore[attr-defined]
    assert [hooks.send(body, hooks.signed(secret=one)) for one in (OLD, NEW)] == [401, 200]
    assert hooks.kept() == 1
