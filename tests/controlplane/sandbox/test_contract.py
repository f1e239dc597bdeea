"""The shop against the vendor's own schema and recorded answers, read from the shared specifications where present."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
)

from tests.controlplane.sandbox.client import SET, Client

REPO = Path(__file__).parents[3]
SHARED = Path(os.environ.get("TRUEUP_SHARED") or REPO.parent / "shared")
SPECS = SHARED / "specs" / "shopify"
RECORDED = SPECS / "recorded-2026-04" / "products"
OURS = REPO / "controlplane" / "sandbox" / "shop" / "schema.graphql"
pytestmark = pytest.mark.skipif(
    not SPECS.is_dir(), reason="the vendor's specifications are not at hand (TRUEUP_SHARED)"
)
SKU = "0007-BLK-M"


@cache
def vendors() -> GraphQLSchema:
    text = (SPECS / "admin-graphql-2026-04.schema.graphql").read_text(encoding="utf-8")
    return build_schema(text, assume_valid=True)


@cache
def ours() -> GraphQLSchema:
    return build_schema(OURS.read_text(encoding="utf-8"))


def own_types() -> list[str]:
    return [name for name in ours().type_map if not name.startswith("__")]


@pytest.mark.parametrize("name", own_types())
def test_each_type_is_a_subset_of_the_vendors(name: str) -> None:
    mine, theirs = ours().type_map[name], vendors().type_map.get(name)
    assert type(theirs) is type(mine), f"{name} is something else at the vendor's"
    if isinstance(mine, GraphQLEnumType) and isinstance(theirs, GraphQLEnumType):
        assert set(mine.values) <= set(theirs.values)
    if isinstance(mine, GraphQLInputObjectType) and isinstance(theirs, GraphQLInputObjectType):
        for field, wanted in mine.fields.items():
            assert str(wanted.type) == str(theirs.fields[field].type), f"{name}.{field}"
        required = {field for field, one in theirs.fields.items() if str(one.type).endswith("!")}
        assert required <= set(mine.fields)
    fielded = (GraphQLObjectType, GraphQLInterfaceType)
    if isinstance(mine, fielded) and isinstance(theirs, fielded):
        for field, offered in mine.fields.items():
            vendor = theirs.fields[field]
            assert str(offered.type) == str(vendor.type), f"{name}.{field}"
            for argument, given in offered.args.items():
                assert str(given.type) == str(vendor.args[argument].type), f"{name}.{field}({argument})"
            required = {argument for argument, one in vendor.args.items() if str(one.type).endswith("!")}
            assert required <= set(offered.args), f"{name}.{field}"


def test_the_directive_sits_where_the_vendors_does() -> None:
    mine, theirs = ours().get_directive("idempotent"), vendors().get_directive("idempotent")
    assert mine is not None
    assert theirs is not None
    assert (mine.locations, str(mine.args["key"].type)) == (theirs.locations, str(theirs.args["key"].type))


def recorded(file: str, *path: str) -> dict[str, Any]:
    found: Any = json.loads((RECORDED / file).read_text(encoding="utf-8"))
    for step in path:
        found = found[step]
    return dict(found)


def ask(sandbox: Client, variables: dict[str, Any], query: str = SET) -> dict[str, Any]:
    """Ask ours what the vendor was asked, its ids replaced by ours; unknown ones stay unknown."""
    given = json.loads(json.dumps(variables["input"]))
    for line in given["quantities"]:
        line["inventoryItemId"], line["locationId"] = sandbox.item_id(SKU), sandbox.location_id()
        if line.get("changeFromQuantity") is not None:
            line["changeFromQuantity"] = sandbox.truth(SKU)["shop_available"]
    return sandbox.shop(query, input=given, key=variables["idempotencyKey"])


def shape(value: Any) -> Any:
    """Keys and types; of lists the first element; of texts nothing but that they are."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


BULK = "bulk-operation-run-mutation-created-status.json"
PRODUCT_SET = (
    "mutation ($input: ProductSetInput!) { productSet(input: $input) { product { id } userErrors { message } } }"
)
CONTRACTS = "inventory-quantity-contracts-2026-04.json"


def test_a_successful_set_looks_like_the_recording(sandbox: Client) -> None:
    told = recorded(CONTRACTS, "inventorySetQuantities")
    got = ask(sandbox, told["variables"])
    want = told["response"]
    for answer in (got, want):
        for change in answer["data"]["inventorySetQuantities"]["inventoryAdjustmentGroup"]["changes"]:
            change.pop("ledgerDocumentUri", None)
    assert shape(got["data"]) == shape(want["data"])
    assert shape(got["extensions"]) == shape(want["extensions"])
    names = [c["name"] for c in got["data"]["inventorySetQuantities"]["inventoryAdjustmentGroup"]["changes"]]
    assert names == ["available", "on_hand"]


def test_a_missing_directive_is_refused_as_recorded(sandbox: Client) -> None:
    told = recorded(CONTRACTS, "missingSetIdempotency")
    bare = SET.replace("@idempotent(key: $key)", "").replace(", $key: String!", "")
    got, want = ask(sandbox, told["variables"], bare), told["response"]
    assert shape(got) == shape(want)
    assert got["errors"][0]["message"] == want["errors"][0]["message"]
    assert got["errors"][0]["extensions"] == want["errors"][0]["extensions"]


def test_a_missing_change_from_is_refused_as_recorded(sandbox: Client) -> None:
    told = recorded(CONTRACTS, "missingSetChangeFromQuantity")
    got, want = ask(sandbox, told["variables"]), told["response"]
    assert shape(got) == shape(want)
    assert got["errors"][0]["extensions"] == want["errors"][0]["extensions"]
    assert got["errors"][0]["message"] == want["errors"][0]["message"]


def test_a_field_of_an_older_version_is_refused_as_recorded(sandbox: Client) -> None:
    told = recorded(CONTRACTS, "legacySetShape")
    got, want = ask(sandbox, told["variables"]), told["response"]
    assert got["errors"][0]["message"] == want["errors"][0]["message"]
    assert got["errors"][0]["extensions"]["problems"] == want["errors"][0]["extensions"]["problems"]
    assert set(got) == set(want)


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("inventorySetQuantities-name-validation.json", ("cases", "damaged")),
        ("inventorySetQuantities-name-validation.json", ("cases", "committed")),
        ("inventorySetQuantities-name-validation.json", ("cases", "availableTooHigh")),
        ("inventorySetQuantities-name-validation.json", ("cases", "duplicatePair")),
        ("inventorySetQuantities-quantity-bounds.json", ("cases", "onHandNegative")),
        ("inventorySetQuantities-quantity-bounds.json", ("cases", "availableTooLow")),
        ("inventory-reason-validation.json", ("invalidReasonCases", "unknownReasonSet")),
        ("inventory-reason-validation.json", ("invalidReasonCases", "emptyReasonSet")),
    ],
)
def test_user_errors_are_those_recorded(sandbox: Client, file: str, path: tuple[str, ...]) -> None:
    told = recorded(file, *path)
    got = ask(sandbox, told["variables"])["data"]["inventorySetQuantities"]
    want = told["response"]["data"]["inventorySetQuantities"]
    assert got["userErrors"] == want["userErrors"]
    assert got["inventoryAdjustmentGroup"] == want["inventoryAdjustmentGroup"]


def test_a_bulk_operation_that_was_started_looks_like_the_recording(sandbox: Client) -> None:
    told = json.loads((SPECS / "recorded-2026-04" / "bulk-operations" / BULK).read_text(encoding="utf-8"))
    upload = told["setup"]["stagedUpload"]
    got = sandbox.shop(upload["query"], **upload["variables"])
    [mine], [theirs] = (one["data"]["stagedUploadsCreate"]["stagedTargets"] for one in (got, upload["response"]))
    assert {one["name"] for one in mine["parameters"]} <= {one["name"] for one in theirs["parameters"]}
    assert set(mine) == set(theirs)
    started = sandbox.start_bulk(["{}"], PRODUCT_SET)["bulkOperation"]
    poll = told["success"]["statusPolls"][0]
    got, want = sandbox.shop(poll["query"], id=started["id"])["data"], poll["response"]["data"]
    assert got["bulkOperation"].keys() == want["bulkOperation"].keys()
    assert {got["bulkOperation"][name] for name in ("status", "type")} == {
        want["bulkOperation"][n] for n in ("status", "type")
    }
    sandbox.shop(poll["query"], id=started["id"])
    done = sandbox.shop(poll["query"], id=started["id"])["data"]["bulkOperation"]
    recorded_end = told["success"]["statusPolls"][-1]["response"]["data"]["bulkOperation"]
    assert (done["status"], shape(done)) == (recorded_end["status"], shape(recorded_end))


RUN = (
    "mutation ($query: String!) { bulkOperationRunQuery(query: $query) "
    "{ bulkOperation { id status type errorCode createdAt completedAt objectCount rootObjectCount fileSize url partialDataUrl query } "
    "userErrors { field message code } } }"
)
OPERATIONS = SPECS / "recorded-2026-04" / "bulk-operations"


@pytest.mark.parametrize(
    "name",
    ["nodesInsteadOfEdges", "ordersNodesInsteadOfEdges", "topLevelNode", "depthThreeNesting", "sixConnections",
     "nestedWithoutParentId", "invalidOperationType", "noConnectionWithCode", "emptyQuery"],
)  # fmt: skip
def test_bulk_queries_are_refused_as_recorded(sandbox: Client, name: str) -> None:
    files = ("bulk-operation-run-query-validators.json", "bulk-operation-run-query-user-error-codes.json")
    told = {
        key: one
        for file in files
        for key, one in json.loads((OPERATIONS / file).read_text(encoding="utf-8"))["validations"].items()
    }[name]
    got = sandbox.shop(RUN, query=told["variables"]["query"])["data"]["bulkOperationRunQuery"]
    want = told["response"]["data"]["bulkOperationRunQuery"]
    assert (got["bulkOperation"], got["userErrors"]) == (want["bulkOperation"], want["userErrors"])


def test_five_bulk_queries_run_at_once_and_one_is_cancelled_as_recorded(sandbox: Client) -> None:
    told = json.loads((OPERATIONS / "bulk-operation-run-query-concurrency-limit.json").read_text(encoding="utf-8"))
    query = told["sixthRun"]["variables"]["query"]
    field = RUN[RUN.index("bulkOperationRunQuery") : -1]
    all_at_once = "mutation ($query: String!) { " + " ".join(f"n{at}: {field}" for at in range(6)) + " }"
    *first, sixth = sandbox.shop(all_at_once, query=query)["data"].values()
    begun = [one["bulkOperation"] for one in first]
    want = told["successfulRuns"][0]["response"]["data"]["bulkOperationRunQuery"]["bulkOperation"]
    assert shape(begun[0]) == shape(want)
    assert (begun[0]["status"], begun[0]["type"], begun[0]["objectCount"]) == ("CREATED", "QUERY", "0")
    want = told["sixthRun"]["response"]["data"]["bulkOperationRunQuery"]
    assert sixth["userErrors"][0]["code"] == want["userErrors"][0]["code"]
    assert sixth["userErrors"][0]["message"].partition(":")[0] == want["userErrors"][0]["message"].partition(":")[0]
    attempt = told["cancelAttempts"][0]
    got = sandbox.shop(attempt["query"], id=begun[4]["id"])["data"]["bulkOperationCancel"]
    want = attempt["response"]["data"]["bulkOperationCancel"]
    assert (shape(got["bulkOperation"]), got["userErrors"]) == (shape(want["bulkOperation"]), want["userErrors"])
    assert (got["bulkOperation"]["status"], want["bulkOperation"]["status"]) == ("CANCELING", "CANCELING")
