"""One system by itself: `python -m controlplane.sandbox.single square [--port 0]`. Prints where it listens.

Whoever tries it says what happens there by `POST /_control` with {"do": method of its model, "with": {…}}, and reads what it knows by
`GET /_control/NAME`. Its clock is the machine's.
"""

import argparse
import importlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, jsonify, request
from waitress import create_server

from controlplane.sandbox.gate import Channel

SYSTEMS = {
    "adobe": "Store",
    "amazon": "Market",
    "avalara": "Account",
    "sap": "Erp",
    "square": "Seller",
    "stripe": "Account",
}
"""Package -> its model."""
TIMELESS = frozenset({"avalara"})
"""Models that need no clock."""


def build(name: str) -> Flask:
    """Return the application of a system, with the routes by which it is moved and looked into."""
    module = importlib.import_module(f"controlplane.sandbox.{name}.app")
    kind = getattr(module, SYSTEMS[name])
    model = kind() if name in TIMELESS else kind(lambda: datetime.now(UTC))
    app: Flask = module.create(model)

    @app.post("/_control")
    def control() -> Response:
        told = request.get_json()
        with model.lock:
            done = getattr(model, told["do"])(**told.get("with", {}))
        return jsonify(done=done)

    @app.get("/_control/<what>")
    def known(what: str) -> Response:
        with model.lock:
            return jsonify(known=_plain(getattr(model, what)))

    return app


def _plain(value: Any) -> Any:
    """Keys that are several names are written as a list of [names, value]."""
    if isinstance(value, Mapping) and any(isinstance(key, tuple) for key in value):
        return [[list(key), one] for key, one in value.items()]
    return sorted(value) if isinstance(value, set) else value


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("system", choices=sorted(SYSTEMS))
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    server = create_server(
        build(given.system),
        host="127.0.0.1",
        port=given.port,
        threads=16,
        connection_limit=1_000,
        asyncore_use_poll=True,
    )
    server.channel_class = Channel
    print(f"{given.system} listens at http://127.0.0.1:{server.effective_port}", flush=True)
    server.run()


if __name__ == "__main__":
    main()
