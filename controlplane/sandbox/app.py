"""Putting the sandbox together: one world, its actors, every system's routes, one HTTP server."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify
from waitress import create_server

from controlplane.sandbox import control, pager
from controlplane.sandbox.actors import Actors
from controlplane.sandbox.clock import Clock
from controlplane.sandbox.engine import Engine
from controlplane.sandbox.erp import routes as erp_routes
from controlplane.sandbox.gate import Channel, Gate
from controlplane.sandbox.scenario import Scenario
from controlplane.sandbox.shop import routes as shop_routes
from controlplane.sandbox.shop.control import ShopControl
from controlplane.sandbox.shop.counter import Counter
from controlplane.sandbox.tills import Tills
from controlplane.sandbox.wms import routes as wms_routes
from controlplane.sandbox.wms.warehouse import Warehouse
from controlplane.sandbox.world import World

THREADS = 32


@dataclass(frozen=True)
class Sandbox:
    """A whole retailer: its engine moves it, its app answers for it."""

    world: World
    engine: Engine
    app: Flask

    def server(self, port: int, host: str = "127.0.0.1") -> Any:
        """A bound HTTP server (port 0: any free one, see `effective_port`); OSError when the port is taken."""
        server = create_server(
            self.app, host=host, port=port, threads=THREADS, ident="trueup-sandbox", clear_untrusted_proxy_headers=True
        )
        server.channel_class = Channel
        return server


def build(home: Path, clock: Clock, scenario: Scenario, *, seed: int, plane: str) -> Sandbox:
    """Open (or begin) the world in `home` and mount everything."""
    home.mkdir(parents=True, exist_ok=True)
    world = World(home, clock, scenario, seed, plane)
    with world.transaction():
        counter, warehouse, tills = Counter(world), Warehouse(world), Tills(world)
        actors = Actors(world, counter, warehouse, tills)
        engine = Engine(world, actors)
        app, gate = Flask("sandbox"), Gate(world)
        erp = erp_routes.routes(app, world, gate)
        actors.ledger = erp.ledger
        wms = wms_routes.routes(app, world, gate, warehouse)
        shop = shop_routes.routes(app, world, gate, counter)
        in_shop = ShopControl(world, counter, shop.bulk, shop.money)
        pager.routes(app, world, gate)
        app.register_blueprint(control.blueprint(control.Control(engine, counter, erp, wms, in_shop)))

    @app.get("/healthz")
    def healthz() -> Response:
        with world.lock:
            return jsonify(status="ok", **engine.standing())

    return Sandbox(world, engine, app)
