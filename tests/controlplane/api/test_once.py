"""Idempotency keys: the same request again has the same answer and no second effect, whatever happened in between."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from controlplane.access import create_account
from controlplane.api.once import KEPT, PATIENCE, Claim
from controlplane.clock import ManualClock
from controlplane.errors import ConflictError
from controlplane.sealing import Keys
from controlplane.store import tables as t
from controlplane.wiring import Plane
from tests.web import PASSWORD, a_plane, signed_in

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
REPLAYS = "/api/v1/replays"
ASKED = {"flow": "orders", "since": "2026-01-01T00:00:00Z", "reason": "the ERP lost a day"}
K = t.request_key.c


@pytest.fixture(params=["sqlite", "postgresql"])
def plane(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plane]:
    url = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_store").engine.url.render_as_string(hide_password=False)
    with a_plane(tmp_path, ManualClock(START), url) as found:
        yield found


def post(client: httpx.Client, path: str, asked: dict[str, Any], key: str = "k-1") -> httpx.Response:
    return client.post(path, json=asked, headers={"Idempotency-Key": key})


def count(plane: Plane, table: Any) -> int:
    with plane.store.read() as conn:
        return int(conn.execute(select(func.count()).select_from(table)).scalar_one())


def leave(plane: Plane, state: str) -> None:
    """Leave the one key as a process leaves it that dies just then."""
    with plane.store.write() as conn:
        conn.execute(update(t.request_key).values(state=state, status=None, answer=None, headers=None))


def test_a_request_that_is_sent_again_has_the_same_answer_and_no_second_effect(
    plane: Plane, olga: httpx.Client
) -> None:
    first, again = (post(olga, REPLAYS, ASKED) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert (first.content, first.headers["Location"]) == (again.content, again.headers["Location"])
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert again.headers["Content-Type"] == "application/json"
    assert count(plane, t.replay) == 1


def test_a_key_is_of_one_body_one_route_and_one_person(plane: Plane, url: str, olga: httpx.Client) -> None:
    assert post(olga, REPLAYS, ASKED).status_code == 201
    other = post(olga, REPLAYS, {**ASKED, "reason": "another"})
    assert (other.status_code, "a new request takes a new key" in other.json()["detail"]) == (422, True)
    assert post(olga, "/api/v1/systems/erp/pause", {"reason": "x"}).status_code == 200
    with closing(signed_in(url, "ada")) as ada:
        assert post(ada, REPLAYS, ASKED).status_code == 403
    for key in ("", "two words", "x" * 201):
        assert post(olga, REPLAYS, ASKED, key).status_code == 422


def test_a_password_cannot_be_guessed_at_by_what_is_kept_of_its_request(plane: Plane, url: str) -> None:
    create_account(plane.store, plane.clock, "root", PASSWORD, ["admin"], actor="setup")
    asked = {"password": "guess-me-if-you-can"}
    with closing(signed_in(url, "root")) as root:
        sent = root.build_request("POST", "/api/v1/accounts/ben/password", json=asked, headers={"Idempotency-Key": "k"})
        assert root.send(sent).status_code == 200
    with plane.store.read() as conn:
        kept = repr(dict(conn.execute(select(t.request_key)).mappings().one()))
    for guess in (sent.content, b"\n" + sent.content, asked["password"].encode()):
        assert hashlib.sha256(guess).hexdigest() not in kept
    assert f"'body': 'hmac:{Keys(plane.settings).ring().hashing.id}:" in kept


def test_what_is_refused_without_effect_frees_its_key(plane: Plane, olga: httpx.Client) -> None:
    assert post(olga, "/api/v1/systems/erp/resume", {}).status_code == 409
    assert olga.post("/api/v1/systems/erp/pause", json={"reason": "x"}).status_code == 200
    assert post(olga, "/api/v1/systems/erp/resume", {}).json() == {"system": "erp", "paused": False}


def test_while_a_request_is_under_way_its_key_is_taken_and_later_taken_over(plane: Plane, olga: httpx.Client) -> None:
    assert isinstance(plane.clock, ManualClock)
    assert post(olga, REPLAYS, {**ASKED, "dry_run": True}).status_code == 200
    leave(plane, "claimed")
    waits = post(olga, REPLAYS, {**ASKED, "dry_run": True})
    assert (waits.status_code, "is under way" in waits.json()["detail"]) == (409, True)
    with plane.store.read() as conn:
        row = conn.execute(select(t.request_key)).one()
    dead = Claim(row.id, row.key, row.route, row.body, row.claim, row.at)
    plane.clock.advance(PATIENCE.total_seconds())
    assert post(olga, REPLAYS, {**ASKED, "dry_run": True}).status_code == 200
    before = count(plane, t.replay)
    with pytest.raises(ConflictError, match="has taken the key"), plane.store.beside(dead.note), plane.store.write():
        pytest.fail("who was overtaken commits nothing any more")
    assert count(plane, t.replay) == before


def test_an_effect_whose_answer_was_lost_is_told_and_not_repeated(plane: Plane, olga: httpx.Client) -> None:
    assert isinstance(plane.clock, ManualClock)
    assert post(olga, REPLAYS, ASKED).status_code == 201
    leave(plane, "effective")
    plane.clock.advance(PATIENCE.total_seconds())
    lost = post(olga, REPLAYS, ASKED)
    assert (lost.status_code, "has taken effect and was never answered" in lost.json()["detail"]) == (409, True)
    assert count(plane, t.replay) == 1


def test_a_transaction_that_is_rolled_back_takes_its_note_with_it(plane: Plane, olga: httpx.Client) -> None:
    assert post(olga, REPLAYS, ASKED).status_code == 201
    leave(plane, "claimed")
    noted = update(t.request_key).values(state="effective")
    with plane.store.beside(lambda conn: conn.execute(noted) and None), pytest.raises(ZeroDivisionError):
        fail(plane)
    with plane.store.read() as conn:
        assert conn.execute(select(K.state)).scalar_one() == "claimed"


def fail(plane: Plane) -> None:
    with plane.store.write():
        raise ZeroDivisionError


def test_keys_are_forgotten_after_a_day(plane: Plane, olga: httpx.Client) -> None:
    assert isinstance(plane.clock, ManualClock)
    assert post(olga, "/api/v1/systems/erp/pause", {"reason": "x"}).status_code == 200
    plane.clock.advance((KEPT - timedelta(seconds=1)).total_seconds())
    olga = again(olga)
    assert post(olga, "/api/v1/systems/erp/pause", {"reason": "x"}).headers["Idempotent-Replayed"] == "true"
    plane.clock.advance(1)
    olga = again(olga)
    assert post(olga, "/api/v1/systems/erp/pause", {"reason": "x"}).status_code == 409, "it is paused, and asked anew"
    assert count(plane, t.request_key) == 0


def again(client: httpx.Client) -> httpx.Client:
    """Sign in anew: the session has ended by then."""
    return signed_in(str(client.base_url), "olga")


def test_a_token_is_made_once_and_shown_once(plane: Plane, url: str) -> None:
    create_account(plane.store, plane.clock, "root", PASSWORD, ["admin"], actor="setup")
    root, asked = signed_in(url, "root"), {"account": "vic", "purpose": "a dashboard"}
    first, again = (post(root, "/api/v1/tokens", asked) for _ in range(2))
    secret, prefix = first.json()["token"], first.json()["prefix"]
    assert secret.startswith(f"tru_{prefix}_")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json() == {"token": None, "prefix": prefix}
    assert [one["prefix"] for one in root.get("/api/v1/tokens").json()["tokens"] if one["account"] == "vic"] == [prefix]
    with plane.store.read() as conn:
        kept = str([tuple(row) for row in conn.execute(select(t.request_key))])
    assert secret.removeprefix(f"tru_{prefix}_") not in kept, "what is shown once is not kept"
    assert root.post(f"/api/v1/tokens/{prefix}/revoke").status_code == 200
    assert post(root, "/api/v1/tokens", asked, "k-2").json()["prefix"] != prefix


def test_a_token_that_was_refused_frees_its_key(plane: Plane, url: str) -> None:
    create_account(plane.store, plane.clock, "root", PASSWORD, ["admin"], actor="setup")
    root, asked = signed_in(url, "root"), {"account": "nora", "purpose": "a dashboard"}
    assert post(root, "/api/v1/tokens", asked).status_code == 404
    create_account(plane.store, plane.clock, "nora", PASSWORD, ["viewer"], actor="setup")
    assert post(root, "/api/v1/tokens", asked).json()["token"]
