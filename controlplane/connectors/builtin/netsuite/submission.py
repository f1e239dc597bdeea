"""Records that are put asynchronously: queued under an idempotency key, looked at until the job is over.

The account takes a key once: told again, it names the job that the key began, which is then what became of the write. The external
id makes a second job harmless, so that one whose first job failed is submitted anew under a key of its own.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import httpx

from controlplane.clock import Clock
from controlplane.connectors import jobs
from controlplane.connectors.contract import Write
from controlplane.connectors.http import Answer, HttpClient
from controlplane.connectors.jobs import JobDoubtError, Progress
from controlplane.connectors.outcomes import AWAITED
from controlplane.errors import RejectedError
from rules.outcomes import Outcome, Result

QUEUED, REFUSED, NO_CONTENT = 202, 400, 204
PATIENCE = 20.0
"""Seconds that a job is waited for in one go; afterwards it is read back."""
AGAIN = 30.0
KEY = "X-NetSuite-Idempotency-Key"
TAKEN = "IDEMPOTENCY_ERROR"
JOBS = "/services/rest/async/v1/job/"
_JOB = re.compile(r"/async/v1/job/([^/?#]+)/?$")
_TASK = re.compile(r"/task/([^/?#]+)/?$")


class Submission:
    """Asynchronous requests of one account."""

    def __init__(self, http: HttpClient, auth: httpx.Auth, clock: Clock) -> None:
        self._http, self._auth, self._clock = http, auth, clock

    def put(self, path: str, body: dict[str, Any], request: Write) -> Outcome:
        """Put a record and wait for its job. Raises ConnectorError; a job that is not over is UNKNOWN, and awaited."""
        answer = self._submit(path, body, uuid5(NAMESPACE_URL, request.idempotency_key))
        if answer.status == REFUSED:
            told = self._known(answer)
            try:
                return self._outcome(told, answer)
            except RejectedError:  # that job failed; whatever was wrong may have been put right
                answer = self._submit(path, body, uuid4())
        if answer.status == NO_CONTENT:  # the account did it at once
            native = answer.headers.get("location", "").rpartition("/")[2]
            return Outcome(Result.DELIVERED, native_id=native or None, evidence=answer.evidence)
        if answer.status != QUEUED:
            answer.fail(f"answered a PUT to be queued with {answer.status}, and {QUEUED} is how it says that it is")
        return self._outcome(jobs.submitted(lambda: answer, _job), answer)

    def _submit(self, path: str, body: dict[str, Any], key: UUID) -> Answer:
        headers = {"Prefer": "respond-async", KEY: str(key)}
        return self._http.send("PUT", path, write=True, auth=self._auth, json=body, headers=headers, accept=(REFUSED,))

    def _known(self, answer: Answer) -> str:
        """Return the job that the key began already; any other 400 is a refusal."""
        if TAKEN not in answer.content.decode(errors="replace"):
            self._http.refuse(answer)
        return _job(answer) or answer.fail("says that the key was used, and not for which job")

    def _outcome(self, job: str, answer: Answer) -> Outcome:
        try:
            native = jobs.awaited(self._look, job, self._clock, writes=True, longest=PATIENCE)
        except JobDoubtError as error:
            return Outcome(
                Result.UNKNOWN, str(error), retry_after=AGAIN, evidence={**answer.evidence, AWAITED: f"job {job}"}
            )
        return Outcome(Result.DELIVERED, f"by job {job}", native_id=native, evidence=answer.evidence)

    def _look(self, job: str) -> Progress:
        told, answer = self._read(f"{JOBS}{job}")
        if not told.get("completed"):
            return Progress("running", f"it is {told.get('progress')}")
        listed, answer = self._read(f"{JOBS}{job}/task/")
        tasks = [match[1] for link in _links(listed) if (match := _TASK.search(link))]
        if not tasks:
            answer.fail(f"has no task for the job {job} that is over")
        task, _ = self._read(f"{JOBS}{job}/task/{tasks[0]}")
        result = self._http.send(
            "GET", f"{JOBS}{job}/task/{tasks[0]}/result", write=False, auth=self._auth, accept=(400, 404, 409)
        )
        if task.get("progress") == "succeeded":
            return Progress("done", result=result.headers.get("location", "").rpartition("/")[2] or None)
        return Progress("failed", _told(result))

    def _read(self, path: str) -> tuple[dict[str, Any], Answer]:
        answer = self._http.send("GET", path, write=False, auth=self._auth)
        found = answer.json()
        if not isinstance(found, dict):
            answer.fail("answered a job with something that is not an object")
        return found, answer


def _job(answer: Answer) -> str | None:
    found = _JOB.search(answer.headers.get("location", ""))
    return found[1] if found else None


def _links(listed: dict[str, Any]) -> list[str]:
    items = [item for item in listed.get("items") or () if isinstance(item, dict)]
    return [str(link.get("href")) for item in items for link in item.get("links") or () if link.get("rel") == "self"]


def _told(result: Answer) -> str:
    try:
        details = result.json()["o:errorDetails"]
        return "; ".join(f"{one.get('o:errorCode')}: {one.get('detail')}" for one in details)
    except (KeyError, TypeError, AttributeError):
        return f"its result was {result.status}"
