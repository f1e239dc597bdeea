"""Till files on trial, against a folder."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import ClassVar

from controlplane.connectors.builtin.till_files import counts, sales
from controlplane.connectors.builtin.till_files.connector import TillFilesConnector
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.contract import Connector, Record

ROWS = 3
STORES = ("ST1", "ST2")
LARGE = 5000
"""Rows of the first file, so that a page is large too."""


class TillFilesBench(Bench):
    """Files are written the way tills do: with semicolons, a decimal comma, and another zone than ours."""

    connector: ClassVar[type[Connector]] = TillFilesConnector
    against = "a folder with files of the bench's own"
    known_amounts: ClassVar = {"sales": "1234.56"}
    several_pages: ClassVar = {"sales": LARGE + 5 * ROWS, "stock": 100}

    def start(self, folder: Path) -> Place:
        """Make an empty folder."""
        self._folder, self._next, self._written, self._articles = folder / "tills", count(1), set[str](), 0
        self._folder.mkdir()
        return Place(str(self._folder), options={"currency": "EUR"})

    def things(self, entity: str, at_least: int) -> set[str]:
        """Write files until there are enough rows; or have two stores count so many articles between them."""
        if entity == "stock":
            return self._count(at_least)
        if at_least and not self._written:
            self._drop(min(at_least, LARGE))
        while len(self._written) < at_least:
            self._drop(ROWS)
        return set(self._written)

    def _drop(self, rows: int) -> None:
        file = next(self._next)
        lines = [";".join(sales.COLUMNS)]
        for line in range(1, rows + 1):
            lines.append(f"ST1;r{file};{line};900007;1;1.234,56;2026-11-27T07:00:00+01:00")
            self._written.add(f"ST1/r{file}/{line}")
        path = self._folder / f"sales_{file:06d}.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _count(self, at_least: int) -> set[str]:
        self._articles = max(self._articles, -(-at_least // len(STORES)))
        for store in STORES:
            rows = [f"{store};{900_000 + n};{n};2026-11-27T07:00:00+01:00" for n in range(self._articles)]
            part = self._folder / f"stock_{store}.part"
            part.write_text("\n".join([";".join(counts.COLUMNS), *rows]) + "\n", encoding="utf-8")
            part.rename(part.with_suffix(".csv"))
        return {f"{900_000 + n}@{store}" for store in STORES for n in range(self._articles)}

    def identities(self, entity: str, record: Record) -> set[str]:
        """Return store, receipt and line."""
        store, receipt, line, *_ = json.loads(record.body)["row"].split(";")
        return {f"{store}/{receipt}/{line}"}

    def stir(self, entity: str) -> None:
        """Drop another file, or count anew."""
        if entity == "stock":
            self._count(0)
        else:
            self._drop(1)
