"""A retailer whose records go wrong in every way that is known, with real till files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import select

from controlplane.clock import ManualClock
from controlplane.connectors.builtin.till_files.connector import TillFilesConnector
from controlplane.connectors.codes import codes_for
from controlplane.connectors.contract import Context
from controlplane.registry.packs import pack_folder
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.engines.workbench import Edit
from tests.controlplane.sync.kit import House

SKU, OTHER = "0007-BLK-M", "0001-WHT-L"
HEADER = "store;receipt;line;plu;qty;unit;unit_price;tax_code;sold_at"
EXTRAS = """
apiVersion: trueup/v1
kind: Mapping
metadata: {name: tills-unit}
spec: {system: tills, entity: unit, codes: {ST: EA, KT: 12 EA}}
---
apiVersion: trueup/v1
kind: Mapping
metadata: {name: tills-tax}
spec: {system: tills, entity: tax_code, codes: {A: STD}}
"""
Packed = Callable[..., Path]


@pytest.fixture
def packed(tmp_path: Path) -> Packed:
    """Make a pack of the shipped policies with a domain's correction block changed."""

    def make(domain: str = "", **correction: Any) -> Path:
        folder = tmp_path / "pack"
        shutil.copytree(pack_folder("sandbox"), folder)
        (folder / "extras.yaml").write_text(EXTRAS)
        documents = list(yaml.safe_load_all((folder / "domains.yaml").read_text()))
        for document in documents:
            if document["metadata"]["name"] == domain:
                document["spec"]["correction"] = correction
        (folder / "domains.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False))
        return folder

    return make


@dataclass
class Bench(House):
    """A house with a workbench, and short ways to use it."""

    drop_folder: Path = Path()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.drop_folder.mkdir(exist_ok=True)
        codes = codes_for(self.registry.snapshot(), "tills")
        options = {"currency": "EUR"}
        self.tills = TillFilesConnector(  # type: ignore[assignment]
            Context("tills", str(self.drop_folder), options, str, codes, self.clock, 10.0)
        )
        self.shop.levels[SKU, "WH1"] = 8
        self.sync.healing.read_channel("shop")
        self.product(SKU, "4.00")
        self.product(OTHER, "4.00")
        self.level(SKU, 10)
        self.run()

    def till(self, *rows: str, header: str = HEADER) -> None:
        """The tills drop a file, and it is polled and understood."""
        number = len(list(self.drop_folder.iterdir())) + 1
        (self.drop_folder / f"sales_ST1_{number}.csv").write_text("\n".join([header, *rows]) + "\n")
        self.sync.poll("till-sales")
        self.run()

    def cases(self, state: str = "") -> list[dict[str, Any]]:
        """Cases, the oldest first."""
        q = t.quarantine.c
        query = select(t.quarantine).order_by(q.id)
        with self.store.read() as connection:
            rows = connection.execute(query.where(q.state == state) if state else query)
            return [dict(row) for row in rows.mappings()]

    def case(self) -> dict[str, Any]:
        """The one case that is open."""
        [one] = [case for case in self.cases() if case["state"] in ("waiting", "corrected")]
        return one

    def history(self, case_id: str) -> list[str]:
        """The kinds of a case's events."""
        e = t.quarantine_event.c
        with self.store.read() as connection:
            return list(connection.execute(select(e.kind).where(e.case_id == case_id).order_by(e.id)).scalars())

    def set(self, case: dict[str, Any], actor: str = "olga", **put: Any) -> Any:
        """Correct single values; of a dotted path write the dots as two underscores."""
        edit = Edit(put={path.replace("__", "."): value for path, value in put.items()})
        return self.sync.workbench.correct(case["id"], edit, actor)


def row(receipt: str = "R1", **changed: str) -> str:
    """A row of a till file."""
    found = {
        "store": "ST1", "receipt": receipt, "line": "1", "plu": "900007", "qty": "1", "unit": "ST", "unit_price": "9,90",
        "tax_code": "A", "sold_at": "2026-03-02T08:00:00Z",
    }  # fmt: skip
    return ";".join((found | changed)[name] for name in HEADER.split(";"))


@pytest.fixture
def make_bench(store: Store, clock: ManualClock, tmp_path: Path) -> Callable[[Path], Bench]:
    """Make a bench on a pack."""
    return lambda pack: Bench(store, clock, pack, tmp_path / "tills")


@pytest.fixture
def bench(make_bench: Callable[[Path], Bench], packed: Packed) -> Bench:
    """A bench on the shipped policies."""
    return make_bench(packed())
