"""What is archived comes back as history, and nothing is done with it again; what is no part of ours is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select

from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, ConflictError, UnavailableError
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis
from controlplane.store import open_store
from controlplane.store import tables as t
from controlplane.sync.ledger.archive import Restorer, Wanted
from tests.controlplane.sync.archive.kit import (
    LONG,
    TABLES,
    Ending,
    archiver,
    faults,
    file_of,
    ids_of,
    owed,
    restore_all,
    restored,
    restorer,
    rows_of,
    uris,
)
from tests.controlplane.sync.kit import House
from tests.controlplane.sync.test_loop import SKU


def test_all_that_is_old_goes_and_comes_back_row_for_row(house: House) -> None:
    before = rows_of(house.store)
    told = archiver(house).run()
    after = rows_of(house.store)
    assert told["rows"] == {name: len(before[name]) - len(after[name]) for name in TABLES}
    assert all(told["rows"][name] > 2 for name in TABLES), "each table lost rows"
    assert restore_all(house) == {"parts": told["parts"], "rows": told["rows"], "there": 0}
    assert rows_of(house.store) == before


def test_what_comes_back_is_neither_processed_nor_sent_again(house: House) -> None:
    archiver(house).run()
    writes = {vendor.name: vendor.writes for vendor in (house.erp, house.wms, house.shop, house.pager)}
    restore_all(house)
    house.sync.recover(restarted=True)
    house.run(minutes=5)
    assert {vendor.name: vendor.writes for vendor in (house.erp, house.wms, house.shop, house.pager)} == writes
    assert owed(house) == 0


def test_putting_back_twice_changes_nothing(house: House) -> None:
    before = rows_of(house.store)
    archiver(house).run()
    first = restore_all(house)
    again = restore_all(house)
    assert again["rows"] == {}
    assert again["there"] == sum(first["rows"].values())
    assert rows_of(house.store) == before


def test_each_part_tells_its_own_rows_however_many_are_put_back_in_one_run(house: House) -> None:
    archiver(house).run()
    asked = [uris(house)[0], uris(house, "raw")[0]]
    for uri in asked:
        restorer(house).ask(uri, Wanted(), LONG, "olga")
    assert [restored(house)[uri] for uri in asked] == [None, None], "nothing came of it yet"
    told = restorer(house).run()
    each = [restored(house)[uri] for uri in asked]
    assert [(one["state"], one["there"], one["error"]) for one in each] == [("done", 0, "")] * 2
    for uri, one in zip(asked, each, strict=True):
        assert one["rows"] == held(uri)
    assert Counter(each[0]["rows"]) + Counter(each[1]["rows"]) == told["rows"]
    restorer(house).ask(asked[0], Wanted(), LONG, "olga")
    assert restored(house)[asked[0]] is None
    restorer(house).run()
    again = restored(house)[asked[0]]
    assert (again["rows"] or {}, again["there"]) == (dict.fromkeys(each[0]["rows"], 0), sum(each[0]["rows"].values()))


def test_a_part_that_fails_is_told_at_itself_and_not_at_the_others(house: House) -> None:
    archiver(house).run()
    bad, good = uris(house)[0], uris(house, "raw")[0]
    file_of(bad, "message.parquet").unlink()
    for uri in (bad, good):
        restorer(house).ask(uri, Wanted(), LONG, "olga")
    with pytest.raises(BadInputError, match="is missing"):
        restorer(house).run()
    assert restored(house)[good]["state"] == "done"
    assert (restored(house)[bad]["state"], restored(house)[bad]["rows"]) == ("failed", {})
    assert "message.parquet is missing" in restored(house)[bad]["error"]


@pytest.mark.parametrize("turns", [1, 3, 6])
def test_a_restore_that_breaks_off_goes_on_with_the_next_run_and_says_what_is_there(house: House, turns: int) -> None:
    before = rows_of(house.store)
    archiver(house).run()
    asked = [uri for kind in ("messages", "raw", "attempts", "cases") for uri in uris(house, kind)]
    for uri in asked:
        restorer(house).ask(uri, Wanted(), LONG, "olga")
    first = restorer(house, Ending(turns)).run()
    told = restored(house)
    assert "stopped" in {one and one["state"] for one in told.values()} or None in told.values(), "some is left"
    for uri in asked:
        if told[uri] is None or told[uri]["state"] == "stopped":
            restorer(house).ask(uri, Wanted(), LONG, "olga")
    second = restorer(house).run()
    assert rows_of(house.store) == before
    assert {one["state"] for one in restored(house).values()} == {"done"}
    cut = sum(sum(one["rows"].values()) for one in told.values() if one and one["state"] == "stopped")
    assert second["there"] == cut, "what the part had in already"
    assert Counter(first["rows"]) + Counter(second["rows"]) == sum(map(held, asked), Counter())


def held(uri: str) -> Counter[str]:
    """Return how many rows a part holds, by table, as its manifest counts them."""
    files = json.loads(file_of(uri, "manifest.json").read_text())["files"]
    return Counter({file["table"]: file["rows"] for file in files})


def test_one_subject_of_one_hour_can_be_put_back_alone(house: House) -> None:
    archiver(house).run()
    kept = ids_of(house.store, "message")
    restore_all(house, Wanted(subject="#1001"))
    with house.store.read() as connection:
        m, d, a = t.message.c, t.delivery.c, t.attempt.c
        found = connection.execute(select(m.id, m.subject).where(m.id.not_in(kept))).all()
        assert {row.subject for row in found} == {"#1001"}
        deliveries = connection.execute(select(d.id).where(d.message_id.in_([row.id for row in found]))).scalars().all()
        assert len(deliveries) == 2, "to the ERP and the warehouse"
        assert connection.scalar(select(func.count()).where(a.delivery_id.in_(deliveries))) == 2, "with their attempts"
        assert connection.scalar(select(func.count(t.intake.c.id)).where(t.intake.c.topic == "order.placed")) == 2
    nothing = Wanted(until=datetime(2020, 1, 1, tzinfo=UTC))
    assert restore_all(house, nothing)["rows"] == {}
    later = Wanted(since=datetime(2026, 3, 2, 9, 1, tzinfo=UTC), subject=f"{SKU}@WH1")
    restore_all(house, later)
    with house.store.read() as connection:
        query = select(func.min(m.accepted_at)).where(m.id.not_in(kept), m.subject == f"{SKU}@WH1")
        assert connection.scalar(query) >= later.since


def test_a_part_that_was_put_back_stays_as_long_as_was_asked_and_then_goes_again_without_being_written_again(
    house: House,
) -> None:
    archiver(house).run()
    gone = rows_of(house.store)
    restore_all(house, kept=timedelta(days=10))
    back = rows_of(house.store)
    written = sorted(
        (path, path.stat().st_mtime_ns) for path in file_of(uris(house)[0], "..").resolve().rglob("*.parquet")
    )
    house.clock.advance(timedelta(days=9).total_seconds())
    assert archiver(house).run(anew=True)["rows"] == {}
    assert rows_of(house.store) == back
    house.clock.advance(timedelta(days=2).total_seconds())
    archiver(house).run(anew=True)
    assert rows_of(house.store) == gone
    assert written == sorted((path, path.stat().st_mtime_ns) for path, _ in written)


def test_instants_json_and_bytes_have_types_that_other_tools_read(house: House) -> None:
    archiver(house).run()
    schema = pq.read_schema(file_of(uris(house)[0], "message.parquet"))
    assert str(schema.field("accepted_at").type) == "timestamp[us, tz=UTC]"
    assert str(schema.field("data").type) == "string"
    assert str(schema.field("fingerprint").type) == "binary"
    assert str(pq.read_schema(file_of(uris(house, "raw")[0], "intake.parquet")).field("body").type) == "binary"
    row = pq.read_table(file_of(uris(house)[0], "message.parquet")).to_pylist()[0]
    assert row["accepted_at"].tzinfo is not None
    assert isinstance(json.loads(row["data"]), dict)
    manifest = json.loads(file_of(uris(house)[0], "manifest.json").read_text())
    assert {"format", "schema_version", "kind", "domain", "from_id", "to_id", "files"} <= manifest.keys()
    assert manifest["from_id"] <= row["id"] <= manifest["to_id"]


# --- refused ---


def test_a_damaged_part_is_refused_and_nothing_of_it_is_put_back(house: House) -> None:
    archiver(house).run()
    before = rows_of(house.store)
    damaged = file_of(uris(house)[0], "message.parquet")
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    restorer(house).ask(uris(house)[0], Wanted(), LONG, "olga")
    with pytest.raises(BadInputError, match=r"message.parquet is not what was written .* take it from a back-up"):
        restorer(house).run()
    assert rows_of(house.store) == before
    assert restorer(house).run() == {"parts": 0, "rows": {}, "there": 0}, "the wish is dropped"


def test_a_manifest_that_was_changed_is_refused(house: House) -> None:
    archiver(house).run()
    manifest = file_of(uris(house)[0], "manifest.json")
    manifest.write_text(manifest.read_text().replace("2026", "2025"))
    restorer(house).ask(uris(house)[0], Wanted(), LONG, "olga")
    with pytest.raises(BadInputError, match="was changed since it was written"):
        restorer(house).run()


def test_a_missing_file_is_named(house: House) -> None:
    archiver(house).run()
    file_of(uris(house)[0], "message.parquet").unlink()
    restorer(house).ask(uris(house)[0], Wanted(), LONG, "olga")
    with pytest.raises(BadInputError, match=r"message\.parquet is missing"):
        restorer(house).run()


def test_only_what_a_policy_names_as_an_archive_is_opened(house: House, tmp_path: Path, address: str) -> None:
    archiver(house).run()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(file_of(uris(house)[0], ""), elsewhere)
    for uri in (str(elsewhere), f"file://{elsewhere}", f"{address}/../elsewhere", "http://127.0.0.1:9/part"):
        with pytest.raises(BadInputError, match="lies in no archive that a Domain policy names"):
            restorer(house).ask(uri, Wanted(), LONG, "olga")
    with pytest.raises(BadInputError, match="there is no part"):
        restorer(house).ask(f"{address}/orders/messages/none", Wanted(), LONG, "olga")


def test_a_part_is_not_put_back_while_its_rows_are_being_deleted(house: House) -> None:
    archiver(house).run()
    with house.store.write() as connection:
        connection.execute(t.archive.update().values(state="written"))
    with pytest.raises(ConflictError, match="being deleted just now"):
        restorer(house).ask(uris(house)[0], Wanted(), LONG, "olga")


def test_rows_that_something_would_be_done_with_are_no_history(house: House) -> None:
    """A part made by somebody else, with a message that waits to be processed in it."""
    archiver(house).run()
    uri = uris(house)[0]
    table = pq.read_table(file_of(uri, "message.parquet"))
    place = table.schema.get_field_index("state")
    pq.write_table(
        table.set_column(place, table.schema.field(place), [["accepted"] * len(table)]), file_of(uri, "message.parquet")
    )
    reseal(house, uri, "message")
    restorer(house).ask(uri, Wanted(), LONG, "olga")
    with pytest.raises(BadInputError, match="in the state 'accepted', which is no history"):
        restorer(house).run()


def test_a_column_of_a_later_version_is_refused(house: House) -> None:
    archiver(house).run()
    uri = uris(house)[0]
    table = pq.read_table(file_of(uri, "message.parquet"))
    pq.write_table(table.append_column("mood", [["glad"] * len(table)]), file_of(uri, "message.parquet"))
    reseal(house, uri, "message")
    restorer(house).ask(uri, Wanted(), LONG, "olga")
    with pytest.raises(BadInputError, match=r"column message.mood that this version does not know"):
        restorer(house).run()


def test_a_part_from_before_a_column_was_added_gets_the_columns_default(house: House) -> None:
    before = rows_of(house.store)
    archiver(house).run()
    uri = next(uri for uri in uris(house) if file_of(uri, "delivery.parquet").exists())
    table = pq.read_table(file_of(uri, "delivery.parquet"))
    pq.write_table(table.drop_columns(["pause_base"]), file_of(uri, "delivery.parquet"))
    reseal(house, uri, "delivery")
    restore_all(house)
    assert rows_of(house.store) == before, "which is 0, as it was"
    pq.write_table(table.drop_columns(["target"]), file_of(uri, "delivery.parquet"))
    reseal(house, uri, "delivery")
    restorer(house).ask(uri, Wanted(), LONG, "olga")
    with pytest.raises(BadInputError, match=r"older than the column delivery.target"):
        restorer(house).run()


def reseal(house: House, uri: str, name: str) -> None:
    """Let manifest and store say what the changed file is."""
    path = file_of(uri, "manifest.json")
    manifest = json.loads(path.read_text())
    data = file_of(uri, f"{name}.parquet").read_bytes()
    for file in manifest["files"]:
        if file["table"] == name:
            file |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps(manifest))
    with house.store.write() as connection:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        connection.execute(t.archive.update().where(t.archive.c.uri == uri).values(sha256=sha256))


def test_an_archive_that_does_not_answer_keeps_the_wish_for_the_next_run(house: House, tmp_path: Path) -> None:
    before = rows_of(house.store)
    archiver(house).run()
    for uri in [uri for kind in ("raw", "attempts", "messages", "cases") for uri in uris(house, kind)]:
        restorer(house).ask(uri, Wanted(), LONG, "olga")

    def away(step: str, path: str) -> None:
        raise OSError("the network is away")

    with faults(away), pytest.raises(UnavailableError, match="the network is away"):
        restorer(house).run()
    restorer(house).run()
    assert rows_of(house.store) == before


def test_a_part_of_another_plane_can_be_put_back(
    house: House, sqlite_template: Path, tmp_path: Path, clock: ManualClock
) -> None:
    """The database is lost, policies and archive are not."""
    archiver(house).run()
    shutil.copy(sqlite_template, tmp_path / "other.sqlite")
    other = open_store(f"sqlite:///{tmp_path / 'other.sqlite'}")
    registry = Registry(other, clock)
    load_genesis(other, clock, registry, tmp_path / "pack")
    asked = Restorer(other, clock, registry)
    for uri in uris(house):
        asked.ask(f"{uri}/manifest.json", Wanted(), LONG, "olga")
    told = asked.run()
    assert told["rows"]["message"] == len(ids_of(other, "message")) > 0
    other.close()
