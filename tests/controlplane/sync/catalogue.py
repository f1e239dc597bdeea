"""The flow of the pack `catalogue` for tests: a server that answers as Tryton does for its items, the pack with other addresses, and a
plane that runs the flow until nothing is owed any more. As a program it is a plane that can be killed.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml
from flask import Flask, Response, jsonify, request
from sqlalchemy import func, select

from controlplane.api.serving import serving
from controlplane.clock import ManualClock
from controlplane.connectors import Connections
from controlplane.registry import Registry
from controlplane.registry.packs import load_genesis, pack_folder
from controlplane.settings import Settings
from controlplane.store import Store, open_store
from controlplane.store import tables as t
from controlplane.sync.engines import Sync
from tests.addresses import pairs_of

START = datetime(2026, 11, 27, 6, tzinfo=UTC)
SECRETS = {
    "TRYTON_USER": "admin", "TRYTON_PASSWORD": "tryton-demo", "VENDURE_USER": "superadmin", "VENDURE_PASSWORD": "vendure-demo",
    "INCIDENT_TOKEN": "unused",
}  # fmt: skip


@dataclass
class Erp:
    """A Tryton that has items only. `titles` and `prices` by number from 1; an item changes at the instant `touch` gives it."""

    count: int
    url: str = ""
    prices: dict[int, str] = field(default_factory=dict)
    changed: dict[int, int] = field(default_factory=dict)
    pages: int = 0
    breaks_after: int | None = None
    """Pages after which it does not answer any more."""

    def touch(self, number: int, price: str) -> None:
        """Give an item another price, a second after the last change."""
        self.prices[number] = price
        self.changed[number] = max([0, *self.changed.values()]) + 1

    @contextmanager
    def answering(self) -> Iterator[Erp]:
        app = Flask("erp")

        @app.post("/retail/rpc/")
        def rpc() -> Response | tuple[Response, int]:
            called = request.get_json()
            if called["method"] == "common.db.login":
                return jsonify(id=1, result=[1, "session-token"])
            return self._search(*called["params"][:5])

        with serving(app, "erp", host="127.0.0.1", port=0) as port:
            self.url = f"http://127.0.0.1:{port}"
            yield self

    def _search(
        self, domain: list[Any], _offset: int, limit: int, order: list[list[str]], _fields: list[str]
    ) -> Response | tuple[Response, int]:
        if order[0][0] != "id":
            last = max(self.changed, key=lambda number: self.changed[number], default=1)
            return jsonify(id=1, result=[self._row(last)])
        if self.breaks_after is not None and self.pages >= self.breaks_after:
            return jsonify(), 503
        self.pages += 1
        after, since = int(domain[-1][2]), next((part[1][2] for part in domain if part[0] == "OR"), None)
        chosen = (n for n in range(after + 1, self.count + 1) if since is None or self._stamp(n) >= _moment(since))
        return jsonify(id=1, result=[self._row(number) for number, _ in zip(chosen, range(limit), strict=False)])

    def _stamp(self, number: int) -> datetime:
        """Long after the beginning, so that an overlap of some minutes does not reach back to it."""
        seconds = self.changed.get(number)
        return START - timedelta(days=1) if seconds is None else START + timedelta(seconds=seconds)

    def _row(self, number: int) -> dict[str, Any]:
        price = self.prices.get(number, f"{number % 900 + 1}.{number % 100:02d}")
        return {
            "id": number, "code": f"ITEM-{number:06d}", "name": f"Article {number}", "active": True,
            "cost_price": None, "list_price_used": {"__class__": "Decimal", "decimal": price},
            "create_date": _told(START - timedelta(days=1)), "write_date": _told(START - timedelta(days=1)),
            "template.": {"id": number, "write_date": _told(self._stamp(number))},
        }  # fmt: skip


def _told(moment: datetime) -> dict[str, Any]:
    parts = ("year", "month", "day", "hour", "minute", "second", "microsecond")
    return {"__class__": "datetime", **{part: getattr(moment, part) for part in parts}}


def _moment(told: dict[str, Any]) -> datetime:
    return datetime(**{name: value for name, value in told.items() if name != "__class__"}, tzinfo=UTC)


def pack(
    folder: Path, currency: str, *, mapping: dict[str, str] | None = None, options: dict[str, dict[str, str]] | None = None, **urls: str
) -> Path:  # fmt: skip
    """Write the shipped pack with these addresses (system = url); a system without one is no target.

    `options`: of a system, beside those it has. `mapping`: the codes of the ERP that are of interest, ours beside theirs; all
    others wait in quarantine.
    """
    documents = list(
        yaml.safe_load_all((pack_folder("catalogue") / "catalogue.yaml").read_text(encoding="utf-8"))
    )  # fmt: skip
    for document in documents:
        name, spec = document["metadata"]["name"], document["spec"]
        if document["kind"] == "System" and name in urls:
            spec |= {"endpoint": urls[name], "internal": list(pairs_of(urls[name]))}
            spec["options"] = {**spec.get("options", {}), **(options or {}).get(name, {})}
            if "currency" in spec.get("options", {}):
                spec["options"]["currency"] = currency
        if document["kind"] == "Flow":
            spec["targets"] = [target for target in spec["targets"] if target["system"] in urls]
    if mapping is not None:
        head = {"apiVersion": "trueup/v1", "kind": "Mapping", "metadata": {"name": "tryton-sku", "title": "Items"}}
        documents.append({**head, "spec": {"system": "tryton", "entity": "sku", "codes": mapping}})
    path = folder / "catalogue.yaml"
    path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return path


class Planed:
    """A plane that carries the catalogue. `elsewhere` is told of each instant that its clock is moved to."""

    def __init__(
        self, store: Store, home: Path, policies: Path, elsewhere: Callable[[datetime], object] | None = None, pace: float = 1.0,
        start: datetime = START,
    ) -> None:  # fmt: skip
        self.store, self.clock, self._elsewhere = store, ManualClock(start, pace=pace), elsewhere
        registry = Registry(store, self.clock)
        if not registry.snapshot().flows:
            load_genesis(store, self.clock, registry, policies)
        self.connections = Connections(registry, Settings(home=home), self.clock)
        self.sync = Sync(store, self.clock, registry, self.connections)

    def run(self) -> None:
        """Carry what is owed, in full batches, moving the clock on wherever something waits for its time."""
        while self.sync.translate() + self.sync.process():
            pass
        self.sync.drain()
        while (due := self.sync.next_due()) is not None:
            self.clock.move_to(max(due, self.clock.now() + timedelta(seconds=1)))
            if self._elsewhere:
                self._elsewhere(self.clock.now())
            self.sync.drain()

    def deliveries(self, target: str) -> Counter[str]:
        """How many deliveries to the target are in each state."""
        d = t.delivery.c
        with self.store.read() as connection:
            rows = connection.execute(select(d.state, func.count()).where(d.target == target).group_by(d.state))
            return Counter({row.state: int(row[1]) for row in rows})

    def close(self) -> None:
        self.connections.close()


def main(home: str, policies: str, sandbox: str) -> None:
    """Carry the catalogue once, in a store in the folder; for a process that is killed."""
    client = httpx.Client(base_url=sandbox, trust_env=False, timeout=30)
    store = open_store(f"sqlite:///{Path(home) / 'plane.sqlite'}")
    plane = Planed(
        store, Path(home), Path(policies), pace=0.1,
        elsewhere=lambda now: client.post("/control/advance", json={"to": now.isoformat()}, headers={"X-Sandbox": "control"}),
    )  # fmt: skip
    plane.sync.recover(restarted=True)
    plane.sync.poll("catalogue")
    plane.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
