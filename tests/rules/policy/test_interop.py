"""The shipped policies as OpenSLO, ODCS and Backstage, held against what those formats say; and owners on their way back."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft201909Validator

from controlplane.registry.packs import pack_folder, read, shipped_packs
from rules.policy.interop import FORMATS, Exported, Policies, owners, rendered

REPO = Path(__file__).parents[3]
SPECS = Path(os.environ.get("TRUEUP_SHARED") or REPO.parent / "shared") / "specs"


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    """The policies of the shipped pack."""
    entries, problems = read([pack_folder("sandbox")])
    assert problems == []
    return [entry.document.model_dump(mode="json") for entry in entries]


@pytest.fixture(scope="module")
def policies(documents: list[dict[str, Any]]) -> Policies:
    return Policies(documents)


def exported(policies: Policies, form: str) -> dict[str, Exported]:
    return {file.name: file for file in FORMATS[form](policies)}


def of_kind(file: Exported, kind: str) -> list[dict[str, Any]]:
    return [one for one in file.documents if one["kind"] == kind]


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_policies_in_any_order_give_the_same_bytes_and_what_is_lost_is_said_in_them(
    documents: list[dict[str, Any]], policies: Policies, form: str
) -> None:
    texts = [rendered(file) for file in FORMATS[form](policies)]
    assert texts == [rendered(file) for file in FORMATS[form](Policies(reversed(documents)))]
    assert any("# not carried: " in text for text in texts)
    for text, file in zip(texts, FORMATS[form](policies), strict=True):
        assert list(yaml.safe_load_all(text)) == list(file.documents)


def test_no_policies_make_no_files() -> None:
    assert [list(make(Policies([]))) for make in FORMATS.values()] == [[], [], []]


@pytest.mark.parametrize("pack", shipped_packs())
def test_every_shipped_pack_is_exported_whole_and_refers_to_nothing_that_is_not_there(pack: str) -> None:
    """Of each pack: contracts that the standard's schema takes, and a catalogue whose references lead somewhere."""
    entries, problems = read([pack_folder(pack)])
    assert problems == []
    policies = Policies([entry.document.model_dump(mode="json") for entry in entries])
    if SPECS.is_dir():
        validator = Draft201909Validator(json.loads((SPECS / "odcs" / "odcs-json-schema-v3.1.0.json").read_text()))
        contracts = [one for file in FORMATS["odcs"](policies) for one in yaml.safe_load_all(rendered(file))]
        assert len(contracts) == len(list(policies.of("Domain")))
        assert [error.message for one in contracts for error in validator.iter_errors(one)] == []
    told = entities(policies)
    there = [f"{one['kind'].lower()}:default/{one['metadata']['name']}" for one in told]
    assert len(there) == len(set(there))
    meant = {ref for one in told for ref in (one["spec"].get("owner"), *one["spec"].get("dependsOn", ())) if ref}
    assert meant <= set(there)


# --- OpenSLO ---


def test_every_service_level_is_an_slo_with_its_objective_and_what_it_refers_to(policies: Policies) -> None:
    files = exported(policies, "openslo")
    sources = {one["metadata"]["name"] for one in of_kind(files["common.yaml"], "DataSource")}
    services = {one["metadata"]["name"] for one in of_kind(files["common.yaml"], "Service")}
    for name, level in policies.of("ServiceLevel"):
        [slo] = of_kind(files[f"{name}.yaml"], "SLO")
        spec = slo["spec"]
        assert slo["apiVersion"] == "openslo/v1"
        assert spec["service"] in services
        assert len(spec["timeWindow"]) == 1, "exactly one, says OpenSLO"
        [objective] = spec["objectives"]
        assert objective["target"] == level.spec.target
        assert spec["budgetingMethod"] in ("Occurrences", "Timeslices", "RatioTimeslices")
        assert ("timeSliceWindow" in objective) == (spec["budgetingMethod"] != "Occurrences")
        assert spec["indicator"]["spec"]["ratioMetric"]["raw"]["metricSource"]["metricSourceRef"] in sources


def test_every_tier_is_an_alert_policy_with_one_condition_and_says_that_its_short_window_is_lost(
    policies: Policies,
) -> None:
    files = exported(policies, "openslo")
    for name, level in policies.of("ServiceLevel"):
        file = files[f"{name}.yaml"]
        [slo] = of_kind(file, "SLO")
        rules = {one["metadata"]["name"]: one for one in of_kind(file, "AlertPolicy")}
        conditions = {one["metadata"]["name"]: one for one in of_kind(file, "AlertCondition")}
        told = {one["metadata"]["name"] for one in of_kind(file, "AlertNotificationTarget")}
        assert slo["spec"]["alertPolicies"] == list(rules)
        assert len(rules) == len(level.spec.tiers)
        for rule, tier in zip(rules.values(), level.spec.tiers, strict=True):
            [reference] = rule["spec"]["conditions"]
            condition = conditions[reference["conditionRef"]]
            assert condition["spec"]["condition"]["kind"] == "burnrate"
            assert condition["spec"]["condition"]["threshold"] == tier.factor
            assert condition["metadata"]["annotations"]["trueup.io/short-window"]
            assert {one["targetRef"] for one in rule["spec"]["notificationTargets"]} == told != set()
        assert any("short window" in line for line in file.not_carried)


@pytest.mark.skipif(not SPECS.is_dir(), reason="the standard's examples are not at hand (TRUEUP_SHARED)")
def test_an_slo_has_no_field_that_the_standards_own_examples_do_not_have(policies: Policies) -> None:
    spec: set[str] = set()
    objective: set[str] = set()
    for file in (SPECS / "openslo" / "examples").rglob("*.yaml"):
        for one in yaml.safe_load_all(file.read_text()):
            spec |= set(one["spec"])
            objective |= {key for each in one["spec"]["objectives"] for key in each}
    for file_ in FORMATS["openslo"](policies):
        for slo in of_kind(file_, "SLO"):
            assert set(slo["spec"]) <= spec
            assert {key for each in slo["spec"]["objectives"] for key in each} <= objective


# --- Open Data Contract Standard ---


@pytest.mark.skipif(not SPECS.is_dir(), reason="the standard's schema is not at hand (TRUEUP_SHARED)")
def test_every_contract_is_valid_by_the_standards_schema(policies: Policies) -> None:
    schema = json.loads((SPECS / "odcs" / "odcs-json-schema-v3.1.0.json").read_text())
    validator = Draft201909Validator(schema)
    for file in FORMATS["odcs"](policies):
        [contract] = yaml.safe_load_all(rendered(file))
        assert [error.message for error in validator.iter_errors(contract)] == []
    broken = {**contract, "team": [{"name": "a list has no username"}], "status": None}
    assert list(validator.iter_errors(broken)), "the schema can refuse"


def test_a_contract_tells_whose_word_counts_what_is_promised_and_whom_to_ask(policies: Policies) -> None:
    [contract] = exported(policies, "odcs")["inventory.odcs.yaml"].documents
    [stock] = contract["schema"]
    assert stock["customProperties"] == [{"property": "systemOfRecord", "value": "wms"}]
    assert stock["properties"][0]["customProperties"] == [{"property": "systemOfRecord", "value": "shop"}]
    domain = policies.get("Domain", "inventory")
    latency = next(one for one in contract["slaProperties"] if one["property"] == "latency" and "element" not in one)
    assert (latency["value"], latency["unit"]) == (domain.spec.latency.total_seconds(), "s")
    flows = {name for name, flow in policies.of("Flow") if flow.spec.domain == "inventory"}
    assert flows == {
        one["element"] for one in contract["slaProperties"] if one["property"] == "latency" and "element" in one
    }
    assert contract["team"]["name"] == domain.spec.owner
    assert {one["username"] for one in contract["team"]["members"]} == {
        one.username for one in policies.get("Team", domain.spec.owner).spec.members
    }


# --- Backstage ---


def entities(policies: Policies) -> list[dict[str, Any]]:
    [file] = FORMATS["backstage"](policies)
    return [dict(one) for one in yaml.safe_load_all(rendered(file))]


def entity(found: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(one for one in found if (one["kind"], one["metadata"]["name"]) == (kind, name))


def test_every_owner_in_the_catalogue_is_a_group_of_it(policies: Policies) -> None:
    found = entities(policies)
    groups = {one["metadata"]["name"] for one in found if one["kind"] == "Group"}
    owned = [one for one in found if "owner" in one["spec"]]
    assert {one["kind"] for one in owned} == {"System", "Component", "Resource"}
    assert {one["spec"]["owner"] for one in owned} <= {f"group:default/{name}" for name in groups}
    names = {(one["kind"], one["metadata"]["name"]) for one in found}
    for one in found:
        for reference in one["spec"].get("dependsOn", []):
            assert ("Resource", reference.removeprefix("resource:default/")) in names


def test_owners_that_went_out_come_back_as_they_were(policies: Policies) -> None:
    documents, told = owners(entities(policies), policies)
    assert told == []
    assert Policies(documents).get("Team", "ecommerce") == policies.get("Team", "ecommerce")
    assert {one["kind"] for one in documents} == {"Team"}, "no owner differs"
    for one in documents:
        assert Policies([one]).get("Team", one["metadata"]["name"]) == policies.get("Team", one["metadata"]["name"])


def test_a_new_owner_a_new_group_and_a_new_member_are_taken(policies: Policies) -> None:
    found = entities(policies)
    entity(found, "Component", "orders")["spec"]["owner"] = "night-shift"
    found += [
        {"kind": "Group", "metadata": {"name": "night-shift", "title": "Night shift"}, "spec": {"members": ["nia"]}},
        {"kind": "User", "metadata": {"name": "nia"}, "spec": {"profile": {"displayName": "Nia Berg"}}},
        {"kind": "User", "metadata": {"name": "ole"}, "spec": {"memberOf": ["group:default/ecommerce"]}},
    ]
    documents, told = owners(found, policies)
    changed = Policies(documents)
    assert told == []
    assert changed.get("Flow", "orders").spec.owner == "night-shift"
    [nia] = changed.get("Team", "night-shift").spec.members
    assert (nia.username, nia.name) == ("nia", "Nia Berg")
    before = {one.username for one in policies.get("Team", "ecommerce").spec.members}
    assert {one.username for one in changed.get("Team", "ecommerce").spec.members} == before | {"ole"}


def test_an_orphan_and_an_empty_group_are_told_and_change_nothing(policies: Policies) -> None:
    found = entities(policies)
    entity(found, "Component", "orders")["spec"]["owner"] = "group:default/left-the-company"
    entity(found, "Resource", "erp")["spec"]["owner"] = "user:default/ada"
    found.append({"kind": "Group", "metadata": {"name": "nobody"}, "spec": {"members": []}})
    documents, told = owners(found, policies)
    assert {one["kind"] for one in documents} == {"Team"}
    assert sorted(line.split(":")[0] for line in told) == ["Flow/orders", "Group/nobody", "System/erp"]


# --- what the formats would not take ---


def other(documents: list[dict[str, Any]], kind: str, name: str, **spec: Any) -> Policies:
    """The shipped policies with some keys of one changed."""
    changed = [
        {**one, "spec": {**one["spec"], **spec}} if (one["kind"], one["metadata"]["name"]) == (kind, name) else one
        for one in documents
    ]
    return Policies(changed)


def test_two_teams_that_one_system_tells_at_once_are_one_notification_target(documents: list[dict[str, Any]]) -> None:
    level = next(one for one in documents if one["kind"] == "ServiceLevel")
    path = level["spec"]["escalation"]
    [steps] = [
        one["spec"]["steps"] for one in documents if (one["kind"], one["metadata"]["name"]) == ("EscalationPath", path)
    ]
    found = other(documents, "EscalationPath", path, steps=[steps[0], {**steps[0], "team": "finance-systems"}])
    [target] = of_kind(exported(found, "openslo")[f"{level['metadata']['name']}.yaml"], "AlertNotificationTarget")
    assert target["metadata"]["annotations"]["trueup.io/team"] == f"{steps[0]['team']}, finance-systems"


STRANGE = ["vic.lindqvist@corp.example", "Max Mustermann", "CORP\\eve", "a..b", "x" * 80, "Å", "max-mustermann"]


def test_usernames_become_entity_names_that_differ_and_come_back_as_they_were(documents: list[dict[str, Any]]) -> None:
    members = [{"username": one, "name": one} for one in STRANGE]
    policies = other(documents, "Team", "ecommerce", members=members)
    [file] = exported(policies, "backstage").values()
    users = [one["metadata"] for one in of_kind(file, "User")]
    names = [one["name"] for one in users]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*", name)
        assert len(name) <= 63
    found, told = owners(file.documents, policies)
    assert told == []
    [team] = [one for one in found if (one["kind"], one["metadata"]["name"]) == ("Team", "ecommerce")]
    assert {one["username"] for one in team["spec"]["members"]} == set(STRANGE)


def test_a_contract_says_that_it_does_not_carry_correction_archive_and_labels(documents: list[dict[str, Any]]) -> None:
    retention = {"archive": "file:///archive", "raw": "30d", "attempts": "90d", "messages": "400d"}
    labelled = [
        {**one, "metadata": {**one["metadata"], "labels": {"tier": "gold"}}} if one["kind"] == "Domain" else one
        for one in documents
    ]
    file = exported(other(labelled, "Domain", "returns", retention=retention), "odcs")["returns.odcs.yaml"]
    for what in ("(correction)", "(retention.archive)", "the labels tier"):
        assert any(what in line for line in file.not_carried)


def test_names_as_long_as_policies_may_have_make_none_that_is_longer_and_no_two_alike(
    documents: list[dict[str, Any]],
) -> None:
    longest = "a" * 61
    renamed = {("ServiceLevel", "delivery-success"): f"{longest}-s", ("System", "pager"): f"{longest}-p"}
    path = next(one for one in documents if one["kind"] == "EscalationPath")["metadata"]["name"]
    renamed["EscalationPath", path] = f"{longest}-e"
    text = json.dumps(documents)
    for (_, old), new in renamed.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    policies = Policies(json.loads(text))
    for file in FORMATS["openslo"](policies):
        keys = [(one["kind"], one["metadata"]["name"]) for one in file.documents]
        assert len(keys) == len(set(keys)), file.name
        assert [name for _, name in keys if len(name) > 63] == []
        for one in file.documents:
            if one["kind"] == "SLO":
                assert len(one["spec"]["indicator"]["metadata"]["name"]) <= 63
                assert {("AlertPolicy", name) for name in one["spec"]["alertPolicies"]} <= set(keys)
            if one["kind"] == "AlertPolicy":
                refs = {("AlertCondition", ref["conditionRef"]) for ref in one["spec"]["conditions"]}
                refs |= {("AlertNotificationTarget", ref["targetRef"]) for ref in one["spec"]["notificationTargets"]}
                assert refs <= set(keys)


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028", "\u2029"])
def test_what_is_said_of_a_file_never_becomes_part_of_it(documents: list[dict[str, Any]], end: str) -> None:
    told = [json.loads(json.dumps(one)) for one in documents if one["kind"] == "Domain"][:1]
    others = [one for one in documents if one["kind"] != "Domain"]
    told[0]["metadata"]["labels"] = {f"x{end}evil: 1": "y"}
    [file] = FORMATS["odcs"](Policies([*others, *told]))
    assert list(yaml.safe_load_all(rendered(file))) == list(file.documents)
