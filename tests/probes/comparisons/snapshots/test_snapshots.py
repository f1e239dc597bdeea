"""A snapshot is whole or none; compared, snapshots give what files of their rows give; a state that is kept knows what a full run does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer import Typer
from typer.testing import CliRunner

from probes.comparisons.__main__ import app as compare_app
from probes.comparisons.files import compare_files
from probes.comparisons.snapshots import SnapshotError, SnapshotStore, compare_snapshots
from probes.comparisons.snapshots.command import app as snapshot_app
from probes.comparisons.snapshots.state import State, build, overlooked
from probes.comparisons.snapshots.store import damage
from rules.comparison.verdict import Kind
from tests.probes.comparisons.snapshots.conftest import BEGAN, Row, Take, table

SKUS = st.sampled_from([f"SKU-{number}" for number in range(8)])
LOCATIONS = st.sampled_from(["W1", "W2", "ST9"])
ROWS = st.lists(st.tuples(SKUS, LOCATIONS, st.integers(-5, 5) | st.none(), st.integers(0, 3)), max_size=12)
VALUES = ("on_hand", "reserved")


def kept(folder: Path, rows: dict[str, list[Row]], values: tuple[str, ...] = VALUES) -> SnapshotStore:
    store = SnapshotStore(folder)
    for side, found in rows.items():
        writer = store.begin(side, values, BEGAN)
        writer.page(table(found, values), BEGAN, BEGAN)
        writer.finish()
    return store


@settings(max_examples=30, deadline=None)
@given(st.lists(ROWS, min_size=2, max_size=4), st.integers(0, 2))
def test_snapshots_are_judged_as_files_of_the_same_rows_are(
    tmp_path_factory: pytest.TempPathFactory, sides: list[list[Row]], tolerance: int
) -> None:
    folder = tmp_path_factory.mktemp("sides")
    rows = {f"side-{number}": found for number, found in enumerate(sides)}
    store = kept(folder / "store", rows)
    files = []
    for side, found in rows.items():
        files.append(folder / f"{side}.parquet")
        pq.write_table(table(found, VALUES), files[-1])
    answer = compare_snapshots([store.newest(side) for side in rows], VALUES, str(tolerance), limit=1000)
    if not any(sides):
        assert answer.key_count == 0
        return
    expected = compare_files(files, ["sku", "location"], VALUES, str(tolerance), limit=1000)
    assert {d.key: (d.kind, d.values) for d in answer.differences} == {
        d.key: (d.kind, d.values) for d in expected.differences
    }
    assert (answer.key_count, answer.agree, answer.differ, answer.kinds) == (
        expected.key_count,
        expected.agree,
        expected.differ,
        expected.kinds,
    )
    assert answer.missing == expected.missing
    assert [s.rows for s in answer.sources] == [s.rows for s in expected.sources]
    assert [s.bad_rows for s in answer.sources] == [s.bad_rows for s in expected.sources]
    assert [s.duplicate_keys for s in answer.sources] == [s.duplicate_keys for s in expected.sources]


@pytest.mark.parametrize("widest", [2**31, 2**61])
def test_the_widest_distance_there_is_agrees_within_it_and_differs_beyond_it(take: Take, widest: int) -> None:
    sides = [
        take("erp", [("A", "W1", -widest)]),
        take("wms", [("A", "W1", widest - 1)]),
        take("shop", [("A", "W1", 0)]),
    ]
    assert compare_snapshots(sides, ["on_hand"], str(2 * widest - 1)).agree == 1
    [found] = compare_snapshots(sides, ["on_hand"], str(2 * widest - 2)).differences
    assert (found.kind, found.gap) == (Kind.VALUE, Decimal(2 * widest - 1))


def test_many_skus_fill_many_buckets_and_few_places_of_many_are_looked_up(store: SnapshotStore, take: Take) -> None:
    spread = [(f"SKU-{number}", f"L{number % 997}", number % 100) for number in range(9_000)]
    erp = take("erp", spread)
    shop = take(
        "shop",
        [(sku, location, value + (sku == "SKU-8000")) for sku, location, value in spread if sku != "SKU-4000"][::-1],
    )
    assert len(erp.buckets) == 5
    assert damage(erp) == damage(shop) == []
    found = compare_snapshots([erp, shop], ["on_hand"])
    assert (found.key_count, found.differ) == (9_000, 2)
    assert [(d.key, str(d.kind), d.values) for d in found.differences] == [
        (("SKU-4000", "L12"), "missing", ((Decimal(0),), None)),
        (("SKU-8000", "L24"), "value", ((Decimal(0),), (Decimal(1),))),
    ] or found.differences[0].gap == 1


def test_decimals_of_several_places_are_compared_exactly(take: Take) -> None:
    prices = take("erp", [("A", "W1", Decimal("9.990")), ("B", "W1", Decimal("5.005"))], ["price"])
    whole = take("shop", [("A", "W1", 10), ("B", "W1", 5)], ["price"])
    found = compare_snapshots([prices, whole], ["price"], "0.005")
    assert [(d.key[0], d.values, d.gap) for d in found.differences] == [
        ("A", ((Decimal("9.99"),), (Decimal(10),)), Decimal("0.01"))
    ]


def test_who_is_interrupted_goes_on_after_the_last_page_that_was_kept(store: SnapshotStore) -> None:
    first = store.begin("erp", ["on_hand"], BEGAN)
    first.page(table([("A", "W1", 1)]), BEGAN, BEGAN, cursor={"after": "A"})
    with (first.folder / "pages.jsonl").open("a", encoding="utf-8") as journal:
        journal.write('{"read_from": "2026-11-27T06:')  # what a crash leaves behind
    with pytest.raises(SnapshotError, match="there is no snapshot of 'erp'"):
        store.newest("erp")
    again = store.unfinished("erp", ["on_hand"])
    assert again is not None
    assert (again.cursor, again.rows) == ({"after": "A"}, 1)
    again.page(table([("B", "W1", 2)]), BEGAN, BEGAN + timedelta(seconds=2))
    snapshot = again.finish()
    assert (snapshot.rows, [page.rows for page in snapshot.pages]) == (2, [1, 1])
    assert store.unfinished("erp", ["on_hand"]) is None
    assert pq.read_table(snapshot.file)["page"].to_pylist() == [0, 1]


def test_an_unread_side_a_lost_page_and_a_changed_file_are_told(store: SnapshotStore, take: Take) -> None:
    with pytest.raises(SnapshotError, match="no page was read; an unread side is no empty one"):
        store.begin("wms", ["on_hand"], BEGAN).finish()
    half = store.begin("shop", ["on_hand"], BEGAN)
    half.page(table([("A", "W1", 1)]), BEGAN, BEGAN)
    pq.write_table(table([]), half.folder / "page-000000.parquet")
    with pytest.raises(SnapshotError, match="has 0 rows, and 1 were read"):
        half.finish()
    whole = take("erp", [("A", "W1", 1), ("B", "W1", 2)])
    rows = pq.read_table(whole.file)
    pq.write_table(rows.set_column(2, "on_hand", pa.array([1, 3], pa.int32())), whole.file)
    assert damage(whole) == [f"{whole.file}: bucket 0 is not as it was written; take the snapshot again"]
    whole.file.write_bytes(whole.file.read_bytes()[:-20])
    assert "cannot be read" in damage(whole)[0]


def test_bad_rows_are_kept_and_their_keys_do_not_agree(take: Take) -> None:
    erp = take("erp", [("A", "W1", None), (None, "W1", 4), ("B", "W1", 2)])
    shop = take("shop", [("A", "W1", 1), ("B", "W1", 2)])
    assert (erp.rows, erp.bad_rows) == (1, 2)
    assert pq.read_table(erp.folder / "bad.parquet")["sku"].to_pylist() == ["A", None]
    found = compare_snapshots([erp, shop], ["on_hand"])
    assert [(d.key, str(d.kind)) for d in found.differences] == [(("A", "W1"), "bad")]


def test_keys_keep_their_numbers_whoever_asks_and_old_snapshots_go_by_policy(store: SnapshotStore, take: Take) -> None:
    take("erp", [("A", "W1", 1)])
    other = SnapshotStore(store.folder)
    numbers = other.sku.numbers(pa.array(["Z", "A", "Z"])).tolist()
    assert numbers[1] == 0
    assert numbers[0] == numbers[2] == 1
    assert store.sku.numbers(pa.array(["Z"])).tolist() == [1]
    newer = store.begin("erp", ["on_hand"], datetime(2026, 11, 28, tzinfo=UTC))
    newer.page(table([("A", "W1", 2)]), BEGAN, BEGAN)
    newer.finish()
    assert len(store.keep("erp", 1)) == 1
    assert [snapshot.id for snapshot in store.snapshots("erp")] == [newer.folder.name]
    with pytest.raises(SnapshotError, match="keep at least one"):
        store.keep("erp", 0)


@pytest.mark.parametrize("side", ["", "../up", "keys", "a/b"])
def test_a_side_that_cannot_be_a_folder_is_refused(store: SnapshotStore, side: str) -> None:
    with pytest.raises(SnapshotError, match="cannot name a side"):
        store.begin(side, ["on_hand"], BEGAN)


def test_what_cannot_be_compared_is_said(store: SnapshotStore, take: Take, tmp_path: Path) -> None:
    erp = take("erp", [("A", "W1", 1)])
    with pytest.raises(SnapshotError, match="has no value 'price'; it has on_hand"):
        compare_snapshots([erp, erp], ["price"])
    elsewhere = kept(tmp_path / "elsewhere", {"shop": [("A", "W1", 1)]}, ("on_hand",)).newest("shop")
    with pytest.raises(SnapshotError, match="lie in different stores"):
        compare_snapshots([erp, elsewhere], ["on_hand"])
    with pytest.raises(SnapshotError, match="two snapshots or more"):
        compare_snapshots([erp], ["on_hand"])
    floats = store.begin("wms", ["on_hand"], BEGAN)
    floats.page(pa.table({"sku": ["A"], "location": ["W1"], "on_hand": [0.1]}), BEGAN, BEGAN)
    with pytest.raises(SnapshotError, match=r"wms\.on_hand is double"):
        floats.finish()


CHANGES = st.lists(
    st.tuples(st.integers(0, 2), SKUS | st.just("NEW"), LOCATIONS, st.integers(-5, 5), st.booleans()), max_size=6
)


def shown(state: State) -> dict[int, Any]:
    found = state.differing
    return {
        int(at): (int(found.kinds[place]), [int(one[place]) for one in found.states])
        for place, at in enumerate(found.at)
    }


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.dictionaries(st.tuples(SKUS, LOCATIONS), st.integers(-5, 5)), min_size=3, max_size=3),
    st.lists(CHANGES, max_size=3),
)
def test_a_state_that_is_kept_up_to_date_says_what_a_full_run_says(
    tmp_path_factory: pytest.TempPathFactory,
    sides: list[dict[tuple[str, str], int]],
    runs: list[list[tuple[int, str, str, int, bool]]],
) -> None:
    folder = tmp_path_factory.mktemp("state")
    sides = [side or {("SKU-0", "W1"): 1} for side in sides]

    def rows() -> dict[str, list[Row]]:
        return {
            f"side-{n}": [(*key, value) for key, value in side.items()] or [("SKU-0", "W1", None)]
            for n, side in enumerate(sides)
        }

    store = kept(folder / "store", rows(), ("on_hand",))
    state = build(folder / "state", [store.newest(side) for side in rows()], ["on_hand"], Decimal(1))
    for changes in runs:
        told: dict[str, list[tuple[Any, ...]]] = {}
        for side, sku, location, value, gone in changes:
            told.setdefault(f"side-{side}", []).append((sku, location, value, gone))
            sides[side].pop((sku, location), None)
            if not gone:
                sides[side][(sku, location)] = value
        state.apply(
            {
                side: table([row[:3] for row in found]).append_column("gone", pa.array([row[3] for row in found]))
                for side, found in told.items()
            }
        )
        state = State(folder / "state")  # as the next process finds it
    full = kept(folder / "store", rows(), ("on_hand",))
    again = build(folder / "again", [full.newest(side) for side in rows()], ["on_hand"], Decimal(1))
    if all(sides):  # an empty side was written as one bad row
        assert shown(state) == shown(again)
        assert state.keys == again.keys
        assert not len(overlooked(state, again))


def test_what_no_feed_told_is_found_by_a_full_run_and_a_crash_leaves_what_was_there_before(
    store: SnapshotStore, take: Take, tmp_path: Path
) -> None:
    sides = [take("erp", [("A", "W1", 1), ("B", "W1", 2)]), take("shop", [("A", "W1", 1), ("B", "W1", 2)])]
    state = build(tmp_path / "state", sides, ["on_hand"], Decimal(0))
    assert not len(state.differing.at)
    state.apply({"erp": table([("A", "W1", 7)])})
    assert len(state.differing.at) == 1
    newer = [take("erp", [("A", "W1", 7), ("B", "W1", 9)]), take("shop", [("A", "W1", 1), ("B", "W1", 2)])]
    full = build(tmp_path / "full", newer, ["on_hand"], Decimal(0))
    assert overlooked(state, full).tolist() == [int(store.sku.numbers(pa.array(["B"]))[0]) << 32]
    (tmp_path / "state" / "changed.part").write_bytes(b"PK")  # a crash in the midst of the next change
    before = State(tmp_path / "state")
    assert len(before.differing.at) == 1
    assert not len(before.apply({"erp": table([("A", "W1", 1)])}).at)
    assert not len(before.differing.at)
    assert not len(State(tmp_path / "state").differing.at)
    about = tmp_path / "full" / "state.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "format": 1}))
    with pytest.raises(SnapshotError, match="another version of Trueup"):
        State(tmp_path / "full")
    with pytest.raises(SnapshotError, match="'wms' is no side"):
        state.apply({"wms": table([("A", "W1", 1)])})
    with pytest.raises(SnapshotError, match="holds no state"):
        State(tmp_path / "none")
    assert np.asarray(full.differing.kinds).dtype == np.uint8


def test_the_command_takes_lists_checks_compares_and_drops(tmp_path: Path) -> None:
    pq.write_table(table([("A", "W1", 1), ("B", "W1", 2)]), tmp_path / "erp.parquet")
    pq.write_table(table([("A", "W1", 1), ("B", "W1", 4)]), tmp_path / "wms.parquet")
    at = ["--store", str(tmp_path / "store")]
    folders = [
        asked(
            snapshot_app, "take", str(tmp_path / f"{side}.parquet"), "--side", side, "--value", "on_hand", *at
        ).strip()
        for side in ("erp", "wms")
    ]
    assert asked(snapshot_app, "list", "erp", *at).startswith(f"{folders[0]}\t2\t0\t")
    assert asked(snapshot_app, "check", "erp", *at) == ""
    told = asked(compare_app, *folders, "--key", "sku,location", "--value", "on_hand", "--json", code=1)
    assert json.loads(told)["differences"] == [
        {"key": {"sku": "B", "location": "W1"}, "values": {"erp": 2, "wms": 4}, "kind": "value"}
    ]
    assert "the keys sku,location" in asked(compare_app, *folders, "--key", "sku", "--value", "on_hand", code=2)
    options = ["--key", "sku,location", "--value", "on_hand", "--decimal", "erp=,"]
    assert "a snapshot's columns and numbers are settled" in asked(compare_app, *folders, *options, code=2)
    assert "has no column 'price'" in asked(
        snapshot_app, "take", str(tmp_path / "erp.parquet"), "--side", "erp", "--value", "price", *at, code=2
    )
    asked(snapshot_app, "take", str(tmp_path / "erp.parquet"), "--side", "erp", "--value", "on_hand", *at)
    assert asked(snapshot_app, "keep", "erp", "--newest", "1", *at).strip() == Path(folders[0]).name
    (Path(folders[1]) / "rows.parquet").write_bytes(b"PAR1")
    assert "cannot be read" in asked(snapshot_app, "check", "wms", *at, code=1)


def asked(app: Typer, *arguments: str, code: int = 0) -> str:
    answer = CliRunner().invoke(app, list(arguments))
    assert answer.exit_code == code, answer.output
    return answer.output
