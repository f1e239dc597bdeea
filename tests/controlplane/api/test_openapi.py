"""The description of the API: valid OpenAPI 3.1, of every route, and held to: what it does not allow is refused before anything is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_31

from controlplane.api.contract import CONTRACTS, contract
from controlplane.api.openapi import document
from controlplane.api.schemas import TEXT, Schemas
from controlplane.app import create_app
from controlplane.wiring import Plane
from rules.policy.kinds import KINDS
from tests.web import a_plane, served, signed_in


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    home: Path = tmp_path_factory.mktemp("home")
    with a_plane(home) as found:
        yield found


@pytest.fixture(scope="module")
def url(plane: Plane) -> Iterator[str]:
    with served(plane) as found:
        yield found


@pytest.fixture(scope="module")
def vic(url: str) -> Iterator[httpx.Client]:
    """A viewer."""
    with closing(signed_in(url, "vic")) as client:
        yield client


@pytest.fixture(scope="module")
def olga(url: str) -> Iterator[httpx.Client]:
    """An operator."""
    with closing(signed_in(url, "olga")) as client:
        yield client


@pytest.fixture(scope="module")
def told(vic: httpx.Client) -> dict[str, Any]:
    """What the plane says of its API."""
    found: dict[str, Any] = vic.get("/api/v1/openapi.json").json()
    return found


def operations(told: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_it_is_valid_openapi_and_its_schemas_are_valid_json_schema(told: dict[str, Any]) -> None:
    assert [error.message for error in Draft202012Validator(OPENAPI_31).iter_errors(told)] == []
    for schema in told["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in set(references(told)):
        place: Any = told
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def schemas(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from schemas(inner)


def test_bounds_are_told_in_the_words_of_json_schema(told: dict[str, Any]) -> None:
    """Words that it does not know bind nobody who reads it: pydantic leaves its own where a union hides what is bounded."""
    strange = {"ge", "gt", "le", "lt", "min_length", "max_length", "multiple_of"}
    assert [one for one in schemas(told) if "type" in one and strange & one.keys()] == []


def test_every_route_is_in_it_with_what_it_does_and_the_right_that_it_takes(plane: Plane, told: dict[str, Any]) -> None:
    rules = [one for one in create_app(plane, mounts=[]).url_map.iter_rules() if one.rule.startswith("/api/v1/")]
    assert len(list(operations(told))) == sum(len((one.methods or set()) - {"HEAD", "OPTIONS"}) for one in rules)
    for path, method, operation in operations(told):
        assert operation["summary"], (path, method)
        assert any(way.get("token") for way in operation["security"]), (path, method)
        assert {"401", "403", "503"} <= operation["responses"].keys()
    assert {*KINDS} <= told["components"]["schemas"].keys()


def test_a_handler_that_declares_nothing_is_not_described_in_silence() -> None:
    app = Flask("bare")
    app.add_url_rule("/api/v1/bare", "bare", lambda: "")
    with pytest.raises(LookupError, match="bare has no contract"):
        document(app)
    declared = contract({"name": TEXT})(lambda: "")
    app = Flask("declared")
    app.add_url_rule("/api/v1/declared", "declared", declared)
    assert list(document(app)["paths"]) == ["/api/v1/declared"]


def test_who_lacks_the_right_that_it_names_is_refused_before_the_request_is_read(
    vic: httpx.Client, told: dict[str, Any]
) -> None:
    for path, method, operation in operations(told):
        rights = {right for way in operation["security"] for right in way.get("token", ())}
        if "view" not in rights:
            answer = vic.request(method, path.replace("{", "").replace("}", ""), content=b"{")
            assert (answer.status_code, any(right in answer.text for right in rights)) == (403, True), path


def test_no_answer_takes_the_name_of_the_problem_document(told: dict[str, Any]) -> None:
    """A type of that name would take its place, or it that type's: describe the answer by its keys instead."""
    used = [made.gives for made in CONTRACTS.values()]
    assert "Problem" not in Schemas([each for gives in used for each in gives.values()], []).components
    assert told["components"]["schemas"]["Problem"]["required"] == ["type", "title", "status", "detail"]


REFUSED: tuple[tuple[str, str, dict[str, Any], int, str], ...] = (
    ("GET", "/findings?al=1", {}, 422, "no parameter 'al' here; it takes: limit, cursor, since, until, all, comparison"),
    ("GET", "/me?x=1", {}, 422, "it takes none"),
    ("GET", "/findings?all=1&all=0", {}, 422, "more than once"),
    ("GET", "/findings?limit=0", {}, 422, "`limit`: Input should be greater than or equal to 1"),
    ("GET", "/findings?limit=99999999999999999999", {}, 422, "`limit`"),
    ("GET", "/findings?all=maybe", {}, 422, "'maybe' is none of 1, true, yes"),
    ("GET", "/findings?cursor=WyJpbmNpZGVudHMiLDEsIngiXQ", {}, 422, "none that this list gives"),
    ("GET", "/findings?cursor=%F0%9F%A4%96", {}, 422, "none that this list gives"),
    ("GET", "/flows/a%00b", {}, 404, "no text that is kept"),
    ("GET", f"/flows/{'x' * 201}", {}, 404, "too long"),
    ("DELETE", "/flows/orders", {}, 405, "takes GET, HEAD, OPTIONS, and no DELETE"),
    ("GET", "/nothing", {}, 404, "GET /api/v1/ lists the routes"),
    ("POST", "/systems/erp/pause", {"content": b"reason=x"}, 415, "send a JSON object"),
    ("POST", "/quarantine/x/correct", {}, 415, "send a JSON object"),
    ("POST", "/systems/erp/pause", {"json": ["reason"]}, 422, "urn:trueup:malformed"),
    ("POST", "/systems/erp/pause", {"json": {"reason": "a\0b"}}, 422, "`reason`"),
    ("POST", "/systems/erp/pause", {"json": {"reason": 5}}, 422, "`reason`: Input should be a valid string"),
    ("POST", "/systems/erp/pause", {"json": {"reason": "x", "resaon": "y"}}, 422, "`resaon`"),
    ("POST", "/replays", {"content": b'{"rate": NaN}', "headers": {"Content-Type": "application/json"}}, 422, "no JSON"),
)  # fmt: skip


@pytest.mark.parametrize(("method", "path", "sent", "status", "words"), REFUSED)
def test_what_breaks_the_contract_is_refused_in_words(
    olga: httpx.Client, method: str, path: str, sent: dict[str, Any], status: int, words: str
) -> None:
    answer = olga.request(method, f"/api/v1{path}", **sent)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert words in answer.text
    assert answer.headers.get("Allow") == ("GET, HEAD, OPTIONS" if status == 405 else None)


def test_an_address_says_by_which_methods_it_is_asked(vic: httpx.Client) -> None:
    for path, methods in (("/quarantine/drop", "POST, OPTIONS"), ("/change-requests/x", "GET, PUT, HEAD, OPTIONS")):
        answer = vic.options(f"/api/v1{path}")
        assert (answer.status_code, answer.headers["Allow"]) == (204, methods)


def test_each_kind_of_policy_is_published_as_json_schema_which_the_shipped_policies_fit(
    vic: httpx.Client, plane: Plane
) -> None:
    listed = vic.get("/api/v1/schemas").json()["schemas"]
    assert [one["kind"] for one in listed] == list(KINDS)
    schemas = {one["kind"]: vic.get(one["path"]).json() for one in listed}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    for policy in plane.registry.snapshot().documents.values():
        written = policy.model_dump(mode="json")
        Draft202012Validator(schemas[policy.kind]).validate(written)
        assert not Draft202012Validator(schemas[policy.kind]).is_valid({**written, "spec": {"nonsense": 1}})
    wrong = vic.get("/api/v1/schemas/flow")
    assert (wrong.status_code, "did you mean 'Flow'?" in wrong.json()["detail"]) == (404, True)
