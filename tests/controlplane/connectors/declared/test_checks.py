"""A manifest is refused with the place, the rule and the remedy; what it cannot promise is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from controlplane.connectors.declared.checks import LARGEST, ManifestError, check, document_of, shipped
from controlplane.connectors.declared.manifest import Document
from controlplane.connectors.declared.promises import shortfalls
from controlplane.registry.manifests import declared_connectors
from controlplane.registry.packs import check as check_packs
from rules.policy.problems import Problem
from tests.controlplane.connectors.declared.acme import MANIFEST, manifest


def flaws(given: Any) -> list[tuple[str, str, str]]:
    return [(".".join(path), rule, remedy) for path, rule, remedy in check("https://acme.example", {"manifest": given})]


def test_a_good_manifest_has_no_flaw_and_the_published_form_takes_it() -> None:
    assert flaws(manifest()) == []
    Draft202012Validator(Document.model_json_schema()).validate(
        yaml.safe_load(MANIFEST.replace("409:", '"409":').replace("423:", '"423":').replace("412:", '"412":'))
    )


@pytest.mark.parametrize(("change", "place", "rule"), [
    ({"reads__0__identity": "a..b"}, "reads.0.identity", "is no JMESPath expression"),
    ({"reads__0__records": "|".join(["[@,@]", "[]"] * 40)}, "reads.0.records", "copies what it finds more than 10000 times"),
    ({"reads__0__records": "|".join(["{a: @, b: @}"] * 14)}, "reads.0.records", "copies what it finds more than 10000 times"),
    ({"reads__0__messages__0__fields__sku__path": "a["}, "reads.0.messages.0.fields.sku.path", "is no JMESPath expression"),
    ({"reads__0__messages__0__fields__sku": {"path": "a", "value": "b"}}, "reads.0.messages.0.fields.sku", "exactly one of path, value"),
    ({"reads__0__messages__0__fields__sku": {"code": "sku"}}, "reads.0.messages.0.fields.sku", "exactly one of path, value"),
    ({"reads__0__messages__0__fields__sky": "a"}, "reads.0.messages.0", "stock.level has no field sky"),
    ({"reads__0__messages__0__fields__sku": None}, "reads.0.messages.0", "stock.level needs sku"),
    ({"reads__0__messages__0__type": "stock.levle"}, "reads.0.messages.0.type", "there is no message type 'stock.levle'"),
    ({"reads__0__paging__token": None}, "reads.0.paging", "paging by token needs `token`"),
    ({"reads__0__paging__kind": "pages"}, "reads.0.paging.kind", "input should be 'none'"),
    ({"reads__0__request__params__cursor": None}, "reads.0.request", "no request asks by `page`"),
    ({"reads__0__request__params__updated_since": None}, "reads.0.request", "no request asks by it"),
    ({"reads__0__request__path": "https://evil.example/x"}, "reads.0.request.path", "is no path below the endpoint"),
    ({"reads__0__request__path": "//evil.example/x"}, "reads.0.request.path", "is no path below the endpoint"),
    ({"reads__0__request__path": "/a/../../x"}, "reads.0.request.path", "is no path below the endpoint"),
    ({"reads__0__request__params__limit": {"secret": "token"}}, "reads.0", "takes a secret"),
    ({"reads__0__request__params__limit": {"option": "size"}}, "options", "takes the option 'size', which is not declared"),
    ({"reads__0__messages__0__fields__sku__code": "article"}, "reads.0.messages.0.fields.sku.code", "no Mapping is of 'article'"),
    ({"reads__0__since__zone": "Mars/Olympus"}, "reads.0.since.zone", "is no time zone"),
    ({"reads__1__entity": "stock"}, "", "`reads` has 'stock' twice"),
    ({"access__kind": "magic"}, "access", "does not match any of the expected tags"),
    ({"access": {"kind": "client_credentials", "token": "http://login.example/token"}}, "access.token", "is neither a path"),
    ({"writes__0__request__headers": None}, "writes.0", ""),
    ({"writes__0__answers": {500: "delivered"}}, "writes.0", "`answers` gives 500 a meaning"),
    ({"writes__0__answers": {401: "rejected"}}, "writes.0", "`answers` gives 401 a meaning"),
    ({"writes__0__guarantee": "readable", "writes__0__lookup": None}, "writes.0", "the guarantee readable needs `lookup`"),
    ({"writes__1__condition": None}, "writes.1", "the guarantee conditional needs `condition`"),
    ({"writes__0__request__operation": "Book", "writes__0__request__body": None}, "writes.0.request", "take no `headers`"),
    ({"writes__1__request": {"path": "/g", "graphql": "mutation", "variables": {"n": "payload.quantity"}}}, "writes.1", "are of HTTP"),
    ({"reads__1__messages__0__fields__ref": "customer.id"}, "reads.1.messages.0.fields.ref", "tells of a person"),
    ({"reads__1__messages__0__fields__lines__fields__native_id": {"path": "item.Email", "as": "text"}},
     "reads.1.messages.0.fields.lines", "it takes 'Email'"),
    ({"writes__0__guarante": "keyed"}, "writes.0.guarante", "'guarante' is not known here"),
    ({"writes__0__guarantee": None}, "writes.0.guarantee", "'guarantee' is missing"),
])  # fmt: skip
def test_each_flaw_is_told_with_its_place_the_rule_and_the_remedy(
    change: dict[str, Any], place: str, rule: str
) -> None:
    if rule == "":  # without the header the key stands nowhere: neither in the path nor in the body
        change["writes__0__request__body__fields__number"] = "payload.shipment"
        rule = "the guarantee keyed needs `key`, `ref` or `subject`"
    found = flaws(manifest(**change))
    assert [one[0] for one in found] == [f"options.manifest.{place}".rstrip(".")], found
    assert rule in found[0][1]
    assert found[0][2]


@pytest.mark.parametrize(("given", "rule"), [
    (None, "needs its manifest"), ([], "needs its manifest"), ("no-such", "there is no shipped manifest 'no-such'"),
    ({"title": "x", "reads": [{"entity": "x" * LARGEST}]}, "characters"), ({}, "'title' is missing"), ({"title": "x"}, "nothing is read"),
    ({"title": float("nan")}, "no document has"),
])  # fmt: skip
def test_what_is_no_manifest_is_named(given: Any, rule: str) -> None:
    assert any(rule in one[1] for one in flaws(given))
    with pytest.raises(ManifestError):
        document_of({"manifest": given})


def test_an_option_that_the_manifest_takes_has_to_be_there() -> None:
    changed = manifest(optional=None)
    assert [one[1] for one in flaws(changed)] == ["the manifest takes 'currency' from the options, and it is not there"]
    assert list(check("", {"manifest": changed, "currency": "EUR"})) == []


@pytest.mark.parametrize("name", shipped())
def test_each_shipped_manifest_is_good(name: str) -> None:
    given = document_of({"manifest": name})
    options = dict.fromkeys(given.options, "x")
    assert list(check("", {"manifest": name, **options})) == []


def test_what_cannot_be_promised_is_said() -> None:
    bare = manifest(
        reads__0__since=None, reads__0__messages__0__version=None, reads__0__levels=None, writes__0__guarantee="none",
        writes__0__lookup=None, ping=None, reads__0__paging={"kind": "offset"},
    )  # fmt: skip
    bare["reads"][0]["request"]["params"].pop("updated_since")
    told = "\n".join(shortfalls(document_of({"manifest": bare})))
    for part in (
        "reads stock: without `since` every poll reads everything", "stock.level has no `version`", "by offset are missed or repeated",
        "without `levels` its stock cannot be compared", "writes shipment: nothing protects it from taking effect twice",
        "a lost answer stays in doubt", "after a lost answer only the value shown tells", "without `ping`", "it hears no webhooks",
    ):  # fmt: skip
        assert part in told


POLICIES = """
apiVersion: trueup/v1
kind: Team
metadata: {name: us}
spec: {members: [{username: me, name: Me}]}
---
apiVersion: trueup/v1
kind: System
metadata: {name: acme}
spec:
  connector: declared
  owner: us
  role: shop
  endpoint: https://acme.example
  secrets: {token: env:ACME_TOKEN}
  options: {manifest: MANIFEST}
---
apiVersion: trueup/v1
kind: RetryPolicy
metadata: {name: default}
spec: {first: 2s, cap: 5m, budget: 24h}
---
apiVersion: trueup/v1
kind: Flow
metadata: {name: acme-stock}
spec:
  {domain: inventory, owner: us, source: acme, method: poll, poll_every: 1m, read: READ, message_types: [stock.level], targets: TARGETS,
   retry: default, promise: 24h}
"""


def linted(
    tmp_path: Path, read: str = "stock", targets: str = "[]", named: str = "token", **changes: Any
) -> list[Problem]:
    """What the lint says of the System, and of what the flow asks of it."""
    text = POLICIES.replace(
        "MANIFEST", yaml.safe_dump(manifest(**changes), default_flow_style=True, width=10**6).strip()
    )
    path = tmp_path / "acme.yaml"
    path.write_text(
        text.replace("READ", read).replace("TARGETS", targets).replace("{token:", f"{{{named}:"), encoding="utf-8"
    )
    found = check_packs([path], declared_connectors())[1]
    assert not [one for one in found if "key" in one.rule and "manifest" not in one.path], found
    return [
        one for one in found if one.kind == "System" or one.path.startswith(("spec.read", "spec.targets", "spec.retry"))
    ]


def test_the_lint_takes_a_system_by_its_manifest(tmp_path: Path) -> None:
    assert linted(tmp_path) == []


def test_the_lint_refuses_a_broken_manifest_at_its_line(tmp_path: Path) -> None:
    [found] = linted(tmp_path, reads__0__identity="a..b")
    assert (found.kind, found.name, found.path) == ("System", "acme", "spec.options.manifest.reads.0.identity")
    assert found.line > 0
    assert "JMESPath" in found.rule


def test_the_lint_holds_flows_and_secrets_against_what_the_manifest_declares(tmp_path: Path) -> None:
    [found] = linted(tmp_path, read="levels")
    assert "the connector 'declared of acme' cannot be polled for 'levels'" in found.rule
    [found] = linted(tmp_path, targets="[{system: acme, entity: shipmnt}]")
    assert "does not write 'shipmnt'" in found.rule
    [found] = linted(tmp_path, targets="[{system: acme, entity: shipment}]")
    assert "writes 'shipment' from shipment.shipped, not from stock.level" in found.rule
    found_secrets = linted(tmp_path, named="tokn")
    assert {one.path for one in found_secrets} == {"spec.secrets", "spec.secrets.tokn"}
