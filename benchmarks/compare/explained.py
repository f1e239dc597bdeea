"""Why keys differ: `python -m benchmarks.compare.explained prepare|explain FOLDER`.

`prepare` makes a ledger in FOLDER/ledger.sqlite that has a message about every key while the snapshots were read. `explain` takes the keys
that `trueup compare` wrote into FOLDER/ours.parquet, and what each side showed of them, through the plane's own comparison of stock.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, case, func, insert, literal, select

from benchmarks.compare.data import QUANTITIES, SIDES, TOLERANCE, locations
from controlplane.clock import ManualClock
from controlplane.connectors.contract import Level
from controlplane.health.observations.comparison import ComparisonContext, Judged
from controlplane.registry import Snapshot as Policies
from controlplane.store import open_store
from controlplane.store import tables as t
from probes.comparisons.snapshots import SnapshotStore
from probes.comparisons.snapshots.model import Snapshot
from rules.policy.kinds import AllocationRule, Comparison

SOURCE, BOOKS, CHANNEL = "wms", "erp", "shop"
OWED = 100
"""For one key in so many the last UNITS are being delivered to the channel."""
UNITS = 3
PROMISE = timedelta(minutes=2)
FILLED = Table(
    "filled", MetaData(), Column("i", Integer, primary_key=True), Column("sku", String), Column("location", String),
    *(Column(quantity, Integer) for quantity in QUANTITIES), prefixes=["TEMPORARY"],
)  # fmt: skip


def newest(folder: Path) -> list[Snapshot]:
    """Return the snapshot of each side."""
    store = SnapshotStore(folder / "store")
    return [store.newest(side) for side in SIDES]


def read_between(snapshots: Sequence[Snapshot]) -> tuple[datetime, datetime]:
    """Return when the first page began to be read and when the last one had been."""
    pages = [page for snapshot in snapshots for page in snapshot.pages]
    return (
        min(datetime.fromisoformat(page.read_from) for page in pages),
        max(datetime.fromisoformat(page.read_to) for page in pages),
    )


# --- the ledger ---
def prepare(folder: Path) -> int:
    """Make the ledger: of every key a message that was processed as the last page was read, what it changed, and what targets show."""
    from controlplane.store.migrate import migrate

    _, at = read_between(newest(folder))
    store = open_store(f"sqlite:///{folder}/ledger.sqlite")
    migrate(store)
    with store.engine.begin() as connection:
        FILLED.create(connection)
        marks = ", ".join("?" * len(FILLED.columns))
        cursor = cast("Any", connection.connection.cursor())
        cursor.executemany(f"INSERT INTO filled VALUES ({marks})", _true(folder))  # noqa: S608
        for table, columns, *where in _rows(at):
            chosen = select(*columns.values()).select_from(FILLED).where(*where)
            connection.execute(insert(table).from_select(list(columns), chosen, include_defaults=False))
        found = _count(connection)
    store.close()
    return found


def _true(folder: Path) -> list[tuple[Any, ...]]:
    """Number, key and quantities of every key: what most sides show is lowest, since differences are added."""
    import duckdb

    lowest = ", ".join(f"min({quantity})" for quantity in QUANTITIES)
    files = [f"{folder}/{side}.parquet" for side in SIDES]
    asked = f"SELECT row_number() OVER (), sku, location, {lowest} FROM read_parquet({files}) GROUP BY sku, location"  # noqa: S608
    with duckdb.connect() as con:
        return con.execute(asked).fetchall()


def _count(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(t.message)).scalar_one())


def _rows(at: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield table, column -> expression over FILLED, and which of its rows are meant."""
    f = FILLED.c
    number = func.printf("%032d", f.i)
    key = {"sku": f.sku, "location": f.location}
    subject = f.sku.concat("@").concat(f.location)
    data = func.json_object("sku", f.sku, "location", f.location, "on_hand", f.on_hand)
    instant = {
        name: literal(at, t.message.c.occurred_at.type) for name in ("occurred_at", "accepted_at", "processed_at")
    }
    yield t.message, {
        "id": number, "type": literal("stock.level"), "schema_version": literal(1), "source": literal(SOURCE),
        "subject": subject, "dedupe_key": number, "fingerprint": func.randomblob(20), "trace_id": number, "data": data,
        "state": literal("processed"), "registry_version": literal(1), **instant,
    }  # fmt: skip
    now, later = instant["occurred_at"], literal(at + PROMISE, t.delivery.c.promise_at.type)
    held = {
        **key, "on_hand": f.on_hand, "allocated": f.reserved, "available": f.available, "in_transit": literal(0),
        "source_at": now, "message_id": number,
    }  # fmt: skip
    yield t.stock_position, {**held, "source": literal(SOURCE), "updated_at": now}
    yield t.stock_change, {**held, "changed_at": now}
    yield t.product, {
        "sku": f.sku, "title": f.sku, "unit_price": literal(Decimal(2), t.product.c.unit_price.type), "currency": literal("EUR"),
        "active": literal(1), "updated_at": now, "message_id": number,
    }, f.location == "LOC-0000"  # fmt: skip
    owed = f.i % OWED == 0
    delivered = f.available - case((owed, UNITS), else_=0)
    for system, field, value in ((BOOKS, "on_hand", f.on_hand), (CHANNEL, "available", delivered)):
        place = {"system": literal(system), "field": literal(field), **key, "value": value}
        yield t.target_level, {**place, "as_of": now, "updated_at": now}
        yield t.target_effect, {
            **place, "delta": literal(1), "earliest": now, "latest": now, "cause": literal("delivery"), "cause_id": number,
        }  # fmt: skip
    yield t.delivery, {
        "id": number, "message_id": number, "flow": literal("stock"), "target": literal(CHANNEL), "entity": literal("available"),
        "subject": subject, "order_key": subject, "idempotency_key": number, "coalesce": literal(1), "head": literal(1),
        "payload": func.json_object("sku", f.sku, "location", f.location, "quantity", f.available),
        "state": literal("sending"), "due_at": now, "deadline_at": later, "pause_base": literal(0), "promise_at": later,
        "attempts": literal(0), "fence": literal(0), "created_at": now, "retry_revision": number,
        "registry_version": literal(1), "trace_id": number,
    }, owed  # fmt: skip


# --- the contender ---
def explain(folder: Path) -> int:
    """Judge the keys that differ on the evidence of the ledger, in a process that looks for garbage as a plane does; return how many."""
    from controlplane.garbage import start_is_kept
    from probes.comparisons.inventory import compare

    snapshots = newest(folder)
    began, ended = read_between(snapshots)
    clock = ManualClock(began)
    rows = _differing(folder)
    store = open_store(f"sqlite:///{folder}/ledger.sqlite")
    policy, rule = _promised(sum(snapshot.rows for snapshot in snapshots) // len(snapshots))
    policies = Policies(1, {(one.kind, one.name): one for one in (policy, rule)}, {})
    sides = cast("Any", _Sides(rows, clock, began, ended))
    subjects = [f"{sku}@{location}" for sku, location in zip(rows["sku"], rows["location"], strict=True)]
    with start_is_kept():
        judged = compare(ComparisonContext(store, policies, sides, clock, policy), subjects).judged
    _tell(judged)
    store.close()
    return len(judged)


def _differing(folder: Path) -> dict[str, list[Any]]:
    import pyarrow.parquet as pq

    shown = [f"{side}.{field}" for side in SIDES for field in ("on_hand", "available")]
    with pq.ParquetFile(folder / "ours.parquet") as file:
        return dict(file.read(["sku", "location", *shown]).to_pydict())


def _promised(rows: int) -> tuple[Comparison, AllocationRule]:
    """Return what is compared, and that the channel offers all that is free."""
    head = {"apiVersion": "trueup/v1", "metadata": {"name": "stock"}}
    where = [f"LOC-{number:04d}" for number in range(locations(rows))]
    fields = {BOOKS: "on_hand", SOURCE: "on_hand", CHANNEL: "available"}
    spec = {
        "kind": "inventory", "domain": "inventory", "owner": "benchmarks", "source_side": SOURCE, "locations": where,
        "sides": [{"system": side, "entity": "levels", "field": field} for side, field in fields.items()],
        "every": "1m", "promise": PROMISE, "tolerance": TOLERANCE,
    }  # fmt: skip
    return (
        Comparison.model_validate(head | {"kind": "Comparison", "spec": spec}),
        AllocationRule.model_validate(
            head | {"kind": "AllocationRule", "spec": {"channel": CHANNEL, "locations": where}}
        ),
    )


def _tell(judged: Sequence[Judged]) -> None:
    causes = Counter(str(finding.cause) for one in judged for finding in one.findings)
    print(f"  causes: {dict(causes)}", file=sys.stderr)


@dataclass(frozen=True, slots=True)
class _Sides:
    """Systems that answer with what their snapshots held of the differing keys."""

    rows: dict[str, list[Any]]
    clock: ManualClock
    began: datetime
    ended: datetime

    def get(self, system: str) -> "_Side":
        return _Side(self, system)


@dataclass(frozen=True, slots=True)
class _Side:
    sides: _Sides
    system: str

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None) -> Iterator[list[Level]]:
        """One page; by its end the last page of the snapshots has been read."""
        rows, began, ended = self.sides.rows, self.sides.began, self.sides.ended
        columns = ("sku", "location", *(f"{self.system}.{name}" for name in ("on_hand", "available")))
        told = zip(*(rows[column] for column in columns), strict=True)
        yield [
            Level(sku, location, on_hand, available, None, began, ended)
            for sku, location, on_hand, available in told if on_hand is not None
        ]  # fmt: skip
        self.sides.clock.move_to(ended)


if __name__ == "__main__":
    done = {"prepare": prepare, "explain": explain}[sys.argv[1]]
    print(json.dumps({"differ": done(Path(sys.argv[2]))}))
