"""Bulk operations: mutations for each line of a file, and queries of everything; each runs on its own, and leaves a file to fetch.

It runs on with every request to the shop, so many lines each; nobody can tell when nobody asks.
"""

import json
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask import Response, request
from graphql import DocumentNode, FieldNode, GraphQLError, OperationDefinitionNode, OperationType, parse

from controlplane.sandbox.clock import iso_s
from controlplane.sandbox.records import BulkOperation, Upload
from controlplane.sandbox.shop import exports
from controlplane.sandbox.shop.bodies import gid, number_of
from controlplane.sandbox.shop.search import connection
from controlplane.sandbox.world import World

UPLOADS, RESULTS = "/shop/staged-uploads/", "/shop/bulk-results/"
STEP, AT_ONCE, KEPT = 250, 5, 10
"""Lines that are carried out with a request; operations that run at once; finished ones whose results can be fetched."""
GOOD_FOR = timedelta(days=7)
NEXT = {"CREATED": "RUNNING", "CANCELING": "CANCELED", "COMPLETED": "EXPIRED"}
ALLOWED = frozenset({"productSet"})
RUNNING = ("CREATED", "RUNNING")
Execute = Callable[[DocumentNode, dict[str, Any]], dict[str, Any]]
"""(mutation, variables) -> data and errors of the answer."""


class Bulk:
    """The shop's bulk operations."""

    def __init__(self, world: World) -> None:
        self.world = world

    # --- the fields ---
    def stage(self, _: object, _info: object, **given: Any) -> dict[str, Any]:
        """`stagedUploadsCreate`."""
        targets = [self._target(one) for one in given["input"] if one.get("httpMethod") == "POST"]
        refused = [] if len(targets) == len(given["input"]) else [
            {"field": ["input", "httpMethod"], "message": "The sandbox takes files by POST"}
        ]  # fmt: skip
        return {"stagedTargets": targets if not refused else [], "userErrors": refused}

    def _target(self, one: dict[str, Any]) -> dict[str, Any]:
        key = f"tmp/1/bulk/{secrets.token_hex(8)}/{one['filename']}"
        upload = self.world.uploads.put(key, Upload(signature=secrets.token_hex(32)))
        parameters = {
            "Content-Type": one["mimeType"],
            "success_action_status": "201",
            "acl": "private",
            "key": key,
            "x-goog-signature": upload.signature,
        }
        address = request.host_url.rstrip("/") + UPLOADS
        listed = [{"name": name, "value": value} for name, value in parameters.items()]
        return {"url": address, "resourceUrl": address, "parameters": listed}

    def run(self, _: object, _info: object, **given: Any) -> dict[str, Any]:
        """`bulkOperationRunMutation`."""
        if busy := self._busy("MUTATION"):
            return busy
        if problem := _problem(given["mutation"]):
            return _refused("INVALID_MUTATION", problem)
        upload = self.world.uploads.get(given["stagedUploadPath"])
        if upload is None or upload.content is None:
            return _refused("NO_SUCH_FILE", "The JSONL file could not be found. Try uploading the file again.")
        self.world.uploads.drop(given["stagedUploadPath"])
        lines = [line for line in upload.content.splitlines() if line.strip()]
        return {"bulkOperation": self._begun("MUTATION", given["mutation"], lines), "userErrors": []}

    def query(self, _: object, _info: object, **given: Any) -> dict[str, Any]:
        """`bulkOperationRunQuery`."""
        if found := exports.problems(given["query"]):
            told = [{"field": ["query"], "message": problem, "code": "INVALID"} for problem in found]
            return {"bulkOperation": None, "userErrors": told}
        return self._busy("QUERY") or {"bulkOperation": self._begun("QUERY", given["query"], []), "userErrors": []}

    def _busy(self, kind: str) -> dict[str, Any] | None:
        running = [row for row in self.world.bulk_operations if row.status in RUNNING and row.kind == kind]
        if len(running) < AT_ONCE:
            return None
        named = ", ".join(gid("BulkOperation", row.id) for row in running)
        told = f"A bulk {kind.lower()} operation for this app and shop is already in progress: {named}."
        return _refused("OPERATION_IN_PROGRESS", told)

    def _begun(self, kind: str, text: str, lines: list[str]) -> dict[str, Any]:
        number = 8_000_000_000_000 + self.world.counters.next("bulk_operation")
        row = BulkOperation(
            id=number, token=secrets.token_hex(16), kind=kind, mutation=text, lines=lines, created_at=self.world.clock.now(),
        )  # fmt: skip
        self.world.bulk_operations.put(str(number), row)
        return self._shown(row)

    def cancel(self, _: object, _info: object, **given: Any) -> dict[str, Any]:
        """`bulkOperationCancel`: what runs is cancelled by and by."""
        row = self.world.bulk_operations.get(str(number_of(given["id"], "BulkOperation")))
        if row is None:
            return {
                "bulkOperation": None,
                "userErrors": [{"field": ["id"], "message": "Bulk operation does not exist"}],
            }
        if row.status not in RUNNING:
            told = f"A bulk operation cannot be canceled when it is {row.status.lower()}"
            return {"bulkOperation": self._shown(row), "userErrors": [{"field": None, "message": told}]}
        row.status = "CANCELING"
        self.world.bulk_operations.put(str(row.id), row)
        return {"bulkOperation": self._shown(row), "userErrors": []}

    def operation(self, name: str) -> dict[str, Any] | None:
        """`bulkOperation`."""
        row = self.world.bulk_operations.get(str(number_of(name, "BulkOperation")))
        return self._shown(row) if row else None

    def operations(
        self, first: int | None = None, after: str | None = None, *, reverse: bool = False, **_: object
    ) -> dict[str, Any]:
        """`bulkOperations`, the newest first; searches and other orders are not carried out."""
        rows = sorted(self.world.bulk_operations, key=lambda row: row.id, reverse=not reverse)
        return connection([self._shown(row) for row in rows], lambda one: one["id"], first=first, after=after)

    def _shown(self, row: BulkOperation) -> dict[str, Any]:
        done, size = row.status == "COMPLETED", sum(len(one.encode()) + 1 for one in row.results)
        url = f"{request.host_url.rstrip('/')}{RESULTS}{row.token}.jsonl" if row.results else None
        return {
            "__typename": "BulkOperation",
            "id": gid("BulkOperation", row.id),
            "status": row.status,
            "type": row.kind,
            "errorCode": row.error_code,
            "createdAt": iso_s(row.created_at),
            "completedAt": iso_s(row.completed_at) if row.completed_at else None,
            "objectCount": str(len(row.results)),
            "rootObjectCount": str(row.roots or len(row.results)),
            "fileSize": str(size) if done else None,
            "url": url if done else None,
            "partialDataUrl": url if row.status == "FAILED" else None,
            "query": row.mutation,
        }

    # --- running ---
    def step(self, execute: Execute) -> None:
        """Let what runs get on."""
        for row in [row for row in self.world.bulk_operations if self._moves(row)]:
            if row.status in NEXT:
                row.status = NEXT[row.status]
            elif row.kind == "QUERY":
                self._read_on(row, execute)
            else:
                self._carry_out(row, execute)
            self.world.bulk_operations.put(str(row.id), row)

    def _moves(self, row: BulkOperation) -> bool:
        old = row.completed_at is not None and self.world.clock.now() - row.completed_at > GOOD_FOR
        return row.status in (*RUNNING, "CANCELING") or (row.status == "COMPLETED" and old)

    def end(self, status: str, error_code: str | None) -> int:
        """Have what runs come to an end in the middle; answers how many there were."""
        running = [row for row in self.world.bulk_operations if row.status in RUNNING]
        for row in running:
            row.status, row.error_code, row.completed_at = status, error_code, self.world.clock.now()
            self.world.bulk_operations.put(str(row.id), row)
        return len(running)

    def _read_on(self, row: BulkOperation, execute: Execute) -> None:
        document, name = exports.page(row.mutation, row.after)
        answer = execute(document, {})
        if answer.get("errors"):
            row.status, row.error_code = "FAILED", "INTERNAL_SERVER_ERROR"
            return
        found = answer["data"][name]
        row.results += exports.lines(found)
        row.roots += len(found["edges"])
        row.after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            self._done(row)

    def _carry_out(self, row: BulkOperation, execute: Execute) -> None:
        document, begin = parse(row.mutation), len(row.results)
        for at, line in enumerate(row.lines[begin : begin + STEP], begin):
            row.results.append(json.dumps({**_carried_out(document, line, execute), "__lineNumber": at}))
        if len(row.results) == len(row.lines):
            row.lines = []
            self._done(row)

    def _done(self, row: BulkOperation) -> None:
        row.status, row.completed_at = "COMPLETED", self.world.clock.now()
        finished = [one for one in self.world.bulk_operations if one.status == "COMPLETED" and one.kind == row.kind]
        for old in finished[:-KEPT]:
            self.world.bulk_operations.drop(str(old.id))

    # --- the files ---
    def take(self) -> Response:
        """A file comes in, its fields as they were given."""
        with self.world.transaction():
            key, sent = request.form.get("key", ""), request.files.get("file")
            upload = self.world.uploads.get(key)
            if upload is None or sent is None or request.form.get("x-goog-signature") != upload.signature:
                return Response("<Error><Code>AccessDenied</Code></Error>", 403, content_type="application/xml")
            content = sent.stream.read().decode("utf-8")
            self.world.uploads.put(key, upload.model_copy(update={"content": content}))
        return Response(f"<PostResponse><Key>{key}</Key></PostResponse>", 201, content_type="application/xml")

    def give(self, token: str) -> Response:
        """The results of a finished operation, a line for each, in no promised order."""
        with self.world.transaction():
            row = next((one for one in self.world.bulk_operations if one.token == token), None)
            if row is None or row.status not in ("COMPLETED", "FAILED"):
                return Response("<Error><Code>NoSuchKey</Code></Error>", 404, content_type="application/xml")
            told = reversed(row.results) if row.kind == "MUTATION" else row.results
            found = Response("".join(f"{one}\n" for one in told), content_type="application/jsonl")
            found.add_etag()
            found.make_conditional(request, accept_ranges=True, complete_length=found.content_length)
            return found


def _refused(code: str, message: str) -> dict[str, Any]:
    return {"bulkOperation": None, "userErrors": [{"field": None, "message": message, "code": code}]}


def _problem(mutation: str) -> str:
    try:
        [operation] = [d for d in parse(mutation).definitions if isinstance(d, OperationDefinitionNode)]
    except (GraphQLError, ValueError) as error:
        return f"Failed to parse the mutation - {error}"
    fields = [one.name.value for one in operation.selection_set.selections if isinstance(one, FieldNode)]
    if operation.operation is not OperationType.MUTATION or len(fields) != 1:
        return "You must provide exactly one mutation field."
    return "" if fields[0] in ALLOWED else f"{fields[0]} cannot be run in bulk."


def _carried_out(document: DocumentNode, line: str, execute: Execute) -> dict[str, Any]:
    try:
        variables = json.loads(line)
    except ValueError:
        return {"errors": [{"message": "Invalid JSON"}]}
    return execute(document, variables)
