"""A plane served over HTTP on loopback, with people who can sign in."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask

from controlplane.access import create_account, ensure_admin, ensure_cli_token
from controlplane.api.serving import serving
from controlplane.app import create_app
from controlplane.clock import Clock
from controlplane.settings import Settings
from controlplane.wiring import Plane, build_plane

PASSWORD = "correct horse battery"
PEOPLE = {
    "ada": ("editor", "integration-platform"), "ben": ("approver", "finance-systems"), "wim": ("approver", "warehouse-ops"),
    "olga": ("operator", "store-ops"), "vic": ("viewer", "ecommerce"),
}  # fmt: skip
"""Name -> role, team."""


@contextmanager
def a_plane(home: Path, clock: Clock | None = None, database_url: str = "", **given: Any) -> Iterator[Plane]:
    """A plane on an empty home with the sandbox's policies, and with the settings given; nothing runs by itself."""
    given = {"rate_asking": "", "rate_sign_in": "", **given}  # many people sign in and ask here, from one address
    settings = Settings(home=home, database_url=database_url, engine="embedded", admin_password="", **given)
    plane = build_plane(settings, clock)
    try:
        for name, (role, team) in PEOPLE.items():
            create_account(plane.store, plane.clock, name, PASSWORD, [role], actor="setup", team=team)
        yield plane
    finally:
        plane.close()


@contextmanager
def served(plane: Plane, mounts: Sequence[Callable[[Flask, Plane], None]] = (), port: int = 0) -> Iterator[str]:
    """Serve the plane on a port of loopback, a free one unless given; give its address."""
    with serving(create_app(plane, mounts=mounts), "web", host="127.0.0.1", port=port, threads=8) as taken:
        yield f"http://127.0.0.1:{taken}"


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def found_by_the_console(plane: Plane, url: str, monkeypatch: pytest.MonkeyPatch, account: str = "admin") -> None:
    """Let the command line find this plane, and act there as somebody."""
    if account == "admin":
        ensure_admin(plane.store, plane.clock, "a password of twenty")
    ensure_cli_token(plane.store, plane.clock, plane.settings.home / "cli-token", account)
    monkeypatch.setenv("TRUEUP_HOME", str(plane.settings.home))
    monkeypatch.setenv("TRUEUP_PORT", url.rpartition(":")[2])


def proved_anew(client: httpx.Client) -> None:
    """Let somebody with a session give the password once more."""
    form = {"password": PASSWORD, "csrf_token": client.cookies["_csrf_token"]}
    answer = client.post("/login/again", data=form)
    assert answer.status_code == 303, answer.text
    client.headers["X-CSRFToken"] = client.cookies["_csrf_token"]


def signed_in(url: str, name: str) -> httpx.Client:
    """A client with somebody's session, sending the token that proves that writes are meant."""
    client = httpx.Client(base_url=url, trust_env=False, timeout=60)
    answer = client.post("/login", data={"name": name, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    client.headers["X-CSRFToken"] = client.cookies["_csrf_token"]
    return client
