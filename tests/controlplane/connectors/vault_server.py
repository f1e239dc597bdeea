"""A real HTTP server on loopback that answers as Vault's KV engine of version 2 does, after its published API."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hvs.planted-vault-token-0001"


@dataclass
class Version:
    """One version of a secret."""

    fields: dict[str, Any]
    deleted: bool = False
    destroyed: bool = False


@dataclass
class VaultServer:
    """Keeps secrets in versions at one mount; `asked` lists (path, namespace) of what it was asked for."""

    mount: str = "secret"
    namespace: str = ""
    token: str = TOKEN
    sealed: bool = False
    secrets: dict[str, list[Version]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body = outer.answer(self.path, {k.lower(): v for k, v in self.headers.items()})
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def put(self, path: str, **fields: Any) -> None:
        """Write a new version."""
        self.secrets.setdefault(path, []).append(Version(fields))

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.asked.append((path, headers.get("x-vault-namespace", "")))
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        given = (headers.get("x-vault-token"), headers.get("x-vault-namespace", ""))
        if given != (self.token, self.namespace):
            return 403, {"errors": [f"permission denied for {given[0]}"]}  # it echoes what it was sent
        begin = f"/v1/{self.mount}/data/"
        versions = self.secrets.get(path.removeprefix(begin)) if path.startswith(begin) else None
        if not versions:
            return 404, {"errors": []}
        return self._version(len(versions), versions[-1])

    def _version(self, number: int, newest: Version) -> tuple[int, dict[str, Any]]:
        gone = newest.deleted or newest.destroyed
        about = {
            "created_time": "2026-03-02T08:00:00.000000000Z",
            "custom_metadata": None,
            "deletion_time": "2026-03-02T08:30:00.123456789Z" if newest.deleted else "",
            "destroyed": newest.destroyed,
            "version": number,
        }
        data = {"data": None if gone else newest.fields, "metadata": about}
        envelope = {"request_id": "r", "lease_id": "", "renewable": False, "lease_duration": 0}
        return 404 if gone else 200, {**envelope, "data": data, "wrap_info": None, "warnings": None, "auth": None}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
