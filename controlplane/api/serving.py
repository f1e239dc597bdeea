"""Serve an application from threads of this process, and end so that nothing of it stays: no thread, no connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from flask import Flask
from waitress.server import create_server
from waitress.trigger import trigger
from waitress.wasyncore import close_all

STOP = 5.0
"""Seconds that requests under way may take to end."""


def behind(proxies: int) -> dict[str, Any]:
    """Return the options that make the caller's address the one that so many proxies in front tell; without any, headers tell none."""
    if not proxies:
        return {}
    return {"trusted_proxy": "*", "trusted_proxy_count": proxies, "trusted_proxy_headers": {"x-forwarded-for"}}


@contextmanager
def serving(app: Flask, name: str, **options: Any) -> Iterator[int]:
    """Serve within the block, with waitress' options; give the port. Ends like `running`."""
    server = create_server(app, **options)
    with running(server, name):
        yield int(getattr(server, "effective_port", 0) or server.effective_listen[0][1])


@contextmanager
def running(server: Any, name: str) -> Iterator[None]:
    """Run a waitress server in a thread of that name within the block.

    On leaving nothing new is taken, requests under way may end, and idle connections are closed: a client that keeps its own
    open holds nothing up.
    """
    sockets = server.map if hasattr(server, "map") else server._map
    thread = threading.Thread(target=server.run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        waker = next(one for one in sockets.values() if isinstance(one, trigger))
        waker.pull_trigger(lambda: _close_listening(sockets))
        server.task_dispatcher.shutdown(timeout=STOP)
        with suppress(OSError):  # woken by something else it is closed before it is rung for
            waker.pull_trigger(lambda: close_all(sockets))
        thread.join(timeout=STOP)


def _close_listening(sockets: dict[int, Any]) -> None:
    """In the server's own thread: what listens is closed, what is connected stays."""
    for one in list(sockets.values()):
        if one.accepting:
            one.del_channel()
            one.socket.close()
