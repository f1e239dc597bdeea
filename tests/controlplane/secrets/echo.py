"""A vendor that tells back whatever it was sent, secrets first, with every kind of answer that a connector meets."""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

ACCESS_TOKEN = "planted-access-token-of-the-warehouse"
"""What the warehouse answers to a refresh token: a secret that no reference leads to."""


class Echo:
    """Every system at one address, each with the secrets that it shares with us.

    `notified` is what the incident tool was sent, without its headers.
    """

    def __init__(self, secrets: Mapping[str, Sequence[str]]) -> None:
        self.secrets = {**secrets, "wms": [*secrets["wms"], ACCESS_TOKEN]}
        self.notified: list[str] = []
        self.moods = itertools.cycle((400, 401, 403, 422, 429, 500, 503, "errors", "refusal", "rubbish", "throttled"))
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                status, content = outer.answer(self.path, body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("X-Echo", outer.said(self.path, "percent"))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.port = int(self._server.server_port)

    def said(self, path: str, form: str = "") -> str:
        """The secrets of the system at a path, in one form or in all."""
        raw = self.secrets[path.split("/")[1]]
        forms = {
            "raw": " ".join(raw),
            "base64": " ".join(base64.b64encode(one.encode()).decode() for one in raw),
            "percent": " ".join(quote(one, safe="") for one in raw),
        }
        return forms[form] if form else " | ".join(forms.values())

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        told = f"what did you mean by {self.said(path)}?"
        if path.endswith("/auth/refresh"):
            given = {
                "access_token": ACCESS_TOKEN,
                "expires_in": 2419200,
                "message": told,
                "you_sent": body.decode(),
            }
            return 200, json.dumps(given).encode()
        mood = next(self.moods)
        if "/pager/" in path and isinstance(mood, str):
            self.notified.append(body.decode())
            return 202, json.dumps({"status": told}).encode()
        return self._in_mood(mood, told, body)

    @staticmethod
    def _in_mood(mood: int | str, told: str, body: bytes) -> tuple[int, bytes]:
        if isinstance(mood, int):
            return mood, json.dumps({"title": told, "errors": [{"message": told}], "you_sent": body.decode()}).encode()
        if mood == "rubbish":
            return 200, f"<p>{told}".encode()
        code = "THROTTLED" if mood == "throttled" else "X"
        if mood == "refusal":
            data = {
                "inventorySetQuantities": {
                    "inventoryAdjustmentGroup": None,
                    "userErrors": [{"message": told, "code": told}],
                }
            }
            return 200, json.dumps({"data": data, "items": [{"sku": told}], "hasMore": False}).encode()
        return 200, json.dumps({"errors": [{"message": told, "extensions": {"code": code}}]}).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
