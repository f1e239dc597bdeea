"""schemathesis holds the API against its own description: every check, links followed, on both databases, as an admin and an editor.

Over loopback, on a real plane with a seeded store. The examples are bounded and the same each time; `-m slow` draws many more.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis.checks import CheckContext
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished

from controlplane.access import ensure_admin, issue_token
from controlplane.store import Store
from controlplane.wiring import Plane
from tests.dashboards.seed import Seed
from tests.web import a_plane, served

WHERE = "/api/v1/openapi.json"
CHECKS: dict[str, Any] = {
    "enabled": True,
    # what the schema allows may break a rule that no schema can tell (a name that nothing has, a document that the registry would
    # not hold with, an ETag of yesterday): 412 and 422 are right then, unless it was called malformed; see the check below
    "positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "409", "412", "422"]},
    # what is stale is refused as such, whatever is wrong with the document that was to replace it
    "negative_data_rejection": {"expected-statuses": ["401", "403", "404", "405", "409", "412", "415", "422", "428"]},
    "missing_required_header": {
        "expected-statuses": ["401", "403", "404", "422", "428"]
    },  # RFC 6585 has 428 for If-Match
}

WITHOUT_EDGES = {
    "include-operation-id": ["deeds_open_request", "deeds_edit_request"], "phases": {"coverage": {"enabled": False}},
}  # fmt: skip


@schemathesis.check
def what_the_schema_allows_is_not_called_malformed(ctx: CheckContext, response: Any, case: Any) -> None:
    """The declaration and the check of it are one, so they cannot disagree."""
    if case.meta is not None and case.meta.generation.mode.is_positive and response.status_code == 422:
        assert response.json().get("type") != "urn:trueup:malformed", response.text


def settings(token: str, examples: int, walks: int, *, edges: str = "all", seed: int = 1) -> SchemathesisConfig:
    """All checks: so many examples of each operation, so many walks along the links, and every edge of the schemas.

    `edges`: none of them, those of all operations, or of those only that take no policy document.
    """
    generation = {"max-examples": examples, "deterministic": True, "database": "none"}
    walking = {"max-steps": 8, "generation": {**generation, "max-examples": walks}}
    return SchemathesisConfig.from_dict(
        {
            "seed": seed, "suppress-health-check": ["all"], "headers": {"Authorization": f"Bearer {token}"},
            "generation": generation, "checks": CHECKS, "continue-on-failure": True,
            "phases": {"coverage": {"enabled": edges != "none"}, "stateful": walking},
            "operations": [WITHOUT_EDGES] if edges == "small" else [],
        }
    )  # fmt: skip


def found(plane: Plane, who: str, examples: int, walks: int, **more: Any) -> list[str]:
    """Return what schemathesis finds at a plane, as somebody: a line for each failure, with how to see it again."""
    token = issue_token(plane.store, plane.clock, who, "schemathesis", actor="test")
    config = settings(token, examples, walks, **more)
    lines: dict[str, str] = {}
    with served(plane) as url:
        schema = schemathesis.openapi.from_url(
            f"{url}{WHERE}", config=config, headers={"Authorization": f"Bearer {token}"}
        )
        for event in from_schema(schema).execute():
            if isinstance(event, FatalError | NonFatalError):
                lines[str(event.info)] = f"{type(event).__name__}: {event.info}"
            if isinstance(event, ScenarioFinished):
                lines |= dict(_failures(event))
    return list(lines.values())


def _failures(event: ScenarioFinished) -> Iterator[tuple[str, str]]:
    for checks in event.recorder.checks.values():
        for check in checks:
            if check.status is Status.FAILURE and check.failure_info is not None:
                failure = check.failure_info.failure
                told = f"{event.phase} {event.recorder.label} {check.name}: {failure.title}: {failure.message}"
                yield (
                    f"{event.recorder.label} {check.name} {failure.title}",
                    f"{told}\n    {check.failure_info.code_sample}",
                )


@pytest.fixture
def plane(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plane]:
    """A plane with a story in it, on each database."""
    url = ""
    if request.param == "postgresql":
        store: Store = request.getfixturevalue("postgresql_store")
        url = store.engine.url.render_as_string(hide_password=False)
    # without a token it asks as well, and more often than anybody may
    with a_plane(tmp_path, database_url=url, rate_refused="") as made:
        ensure_admin(made.store, made.clock, "a password of twenty")
        story = Seed(made)
        story.everything()
        story.business()
        yield made


SHORT = [
    # an admin may do all that an editor may; the edges take the longest, and those of the policies' thirteen schemas, which `-m slow`
    # has, most of it
    ("admin", "sqlite", "small"), ("ada", "sqlite", "none"), ("admin", "postgresql", "small"), ("ada", "postgresql", "none"),
]  # fmt: skip


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("who", "plane", "edges"), SHORT, indirect=["plane"])
def test_schemathesis_finds_nothing(plane: Plane, who: str, edges: str) -> None:
    problems = found(plane, who, examples=3, walks=15, edges=edges)
    assert not problems, "\n\n".join(problems)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("who", ["admin", "ada", "olga"])
@pytest.mark.parametrize("plane", ["sqlite", "postgresql"], indirect=True)
def test_schemathesis_finds_nothing_in_long(plane: Plane, who: str) -> None:
    problems = found(plane, who, examples=100, walks=300, seed=2)
    assert not problems, "\n\n".join(problems)
