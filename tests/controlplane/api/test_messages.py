"""Canonical messages over real HTTP: acknowledged when committed, refused with a reason, never half-stored."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from controlplane.access import issue_token
from controlplane.store import tables as t
from controlplane.wiring import Plane
from tests.web import a_plane, served

NDJSON = "application/x-ndjson"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A plane with the sandbox's policies; nothing runs by itself."""
    with a_plane(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture(scope="module")
def client(plane: Plane) -> Iterator[httpx.Client]:
    """Somebody with an operator's service token."""
    token = issue_token(plane.store, plane.clock, "olga", "tests", actor="tests")
    with served(plane) as url:
        yield httpx.Client(base_url=url, trust_env=False, headers={"Authorization": f"Bearer {token}"})


def event(number: int, **more: Any) -> dict[str, Any]:
    """A sale of a till, in CloudEvents."""
    now = datetime.now(UTC).isoformat()
    data = {"ref": f"R{number}", "location": "ST1", "sku": "0042", "quantity": 1, "unit_price": 12.90, "currency": "EUR",
            "sold_at": now}  # fmt: skip
    found = {"specversion": "1.0", "id": f"sale-{number}", "source": "tills", "type": "sale.recorded", "subject": f"R{number}",
             "time": now, "data": data}  # fmt: skip
    return found | more


def level(**more: Any) -> dict[str, Any]:
    """A stock level of the warehouse, in CloudEvents."""
    now = datetime.now(UTC).isoformat()
    data = {
        "sku": "0042",
        "location": "WH1",
        "on_hand": 5,
        "allocated": 0,
        "available": 5,
        "in_transit": 0,
        "source_at": now,
    }
    return {"specversion": "1.0", "id": now, "source": "wms", "type": "stock.level", "subject": "0042@WH1", "time": now,
            "data": data | more}  # fmt: skip


def send(client: httpx.Client, body: bytes | str, kind: str = "application/json") -> httpx.Response:
    return client.post("/api/v1/messages", content=body, headers={"content-type": kind})


def counts(plane: Plane) -> tuple[int, int]:
    """Rows of intake and of the ledger."""
    with plane.store.read() as conn:
        return tuple(
            conn.execute(select(func.count()).select_from(table)).scalar_one() for table in (t.intake, t.message)
        )  # type: ignore[return-value]


def test_an_event_is_acknowledged_with_the_id_of_the_message_that_was_committed(
    plane: Plane, client: httpx.Client
) -> None:
    answer = send(client, json.dumps(event(1)))
    assert answer.status_code == 202, answer.text
    with plane.store.read() as conn:
        row = conn.execute(select(t.message).where(t.message.c.id == answer.json()["id"])).one()
        raw = conn.execute(select(t.intake.c.body).where(t.intake.c.id == row.intake_id)).scalar_one()
    assert (row.type, row.state, row.data["unit_price"]) == ("sale.recorded", "accepted", "12.9")
    assert json.loads(raw)["id"] == "sale-1", "the bytes are kept as they came"


def test_a_repetition_is_answered_as_accepted_and_stored_once(plane: Plane, client: httpx.Client) -> None:
    body = json.dumps(event(2))
    first = send(client, body).json()
    assert first["new"] is True
    before = counts(plane)
    again = send(client, body)
    assert (again.status_code, again.json()) == (202, {"accepted": True, "new": False, "id": first["id"]})
    assert counts(plane) == before


def test_a_batch_takes_its_good_lines_and_says_what_is_wrong_with_each_of_the_others(
    plane: Plane, client: httpx.Client
) -> None:
    lines = [json.dumps(event(10)), "", "{not json", json.dumps(event(11)), json.dumps(event(12, type="no.such"))]
    answer = send(client, "\n".join(lines), NDJSON)
    told = answer.json()
    assert (answer.status_code, told["accepted"], told["duplicates"]) == (207, 2, 0)
    assert [one["line"] for one in told["refused"]] == [3, 5]
    assert "no flow takes 'no.such'" in told["refused"][1]["reason"]
    with plane.store.read() as conn:
        places = conn.execute(
            select(t.message.c.intake_line).where(t.message.c.id.in_(told["ids"])).order_by(t.message.c.id)
        )
        assert list(places.scalars()) == [1, 4]


def test_a_batch_of_which_nothing_could_be_taken_is_a_problem_that_names_each_line(
    plane: Plane, client: httpx.Client
) -> None:
    before = counts(plane)
    answer = send(client, "{not json\n\n[1]", NDJSON)
    told = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert "none of 2 lines" in told["detail"]
    assert ([one["line"] for one in told["refused"]], told["accepted"], told["ids"]) == ([1, 3], 0, [])
    assert counts(plane) == before


@pytest.mark.parametrize("body", ["", "\n \n\n"], ids=["empty", "blank lines"])
def test_a_batch_without_an_event_is_refused(client: httpx.Client, body: str) -> None:
    answer = send(client, body, NDJSON)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert "send one event a line" in answer.json()["detail"]


def test_a_trace_that_the_sender_began_goes_on(plane: Plane, client: httpx.Client) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = send(client, json.dumps(event(20, traceparent=f"00-{trace}-00f067aa0ba902b7-01")))
    with plane.store.read() as conn:
        found = conn.execute(select(t.message.c.trace_id).where(t.message.c.id == answer.json()["id"])).scalar_one()
    assert found == trace


def test_an_older_schema_version_is_brought_forward(plane: Plane, client: httpx.Client) -> None:
    data = {"sku": "0042", "title": "Tee", "unit_cost": None, "unit_price": "9.90", "currency": "EUR"}
    old = event(21, source="erp", type="product.described", subject="0042", schemaversion=1, data=data)
    answer = send(client, json.dumps(old))
    with plane.store.read() as conn:
        row = conn.execute(select(t.message).where(t.message.c.id == answer.json()["id"])).one()
    assert (row.schema_version, row.data["active"]) == (2, True)


def test_a_backslash_before_the_letters_of_a_nul_is_text(client: httpx.Client) -> None:
    answer = client.post(
        "/api/v1/messages", content=json.dumps(event(53, id="a\\u0000b")), headers={"Content-Type": JSON}
    )
    assert answer.status_code == 202, answer.text


NOW = datetime.now(UTC)
JSON = "application/json"
LATER = (NOW + timedelta(hours=1)).isoformat()
DEEP = '"data": ' + '{"a":' * 300 + "1" + "}" * 300


def sold(at: str) -> bytes:
    """A sale that was made at an instant."""
    found = event(49)
    return json.dumps({**found, "data": {**found["data"], "sold_at": at}}).encode()


BAD: dict[str, tuple[bytes, str, int, str]] = {
    "not UTF-8": (b'{"id": "\xff"}', JSON, 422, "UTF-8"),
    "NaN": (json.dumps(event(30)).replace("12.9", "NaN").encode(), JSON, 422, "NaN"),
    "deep nesting": (b'{"data":' * 100_000 + b"1" + b"}" * 100_000, JSON, 422, "nested"),
    "a key twice": (json.dumps(event(31)).replace('"quantity"', '"sku": "0043", "quantity"').encode(), JSON, 422, "twice"),
    "half a surrogate": (json.dumps(event(32)).replace("0042", "\\ud800").encode(), JSON, 422, "surrogate"),
    "a NUL": (json.dumps(event(33)).replace("0042", "\\u0000").encode(), JSON, 422, "U+0000"),
    "a huge number": (json.dumps(event(34)).replace('"quantity": 1', f'"quantity": {"9" * 5000}').encode(), JSON, 422, "number"),
    "wrong content type": (b"a,b,c", "text/csv", 415, "text/csv"),
    "wrong charset": (b"{}", f"{JSON}; charset=utf-16", 415, "utf-16"),
    "no object": (b"[1, 2]", JSON, 422, "JSON object"),
    "unknown source": (json.dumps(event(35, source="nobody")).encode(), JSON, 422, "no System"),
    "unknown flow": (json.dumps(event(36, type="order.placed")).encode(), JSON, 422, "sale.recorded"),
    "unknown attribute": (json.dumps(event(37, colour="red")).encode(), JSON, 422, "colour"),
    "clock in the future": (json.dumps(event(38, time=LATER)).encode(), JSON, 422, "ahead of our clock"),
    "no zone": (json.dumps(event(39, time="2026-01-01T00:00:00")).encode(), JSON, 422, "no zone"),
    "unknown version": (json.dumps(event(40, schemaversion=9)).encode(), JSON, 422, "version 9"),
    "a field of the wrong kind": (json.dumps(event(41)).replace('"quantity": 1', '"quantity": "many"').encode(), JSON, 422, "quantity"),
    "true for a count": (json.dumps(level(in_transit=True)).encode(), JSON, 422, "in_transit"),
    "a text for a count": (json.dumps(level(on_hand="5")).encode(), JSON, 422, "on_hand"),
    "5.0 for a count": (json.dumps(level(available=5.0)).encode(), JSON, 422, "available"),
    "1.0 for a quantity": (json.dumps(event(48)).replace('"quantity": 1', '"quantity": 1.0').encode(), JSON, 422, "quantity"),
    "an endless id": (json.dumps(event(42, id="x" * 500)).encode(), JSON, 422, "190"),
    "deeper than our writer goes": (json.dumps(event(43, data=1)).replace('"data": 1', DEEP).encode(), JSON, 422, "schema"),
    "a time before all clocks": (json.dumps(event(44, time="0001-01-01T00:00:00+14:00")).encode(), JSON, 422, "before 1971"),
    "a level from the future": (json.dumps(level(source_at=LATER)).encode(), JSON, 422, "source_at"),
    "a level of before all clocks": (json.dumps(level(source_at="0001-01-01T00:00:00+14:00")).encode(), JSON, 422, "before 1971"),
    "a sale from the future": (sold("9999-12-31T23:59:59-14:00"), JSON, 422, "sold_at 9999"),
    "a sale of in an hour": (sold(LATER), JSON, 422, "ahead of our clock"),
    "a sale of before all clocks": (sold("0001-01-01T00:00:00+14:00"), JSON, 422, "before 1971"),
    "another subject": (json.dumps(event(45, subject="R46")).encode(), JSON, 422, "its data speak of 'R45'"),
    "more money than there is": (json.dumps(event(46)).replace("12.9", "9" * 29).encode(), JSON, 422, "unit_price"),
    "an exponent": (json.dumps(event(47)).replace("12.9", "1E+20000000").encode(), JSON, 422, "unit_price"),
    "10 MB": (b'{"id": "' + b"x" * 10_000_000 + b'"}', JSON, 413, "2 MB"),
    "10 MB of lines": (b"\n" * 10_000_000, NDJSON, 413, "2 MB"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_a_remedy_and_nothing_is_stored(
    plane: Plane, client: httpx.Client, name: str
) -> None:
    body, kind, status, told = BAD[name]
    before = counts(plane)
    answer = send(client, body, kind)
    assert answer.status_code == status, answer.text[:300]
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in answer.json()["detail"]
    assert counts(plane) == before


def test_a_body_that_is_packed_is_refused_for_that(plane: Plane, client: httpx.Client) -> None:
    before = counts(plane)
    packed = {"Content-Type": JSON, "Content-Encoding": "gzip"}
    answer = client.post("/api/v1/messages", content=gzip.compress(json.dumps(event(50)).encode()), headers=packed)
    assert (answer.status_code, counts(plane)) == (415, before)
    assert "send it unpacked" in answer.json()["detail"]


def test_a_viewer_may_not_send_messages(plane: Plane) -> None:
    token = issue_token(plane.store, plane.clock, "vic", "tests", actor="tests")
    with served(plane) as url:
        answer = httpx.post(
            f"{url}/api/v1/messages", json=event(50), headers={"Authorization": f"Bearer {token}"}, trust_env=False
        )
    assert answer.status_code == 403


def test_more_than_may_wait_is_refused_before_anything_is_taken(tmp_path: Path) -> None:
    with a_plane(tmp_path) as plane:
        acceptor = type(plane.sync.acceptor)(plane.store, plane.clock, plane.registry, plane.sync.keys, limit=2)
        plane.sync.acceptor = acceptor
        token = issue_token(plane.store, plane.clock, "olga", "tests", actor="tests")
        with served(plane) as url:
            client = httpx.Client(base_url=url, trust_env=False, headers={"Authorization": f"Bearer {token}"})
            assert [send(client, json.dumps(event(n))).status_code for n in range(2)] == [202, 202]
            answer = send(client, json.dumps(event(3)))
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "TRUEUP_ACCEPT_LIMIT" in answer.json()["detail"]
            assert counts(plane)[1] == 2
            hook = hooked(client, plane, 1)
            assert (hook.status_code, "Retry-After" in hook.headers) == (503, True)
            assert hook.headers["content-type"] == "application/problem+json"
            assert "TRUEUP_ACCEPT_LIMIT" in hook.json()["detail"]
            forged = client.post("/hooks/shop", content=b"{}", headers={"x-shopify-hmac-sha256": "x"})
            assert forged.status_code == 401, "who is not known is not told how full it is"
            lines = "\n".join(json.dumps(event(number)) for number in range(10, 15))
            assert send(client, lines, NDJSON).status_code == 422, "it would never go in"
            plane.sync.process()
            assert send(client, json.dumps(event(3))).status_code == 202


def test_a_full_disk_answers_503_and_what_was_acknowledged_stays(tmp_path: Path) -> None:
    with a_plane(tmp_path) as plane:
        token = issue_token(plane.store, plane.clock, "olga", "tests", actor="tests")
        with served(plane) as url:
            client = httpx.Client(base_url=url, trust_env=False, headers={"Authorization": f"Bearer {token}"})
            taken, long = 0, "x" * 150
            with plane.store.write() as conn:  # the database may not grow any more: SQLite's own way of a full disk
                pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
            limit_pages(plane, pages + 20)
            for number in range(200):
                answer = send(
                    client, json.dumps(event(number, subject=long, data=event(number)["data"] | {"ref": long}))
                )
                if answer.status_code != 202:
                    break
                taken += 1
            assert answer.status_code == 503, answer.text
            assert "Retry-After" in answer.headers
            assert counts(plane)[1] == taken
            while (hook := hooked(client, plane, taken := taken + 1)).status_code == 200:  # smaller, so some go in
                assert taken < 400
            assert (hook.status_code, "Retry-After" in hook.headers) == (503, True)
            assert "disk is full" in hook.json()["detail"]
            limit_pages(plane, 1_000_000)
            assert hooked(client, plane, 999).status_code == 200
            assert send(client, json.dumps(event(999))).status_code == 202


def hooked(client: httpx.Client, plane: Plane, number: int) -> httpx.Response:
    """Deliver a signed webhook of the shop."""
    plane.settings.secrets.mkdir(parents=True, exist_ok=True)
    for name in ("shop_webhook_secret", "shop_access_token"):
        (plane.settings.secrets / name).write_text("a secret")
    body = json.dumps({"id": number, "note": "x" * 500}).encode()
    signed = base64.b64encode(hmac.new(b"a secret", body, hashlib.sha256).digest()).decode()
    head = {"X-Shopify-Hmac-Sha256": signed, "X-Shopify-Topic": "orders/create", "X-Shopify-Event-Id": str(number)}
    return client.post("/hooks/shop", content=body, headers=head)


def limit_pages(plane: Plane, pages: int) -> None:
    """Set the limit on every connection of the pool, present ones and those to come."""
    from sqlalchemy import event as events

    plane.store.close()  # the connection that writes, too
    events.listen(plane.store.engine, "connect", lambda raw, _record: raw.execute(f"PRAGMA max_page_count={pages}"))


def test_who_sent_a_message_stands_in_its_life_and_not_in_the_action_log(plane: Plane, client: httpx.Client) -> None:
    with plane.store.read() as conn:
        before = conn.execute(select(func.count()).select_from(t.action)).scalar_one()
    sent = client.post("/api/v1/messages", json=event(7001))
    life = client.get(f"/api/v1/messages/{sent.json()['id']}").json()
    assert life["intake"]["headers"] == {"sent_by": "olga"}
    assert any("sent by olga" in step["detail"] for step in life["steps"])
    with plane.store.read() as conn:
        assert conn.execute(select(func.count()).select_from(t.action)).scalar_one() == before
