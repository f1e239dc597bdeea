"""Work that a system does later: submitted once, whatever becomes of the answer; looked at until it is over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controlplane.clock import ManualClock
from controlplane.connectors import jobs
from controlplane.connectors.http import Answer, HttpClient
from controlplane.connectors.jobs import JobDoubtError, JobRunningError, Progress
from controlplane.connectors.redaction import Redactor
from controlplane.errors import RejectedError, UnavailableError, UnknownOutcomeError, UnreadableError
from tests.controlplane.connectors.bad_server import BadServer, Habit
from tests.controlplane.connectors.conftest import START, Given
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

Begin = Callable[[Callable[[Asked], Reply]], ScriptedServer]


class Exporter:
    """Takes on an export; answers each look with the next reply, the last one for ever."""

    def __init__(self, *looks: Reply) -> None:
        self.looks = list(looks)

    def __call__(self, asked: Asked) -> Reply:
        if asked.method == "POST":
            return Reply(202, {"id": "job-1"})
        if asked.path.startswith("/results"):
            return Reply(body={"rows": [1, 2]})
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


def stands(state: str, **more: object) -> Reply:
    return Reply(body={"state": state, **more})


def run(server: ScriptedServer, *, writes: bool = False, longest: float = 600.0) -> object:
    clock = ManualClock(START, pace=0.001)
    http = HttpClient(Given(server.url, clock=clock, timeout=2000.0).context(), Redactor())

    def look(handle: str) -> Progress:
        told = http.send("GET", f"/jobs/{handle}", write=False).json()
        return Progress(told["state"], told.get("why", ""), told.get("result"), told.get("wait"))

    handle = jobs.submitted(lambda: http.send("POST", "/jobs", write=writes), lambda a: str(a.json()["id"]))
    where = jobs.awaited(look, handle, clock, writes=writes, longest=longest)
    return http.send("GET", str(where), write=False).json()


def test_a_job_is_submitted_once_looked_at_until_it_is_done_and_fetched(scripted: Begin) -> None:
    running = stands("running")
    server = scripted(Exporter(running, running, stands("done", result="/results/1")))
    assert run(server) == {"rows": [1, 2]}
    assert server.paths() == ["POST /jobs", *["GET /jobs/job-1"] * 3, "GET /results/1"]


def test_a_look_that_fails_for_now_is_repeated_and_the_submission_is_not(scripted: Begin) -> None:
    server = scripted(
        Exporter(Reply(503), Reply(429, headers={"Retry-After": "3"}), stands("done", result="/results/1"))
    )
    assert run(server) == {"rows": [1, 2]}
    assert server.paths().count("POST /jobs") == 1


def test_a_job_that_failed_says_why(scripted: Begin) -> None:
    with pytest.raises(RejectedError, match="job-1 failed: line 7 has no account"):
        run(scripted(Exporter(stands("failed", why="line 7 has no account"))))


@pytest.mark.parametrize(("writes", "kind"), [(False, JobRunningError), (True, JobDoubtError)])
def test_a_job_that_does_not_end_in_time_is_named_and_a_write_is_then_in_doubt(
    scripted: Begin, writes: bool, kind: type[JobRunningError | JobDoubtError]
) -> None:
    with pytest.raises(kind, match="not over after 5 s") as raised:
        run(scripted(Exporter(stands("running"))), writes=writes, longest=5)
    assert raised.value.handle == "job-1"
    assert isinstance(raised.value, UnknownOutcomeError if writes else UnavailableError)


def test_a_submission_without_an_answer_is_never_repeated(bad_server: BadServer) -> None:
    bad_server.script(Habit(cut=True))
    http = HttpClient(Given(bad_server.url).context(), Redactor())
    with pytest.raises(UnknownOutcomeError):
        jobs.submitted(lambda: http.send("POST", "/jobs", write=True), lambda a: str(a.json()["id"]))
    assert len(bad_server.asked) == 1


@pytest.mark.parametrize(("write", "kind"), [(True, UnknownOutcomeError), (False, UnreadableError)])
def test_a_submission_that_names_no_job_breaks_the_contract(
    bad_server: BadServer, write: bool, kind: type[Exception]
) -> None:
    http = HttpClient(Given(bad_server.url).context(), Redactor())

    def handle(answer: Answer) -> str | None:
        found: str | None = answer.json().get("id")
        return found

    with pytest.raises(kind, match="did not say which one"):
        jobs.submitted(lambda: http.send("POST", "/jobs", write=write), handle)
