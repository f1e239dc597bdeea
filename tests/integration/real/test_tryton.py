"""Stock read from a real Tryton ERP: into canonical drafts, and into files that `trueup compare` takes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.connectors import Connections
from controlplane.connectors.builtin.tryton.connector import TrytonConnector
from controlplane.connectors.contract import Draft
from controlplane.connectors.export import export_levels
from controlplane.errors import RejectedError, UnavailableError
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis, pack_folder
from controlplane.settings import Settings
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.engines import Sync
from rules.model.messages import parse
from tests.addresses import pairs_of
from tests.controlplane.connectors.conftest import Given
from tests.integration.real.systems import Server

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def connector(server: Server) -> Iterator[TrytonConnector]:
    made = make(server)
    yield made
    made.close()


def make(server: Server, **options: object) -> TrytonConnector:
    given = Given(
        server.url,
        secrets={"user": "admin", "password": server.password},
        options={"database": "retail", "locations": ["WH", "DC2"], **options},
        timeout=60,
        clock=ManualClock(datetime.now(UTC), pace=1.0),
    )
    return TrytonConnector(given.context())


def drafts(connector: TrytonConnector, entity: str, cursor: dict[str, str] | None = None) -> list[Draft]:
    records = [record for page in connector.poll(entity, cursor) for record in page.records]
    return [draft for record in records for draft in connector.translate(record.topic, record.body)]


def test_a_session_is_opened_and_a_wrong_password_is_named(server: Server, connector: TrytonConnector) -> None:
    connector.ping()
    wrong = make(Server(server.url, "not-the-password"))
    with pytest.raises(UnavailableError, match="check the secrets") as raised:
        wrong.ping()
    assert "not-the-password" not in str(raised.value.evidence)
    wrong.close()


def test_stock_is_read_into_canonical_positions_of_each_warehouse(connector: TrytonConnector) -> None:
    found = {draft.subject: parse(draft.type, draft.data) for draft in drafts(connector, "stock")}
    assert len(found) == 50 * 2
    first = found["SKU-0010@WH"]
    assert (first.on_hand, first.available, first.allocated) == (109, 109, 0)
    assert found["SKU-0010@DC2"].on_hand == 10
    assert found["SKU-0030@DC2"].on_hand == 0


def test_a_later_poll_reads_only_what_moved_since(connector: TrytonConnector) -> None:
    cursor = list(connector.poll("stock", None))[-1].cursor
    assert cursor["since"]
    first, again = drafts(connector, "stock", cursor), drafts(connector, "stock", cursor)
    assert [draft.dedupe_key for draft in first] == [draft.dedupe_key for draft in again]
    assert drafts(connector, "stock", {"since": "2100-01-01T00:00:00+00:00"}) == []


def test_items_have_their_cost_and_price(connector: TrytonConnector) -> None:
    found = {draft.subject: parse(draft.type, draft.data) for draft in drafts(connector, "items")}
    assert len(found) == 50
    assert str(found["SKU-0010"].unit_price).startswith("15.99")
    assert found["SKU-0010"].currency == "EUR"


def test_an_application_error_inside_http_200_is_a_refusal(connector: TrytonConnector) -> None:
    with pytest.raises(RejectedError, match="Tryton refused"):
        connector._rpc.call("model.product.product.search_read", [["nope", "=", 1]], 0, 1, None, ["code"], {})


def test_a_location_that_is_not_there_is_named(server: Server) -> None:
    connector = make(server, locations=["NOWHERE"])
    with pytest.raises(RejectedError, match="0 locations with the code NOWHERE"):
        list(connector.snapshot("stock"))
    connector.close()


def test_a_snapshot_beside_a_file_with_one_difference_made_by_hand(connector: TrytonConnector, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "tryton.csv", tmp_path / "theirs.csv"
    assert export_levels(connector.snapshot("stock"), mine) == 100
    assert export_levels(connector.snapshot("stock"), tmp_path / "tryton.parquet") == 100
    with mine.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    edited = next(row for row in rows if (row["sku"], row["location"]) == ("SKU-0010", "WH"))
    edited["on_hand"] = str(int(edited["on_hand"]) + 3)
    with theirs.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    answer = _compare(mine, theirs)
    assert (answer["agree"], answer["differ"]) == (99, 1)
    assert [item["key"] for item in answer["differences"]] == [{"sku": "SKU-0010", "location": "WH"}]


def _compare(*files: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", "from controlplane.cli import main; main()", "compare", *map(str, files)]
    done = subprocess.run(
        [*command, "--key", "sku,location", "--value", "on_hand", "--json"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_poll_flow_brings_stock_into_canonical_positions(
    server: Server, sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRYTON_USER", "admin")
    monkeypatch.setenv("TRYTON_PASSWORD", server.password)
    monkeypatch.setenv("INCIDENT_TOKEN", "unused")
    text = (pack_folder("tryton") / "tryton.yaml").read_text(encoding="utf-8")
    (tmp_path / "tryton.yaml").write_text(
        text.replace("http://127.0.0.1:8000", server.url).replace("127.0.0.1:8000", pairs_of(server.url)[0]),
        encoding="utf-8",
    )
    clock = ManualClock(datetime.now(UTC), pace=1.0)
    registry = Registry(sqlite_store, clock)
    load_genesis(sqlite_store, clock, registry, tmp_path / "tryton.yaml")
    connections = Connections(registry, Settings(home=tmp_path), clock)
    sync = Sync(sqlite_store, clock, registry, connections)
    assert sync.poll("tryton-stock") == 100
    sync.drain()
    with sqlite_store.read() as connection:
        rows = connection.execute(select(t.stock_position)).all()
    held = {(row.sku, row.location): (row.on_hand, row.available) for row in rows}
    assert len(held) == 100
    assert held["SKU-0010", "WH"] == (109, 109)
    connections.close()


def test_a_price_that_changed_on_the_template_is_told_as_a_new_fact(connector: TrytonConnector) -> None:
    code = f"PRICED-{os.getpid()}"
    price = {"__class__": "Decimal", "decimal": "12.34"}
    told = {"name": "Priced", "type": "goods", "default_uom": 1, "list_price": price}
    told["products"] = [["create", [{"suffix_code": code}]]]
    [template], _ = connector._rpc.tell("model.product.template.create", [told], {"company": 1})
    try:
        cursor = list(connector.poll("items", None))[-1].cursor
        [before] = [draft for draft in drafts(connector, "items", cursor) if draft.subject == code]
        price = {"__class__": "Decimal", "decimal": "12.35"}
        connector._rpc.tell("model.product.template.write", [template], {"list_price": price}, {"company": 1})
        [after] = [draft for draft in drafts(connector, "items", cursor) if draft.subject == code]
        assert [str(parse(one.type, one.data).unit_price) for one in (before, after)] == ["12.34", "12.35"]
        assert before.dedupe_key != after.dedupe_key
    finally:
        connector._rpc.tell("model.product.template.delete", [template], {})


def test_a_walk_over_the_items_goes_on_where_it_stopped(connector: TrytonConnector) -> None:
    whole = list(connector.poll("items", None))
    first, end = whole[0], whole[-1].cursor
    assert set(first.cursor) == {"until", "after"}
    halfway = {**first.cursor, "after": first.cursor["after"] - 10}
    rest = list(connector.poll("items", halfway))
    assert len([record for page in rest for record in page.records]) <= 10
    assert rest[-1].cursor == end == {"since": first.cursor["until"]}
