"""`/wms/auth/refresh` and `/wms/graphql`: tokens, credits, GraphQL with its errors inside HTTP 200."""

import math
import secrets
import uuid
from datetime import timedelta
from typing import Any

from flask import Flask, Response, jsonify, request
from graphql import execute_sync

from controlplane.sandbox.clock import Bucket
from controlplane.sandbox.gate import Gate, Vendor
from controlplane.sandbox.gql import Ask, read_ask, validator
from controlplane.sandbox.records import Event
from controlplane.sandbox.wms.resolvers import Answers, price
from controlplane.sandbox.wms.snapshots import FILES
from controlplane.sandbox.wms.warehouse import Warehouse
from controlplane.sandbox.world import World

TOKEN_LIFE = timedelta(days=28)
CREDITS, REFILL = 4004, 60


def _refused(status: int, message: str) -> Response:
    answer = jsonify(errors=[{"message": message, "code": status}])
    answer.status_code = status
    return answer


class Wms:
    """The HTTP face of the warehouse."""

    def __init__(self, world: World, gate: Gate, warehouse: Warehouse) -> None:
        self.world, self.gate = world, gate
        self.answers, quota = Answers(warehouse), world.scenario.retailer.quota
        self._problems = validator(self.answers.schema)
        self.credits = Bucket(world.clock, CREDITS * quota, REFILL * quota)
        self.vendor = Vendor(
            "wms", lambda: self._short_of_credits(101, 0), lambda status: _refused(status, "Server error")
        )

    def refresh(self) -> Response:
        """A bearer token for 28 days against the refresh token."""
        body = request.get_json(silent=True, force=True)
        given = body.get("refresh_token") if isinstance(body, dict) else request.form.get("refresh_token")
        if given != self.world.secrets.read("wms_refresh_token"):
            return _refused(401, "The refresh token is not valid")
        token = secrets.token_urlsafe(32)
        with self.world.transaction() as world:
            number = world.counters.next("token")
            world.tokens.put(token, Event(id=number, due=world.clock.now() + TOKEN_LIFE, kind="token"))
        return jsonify(
            access_token=token,
            expires_in=int(TOKEN_LIFE.total_seconds()),
            scope="openid offline_access",
            token_type="Bearer",  # noqa: S106 the scheme, no secret
        )

    def graphql(self) -> Response:
        """One GraphQL operation."""
        ask = read_ask()
        if ask is None:
            return _refused(400, "The body must be JSON with a GraphQL `query`")
        return self.gate.pass_through(self.vendor, ask.operations, lambda: self._run(ask))

    def _run(self, ask: Ask) -> Response:
        with self.world.transaction():
            token = self.world.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
            if token is None or token.due <= self.world.clock.now():
                return _refused(401, "Unauthorized: refresh the token")
            self.answers.snapshots.step()
            cost = price(ask)
            if not self.credits.take(cost):
                self.world.journal.write("throttled", system="wms", cause="credits")
                return self._short_of_credits(cost, int(self.credits.left()))
            return jsonify(self._execute(ask, cost))

    def _execute(self, ask: Ask, cost: int) -> dict[str, Any]:
        if ask.document is None or (problems := self._problems(ask.text)):
            found = [ask.syntax_error] if ask.syntax_error else problems
            return {"errors": [dict(error.formatted) for error in found if error]}
        context = {"request_id": uuid.uuid4().hex, "complexity": cost}
        result = execute_sync(
            self.answers.schema,
            ask.document,
            variable_values=ask.variables,
            operation_name=ask.operation_name,
            context_value=context,
        )
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body["errors"] = [
                {"message": e.message, "path": e.path, "request_id": context["request_id"], **(e.extensions or {})}
                for e in result.errors
            ]
        return body

    def _short_of_credits(self, cost: int, left: int) -> Response:
        seconds = math.ceil(max(1, cost - left) / self.credits.rate)
        message = (
            f"There are not enough credits to perform the requested operation, which requires {cost} credits, "
            f"but there are only {left} left. "
            f"In {seconds} seconds you will have enough credits to perform the operation"
        )
        error = {
            "code": 30,
            "message": message,
            "request_id": uuid.uuid4().hex,
            "required_credits": cost,
            "remaining_credits": left,
            "time_remaining": f"{seconds} seconds",
        }
        return jsonify(errors=[error], data=None)


def routes(app: Flask, world: World, gate: Gate, warehouse: Warehouse) -> Wms:
    """Mount the warehouse."""
    wms = Wms(world, gate, warehouse)

    @app.post("/wms/auth/refresh")
    def refresh() -> Response:
        return gate.pass_through(wms.vendor, ("auth",), wms.refresh)

    @app.post("/wms/graphql")
    def wms_graphql() -> Response:
        return wms.graphql()

    @app.get(f"{FILES}<token>.json")
    def wms_snapshot(token: str) -> Response:
        return gate.pass_through(wms.vendor, ("file",), lambda: wms.answers.snapshots.give(token))

    return wms
