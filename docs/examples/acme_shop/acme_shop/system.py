"""An Acme shop that fits into one file: HTTP on loopback, state in memory. Only the bench uses it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "acme-token-5f1d0c"  # noqa: S105  # of a shop that does not exist
SIGNING = "acme-signing-77ab"
SKUS = 25
EPOCH = datetime(2026, 11, 27, 6, tzinfo=UTC)


class Shop:
    """Its books: orders, levels, fulfilments; and how often each was written."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.orders: dict[str, dict[str, Any]] = {}
        self.levels = {f"SKU-{at:03d}": {"available": 100, "changed_at": _instant(0)} for at in range(SKUS)}
        self.fulfilments: dict[str, dict[str, Any]] = {}
        self.effects: list[str] = []
        self._change = 0

    def order(self, status: str = "paid") -> dict[str, Any]:
        """Somebody orders."""
        with self.lock:
            self._change += 1
            line = {"sku": f"SKU-{self._change % SKUS:03d}", "quantity": 2, "price": "19.90"}
            order = {
                "id": self._change, "ref": f"A{self._change}", "change": self._change, "status": status, "currency": "EUR",
                "placed_at": _instant(self._change), "lines": [line],
            }  # fmt: skip
            self.orders[order["ref"]] = order
            return order

    def touch(self, ref: str) -> None:
        """Something of an order changes: it moves to the end of what changed."""
        with self.lock:
            self._change += 1
            self.orders[ref]["change"] = self._change

    def sell(self, sku: str) -> None:
        """A piece is sold elsewhere."""
        with self.lock:
            self.levels[sku]["available"] -= 1

    def webhook(self, order: dict[str, Any]) -> tuple[dict[str, str], bytes]:
        """Return how the shop tells of an order: headers and body."""
        body = json.dumps({**order, "sent": True}).encode()
        signature = base64.b64encode(hmac.new(SIGNING.encode(), body, hashlib.sha256).digest()).decode()
        return {"x-acme-signature": signature, "x-acme-event": f"evt-{order['change']}"}, body

    def answer(self, method: str, url: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        """Answer one request: status and JSON."""
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"message": "who are you?"}
        parts = urlsplit(url)
        asked = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        room, _, name = parts.path.lstrip("/").partition("/")
        with self.lock:
            if not name:
                return self._list(room, asked.get("after", ""), int(asked.get("limit", "10")))
            if method == "PUT":
                return self._put(room, unquote(name), headers, json.loads(body))
            return self._one(room, unquote(name))

    def _list(self, room: str, after: str, limit: int) -> tuple[int, Any]:
        if room == "orders":
            rows = sorted((o for o in self.orders.values() if o["change"] > int(after)), key=lambda o: o["change"])
            return 200, {"rows": rows[:limit]}
        skus = sorted(sku for sku in self.levels if sku > after)
        return 200, {"rows": [{"sku": sku, **self.levels[sku]} for sku in skus[:limit]]}

    def _one(self, room: str, name: str) -> tuple[int, Any]:
        found = (self.levels if room == "stock" else self.fulfilments).get(name)
        return (200, found) if found else (404, {"message": f"no {name} in {room}"})

    def _put(self, room: str, name: str, headers: dict[str, str], told: dict[str, Any]) -> tuple[int, Any]:
        if room == "stock":
            return self._set(name, headers.get("if-match"), told)
        if told["order"] not in self.orders:
            return 422, {"message": f"there is no order {told['order']}"}
        if name not in self.fulfilments:
            self.effects.append(told["order"])
        self.fulfilments[name] = {"id": name, **told}
        return 200, {"id": name}

    def _set(self, sku: str, expected: str | None, told: dict[str, Any]) -> tuple[int, Any]:
        if sku not in self.levels:
            return 422, {"message": f"there is no article {sku}"}
        if expected is not None and expected != str(self.levels[sku]["available"]):
            return 412, {"message": "it is something else by now"}
        self.levels[sku]["available"] = told["available"]
        self.effects.append(sku)
        return 200, {"id": sku}


def _instant(minutes: int) -> str:
    return (EPOCH + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def serve(shop: Shop) -> ThreadingHTTPServer:
    """Serve the shop on a free port of loopback, until `shutdown`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            status, told = shop.answer(self.command, self.path, headers, body)
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server
