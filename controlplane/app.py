"""The web application: gate, API, webhooks, sign-in, and whatever dashboards are installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flask import Flask

from controlplane import plugins
from controlplane.api import answers, denied, gate, headers, problems, rates, routes
from controlplane.api.audit import audit
from controlplane.api.business import business
from controlplane.api.comparing import comparing
from controlplane.api.deeds import deeds
from controlplane.api.hooks import hooks
from controlplane.api.installed import installed
from controlplane.api.kinds import kinds
from controlplane.api.ledger import ledger
from controlplane.api.login import login
from controlplane.api.measured import measured
from controlplane.api.messages import messages
from controlplane.api.moving import moving
from controlplane.api.open import watch
from controlplane.api.openapi import openapi
from controlplane.api.operators import operators
from controlplane.api.people import people
from controlplane.api.quarantine import quarantine
from controlplane.api.rooms import rooms
from controlplane.wiring import Plane

BODY_LIMIT = 2 * 1024 * 1024
INTAKE = (hooks, messages)
"""What takes in. How much of it is limited by what waits, and not by who asks."""
COUNTED = (
    quarantine, rooms, kinds, moving, measured, business, installed, deeds, comparing, operators, ledger, audit, people, openapi,
)  # fmt: skip
"""What people and programs ask, each so often and no more."""
Mount = Callable[[Flask, Plane], None]

for counted in COUNTED:
    counted.before_request(rates.count_caller)
    counted.after_request(rates.tell)
login.before_request(rates.count_tries)
login.after_request(rates.tell)


def create_app(plane: Plane, mounts: Iterable[Mount] | None = None) -> Flask:
    """Return the application of a plane; dashboards come from the entry points unless given."""
    app = Flask("controlplane")
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT
    app.url_map.merge_slashes = False  # a name with slashes is a name, and not the way to another
    answers.install(app, plane)
    rates.install(app, plane.settings)
    problems.install(app)
    gate.install(app)
    headers.install(app)
    denied.install(app)
    routes.install(app)
    for blueprint in (watch, *INTAKE, login, *COUNTED):
        app.register_blueprint(blueprint)
    for mount in mounts if mounts is not None else _installed():
        mount(app, plane)
    return app


def _installed() -> Iterable[Mount]:
    return (found for _, found in plugins.load_all("dashboards"))
