"""Asynchronous requests: taken on under a key that is good once, carried out with the requests that come later, told of as job and task."""

import json
from typing import Any

from flask import Response, request

from controlplane.sandbox.clock import iso_s
from controlplane.sandbox.erp.documents import Ledger
from controlplane.sandbox.erp.problems import ErpError, response
from controlplane.sandbox.records import ErpJob
from controlplane.sandbox.world import World

PATH = "/services/rest/async/v1/job"
NEXT = {"pending": "processing"}


class Jobs:
    """The jobs of the account. Called with the world locked."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        self.world, self.ledger = world, ledger
        self.held = False
        """Whether jobs wait; switched through the control API."""

    def take_on(self, kind: str, external_id: str, body: dict[str, Any], key: str | None) -> Response:
        """Queue a record; a key that was used names its job."""
        known = next((row for row in self.world.erp_jobs if key and row.key == key), None)
        if known is not None:
            told = 'A request with the same idempotency key is already submitted. See the "Location" header for a link to it'
            refused = response(ErpError(400, "IDEMPOTENCY_ERROR", told))
            refused.headers |= {"Preference-Applied": "respond-async", "Location": f"{PATH}/{known.id}"}
            body_told = json.loads(refused.get_data()) | {"title": "Conflict"}
            refused.set_data(json.dumps(body_told))
            return refused
        number = 1 + self.world.counters.next("erp_job")
        row = ErpJob(id=number, key=key, kind=kind, external_id=external_id, body=body, began_at=self.world.clock.now())
        self.world.erp_jobs.put(str(number), row)
        head = {"Preference-Applied": "respond-async", "Location": f"{PATH}/{number}"}
        return Response(status=202, headers=head, content_type="application/json")

    def step(self) -> None:
        """Let what is queued get on."""
        for row in [] if self.held else [row for row in self.world.erp_jobs if row.ended_at is None]:
            if row.progress in NEXT:
                row.progress = NEXT[row.progress]
            else:
                self._carry_out(row)
            self.world.erp_jobs.put(str(row.id), row)

    def _carry_out(self, row: ErpJob) -> None:
        row.ended_at = self.world.clock.now()
        try:
            row.native_id = self.ledger.upsert(row.kind, row.external_id, row.body).id
            row.progress = "succeeded"
        except ErpError as problem:
            row.progress = "failed"
            row.problem = [problem.status, problem.code, problem.detail, problem.path]

    # --- telling ---
    def job(self, number: int) -> dict[str, Any]:
        """`GET async/v1/job/{id}`."""
        row = self._row(number)
        told = {"completed": row.ended_at is not None, "id": str(row.id), "progress": row.progress}
        return {"links": [_link(f"/{row.id}")], **told, "task": {"links": [_link(f"/{row.id}/task")]}}

    def tasks(self, number: int) -> dict[str, Any]:
        """`GET async/v1/job/{id}/task/`: one."""
        return {"links": [], "count": 1, "items": [{"links": [_link(f"/{self._row(number).id}/task/1")]}]}

    def task(self, number: int) -> dict[str, Any]:
        """`GET async/v1/job/{id}/task/1`."""
        row = self._row(number)
        ended = {"endTime": iso_s(row.ended_at)} if row.ended_at else {}
        told = {
            "completed": row.ended_at is not None,
            "id": "1",
            "progress": row.progress,
            "startTime": iso_s(row.began_at),
        }
        return {"links": [_link(f"/{row.id}/task/1/result", "related"), _link(f"/{row.id}/task/1")], **told, **ended}

    def result(self, number: int, where: str) -> Response:
        """`GET async/v1/job/{id}/task/1/result`: as it would have been answered at once."""
        row = self._row(number)
        if row.problem:
            return response(ErpError(*row.problem))
        if row.native_id is None:
            raise ErpError(404, "NONEXISTENT_ID", "The result is not available yet.")
        return Response(status=204, headers={"Location": f"{where}/{row.kind}/{row.native_id}"})

    def _row(self, number: int) -> ErpJob:
        row = self.world.erp_jobs.get(str(number))
        if row is None:
            raise ErpError(404, "NONEXISTENT_ID", "The job does not exist.")
        return row


def _link(below: str, relation: str = "self") -> dict[str, str]:
    return {"rel": relation, "href": f"{request.host_url.rstrip('/')}/erp{PATH}{below}"}
