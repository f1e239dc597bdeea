"""Bulk mutations: the variables of each line are uploaded as JSON Lines, and what came of each is fetched when the shop is done.

Only the start of the operation changes something; an operation that is lost sight of afterwards may have had its effects.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

from controlplane.connectors import jsonl
from controlplane.connectors.builtin.shopify import documents
from controlplane.connectors.builtin.shopify.api import refused_bulk
from controlplane.connectors.contract import Context
from controlplane.connectors.graphql import GraphqlClient
from controlplane.connectors.http import elsewhere, with_evidence
from controlplane.errors import ConnectorError, UnknownOutcomeError

FIRST_LOOK, LONGEST_LOOK, PATIENCE = 0.2, 5.0, 240.0
"""Seconds after which the operation is looked at, growing; and for how long in all."""
LINES = "text/jsonl"


class Bulk:
    """Bulk mutations of one shop."""

    def __init__(self, context: Context, graphql: GraphqlClient) -> None:
        self._context, self._graphql = context, graphql

    def run(self, mutation: str, lines: Sequence[dict[str, Any]]) -> tuple[str, dict[int, dict[str, Any]]]:
        """Carry out the mutation with the variables of each line; return (the operation's id, line -> data and errors).

        Raises ConnectorError: UnknownOutcomeError as soon as something may have taken effect.
        """
        path = self._uploaded("".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines))
        started = self._started(mutation, path)
        return started, self._results(started, self._finished(started))

    def _uploaded(self, content: str) -> str:
        wanted = {
            "resource": "BULK_MUTATION_VARIABLES", "filename": "lines.jsonl", "mimeType": LINES, "httpMethod": "POST",
        }  # fmt: skip
        data, answer = self._graphql.ask(documents.STAGE_UPLOAD, input=[wanted])
        try:
            [target] = data["stagedUploadsCreate"]["stagedTargets"]
            fields = {str(one["name"]): str(one["value"]) for one in target["parameters"]}
            url, path = str(target["url"]), fields["key"]
        except (KeyError, TypeError, ValueError):
            answer.fail("answered stagedUploadsCreate without a place for the file")
        # the file alone changes nothing, so this is no write; what signs the upload is as good as a password
        signed = [value for name, value in fields.items() if name in ("x-goog-signature", "policy")]
        sent: dict[str, Any] = {"data": fields, "files": {"file": ("lines.jsonl", content.encode(), LINES)}}
        with elsewhere(self._context, url, *signed) as (store, place):
            store.send("POST", place, write=False, **sent)
        return path

    def _started(self, mutation: str, path: str) -> str:
        data, answer = self._graphql.tell(documents.RUN_BULK, mutation=mutation, path=path)
        payload = data.get("bulkOperationRunMutation") or {}
        errors = payload.get("userErrors") or []
        if errors:
            raise with_evidence(refused_bulk(errors), answer.evidence)
        try:
            return str(payload["bulkOperation"]["id"])
        except (KeyError, TypeError):
            answer.fail("answered bulkOperationRunMutation without an operation")

    def _finished(self, name: str) -> str | None:
        """Wait until the operation is done; return where its results lie, None where it has none."""
        look, waited = FIRST_LOOK, 0.0
        while waited < PATIENCE:
            self._context.clock.wait(threading.Event(), look)
            waited, look = waited + look, min(look * 2, LONGEST_LOOK)
            try:
                data, _ = self._graphql.ask(documents.BULK, id=name)
            except ConnectorError as error:
                look = max(look, error.retry_after or 0.0)
                continue
            found = data.get("bulkOperation") or {}
            if found.get("status") == "COMPLETED":
                return str(found["url"]) if found.get("url") else None
            if found.get("status") in ("FAILED", "CANCELED", "EXPIRED"):
                raise UnknownOutcomeError(
                    f"{name} ended as {found['status']} ({found.get('errorCode')}), in the middle"
                )
        raise UnknownOutcomeError(f"{name} was not done within {PATIENCE:g} s; it may still be carried out")

    def _results(self, name: str, url: str | None) -> dict[int, dict[str, Any]]:
        if url is None:
            return {}
        try:
            with elsewhere(self._context, url) as (store, place):
                return {int(row["__lineNumber"]): row for _, row in jsonl.rows(store.parts(place))}
        except (ConnectorError, KeyError, TypeError, ValueError) as error:
            raise UnknownOutcomeError(
                f"the results of {name} could not be read: {error}; read back what came of it"
            ) from error
