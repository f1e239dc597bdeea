"""Serving one simulator as the sandbox does, which can cut a connection; its exchanges held against a vendor's description."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from waitress import create_server

from controlplane.sandbox.gate import Channel
from tests.openapi import Contract

SPECS = Path(os.environ.get("TRUEUP_SHARED") or Path(__file__).parents[4] / "shared") / "specs"


@contextmanager
def hanging_up(app: Flask) -> Iterator[int]:
    """Serve an application; give the port."""
    server = create_server(app, host="127.0.0.1", port=0, threads=4)
    server.channel_class = Channel
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield int(server.effective_port)
    finally:
        server.close()
        thread.join(timeout=10)


def held_against(app: Flask, files: Iterable[Path], free: Iterable[str] = (), below: str = "") -> Contract | None:
    """Hold every exchange of an application against the descriptions, where they are at hand."""
    found = list(files)
    if not all(file.is_file() for file in found):
        return None
    contract = Contract(found, below)
    app.wsgi_app = contract.around(app.wsgi_app, free)  # type: ignore[method-assign]
    return contract
