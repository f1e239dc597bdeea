"""The shop's bulk operations: what is uploaded is carried out line by line, and what came of it can be fetched."""

import json

from tests.controlplane.sandbox.client import Client

SET = """
mutation Set($input: ProductSetInput!, $identifier: ProductSetIdentifiers) {
  productSet(input: $input, identifier: $identifier) { product { id handle } userErrors { code field message } } }"""
LOOK = "query ($id: ID!) { bulkOperation(id: $id) { id status type errorCode createdAt completedAt objectCount fileSize url query } }"
OPTIONS = [{"name": "Title", "values": [{"name": "Default Title"}]}]
VALUES = [{"optionName": "Title", "name": "Default Title"}]


def line(number: int, price: str = "5.00") -> str:
    variant = {"sku": f"N-{number}", "price": price, "optionValues": VALUES}
    told = {"title": f"New {number}", "productOptions": OPTIONS, "variants": [variant]}
    return json.dumps({"input": told, "identifier": {"handle": f"n-{number}"}})


def finished(sandbox: Client, name: str) -> dict[str, str]:
    for _ in range(20):
        row = sandbox.shop(LOOK, id=name)["data"]["bulkOperation"]
        if row["status"] == "COMPLETED":
            return dict(row)
    raise AssertionError(row)


def test_each_line_is_carried_out_and_told_of_by_its_number(sandbox: Client) -> None:
    started = sandbox.start_bulk([*(line(number) for number in range(400)), "{}", line(7, "-1")], SET)["bulkOperation"]
    assert (started["status"], started["url"]) == ("CREATED", None)
    assert sandbox.shop(LOOK, id=started["id"])["data"]["bulkOperation"]["status"] == "RUNNING"
    row = finished(sandbox, started["id"])
    told = {one["__lineNumber"]: one for one in map(json.loads, sandbox.http.get(row["url"]).text.splitlines())}
    assert (len(told), row["objectCount"]) == (402, "402")
    assert told[3]["data"]["productSet"]["product"]["handle"] == "n-3"
    assert "errors" in told[400]
    assert told[401]["data"]["productSet"]["userErrors"][0]["code"] == "INVALID_VARIANT"


def test_a_file_that_was_not_uploaded_and_a_mutation_that_is_none_are_refused(sandbox: Client) -> None:
    run = (
        "mutation ($m: String!, $p: String!) { bulkOperationRunMutation(mutation: $m, stagedUploadPath: $p) "
        "{ bulkOperation { id } userErrors { code } } }"
    )
    for mutation, code in (
        (SET, "NO_SUCH_FILE"),
        ("{ shop { name } }", "INVALID_MUTATION"),
        ("mutation {", "INVALID_MUTATION"),
    ):
        payload = sandbox.shop(run, m=mutation, p="tmp/nothing")["data"]["bulkOperationRunMutation"]
        assert (payload["bulkOperation"], payload["userErrors"][0]["code"]) == (None, code)


def test_an_upload_without_its_signature_is_refused(sandbox: Client) -> None:
    sent = sandbox.http.post("/shop/staged-uploads/", data={"key": "tmp/x"}, files={"file": ("x", b"{}")})
    assert sent.status_code == 403


def test_set_by_handle_makes_a_product_once_and_changes_it_then(sandbox: Client) -> None:
    first = sandbox.shop(SET, **json.loads(line(1)))["data"]["productSet"]["product"]
    again = sandbox.shop(SET, **json.loads(line(1, "7.5")))["data"]["productSet"]["product"]
    assert first == again
    asked = "{ productVariants(first: 5, query: \"sku:'N-1' OR sku:'0007-BLK-M'\") { nodes { sku price } } }"
    found = {one["sku"]: one["price"] for one in sandbox.shop(asked)["data"]["productVariants"]["nodes"]}
    assert found["N-1"] == "7.50"
    assert set(found) == {"N-1", "0007-BLK-M"}


RUN_QUERY = "mutation ($q: String!) { bulkOperationRunQuery(query: $q) { bulkOperation { id status } userErrors { message code } } }"
LEVELS = (
    "{ inventoryItems { edges { node { id sku inventoryLevels { edges { node { id location { id } "
    'quantities(names: ["available"]) { name quantity } } } } } } } }'
)
PARTS = (
    "query ($id: ID!) { bulkOperation(id: $id) { status errorCode objectCount rootObjectCount url partialDataUrl } }"
)


def begun(sandbox: Client, query: str = LEVELS) -> str:
    return str(sandbox.shop(RUN_QUERY, q=query)["data"]["bulkOperationRunQuery"]["bulkOperation"]["id"])


def test_a_query_leaves_a_line_for_each_object_and_children_name_their_parent(sandbox: Client) -> None:
    row = finished(sandbox, begun(sandbox))
    told = [json.loads(line) for line in sandbox.http.get(row["url"]).text.splitlines()]
    parents = {one["id"]: one["sku"] for one in told if "__parentId" not in one}
    children = [one for one in told if "__parentId" in one]
    assert (len(parents), len(children), row["objectCount"]) == (8, 8, "16")
    assert {parents[one["__parentId"]] for one in children} == set(parents.values())
    assert len(sandbox.http.get(row["url"]).content) == int(row["fileSize"])


def test_an_operation_that_fails_leaves_only_a_part(sandbox: Client) -> None:
    name = begun(sandbox)
    assert sandbox.control("POST", "/shop/bulk", {"status": "FAILED", "error_code": "TIMEOUT"}).json() == {"ended": 1}
    row = sandbox.shop(PARTS, id=name)["data"]["bulkOperation"]
    assert (row["status"], row["errorCode"], row["url"]) == ("FAILED", "TIMEOUT", None)


def test_a_file_is_good_for_seven_days(sandbox: Client) -> None:
    name = begun(sandbox)
    row = finished(sandbox, name)
    sandbox.advance("2026-12-04T06:00:01Z")
    late = sandbox.shop(PARTS, id=name)["data"]["bulkOperation"]
    assert (late["status"], late["url"]) == ("EXPIRED", None)
    assert sandbox.http.get(row["url"]).status_code == 404


def test_the_rest_of_a_file_is_given_to_whom_has_the_beginning(sandbox: Client) -> None:
    row = finished(sandbox, begun(sandbox))
    whole = sandbox.http.get(row["url"])
    rest = sandbox.http.get(row["url"], headers={"Range": "bytes=100-", "If-Range": whole.headers["etag"]})
    assert (rest.status_code, rest.content) == (206, whole.content[100:])
    other = sandbox.http.get(row["url"], headers={"Range": "bytes=100-", "If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, whole.content)
