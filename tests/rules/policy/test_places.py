"""Which locations policies know."""

from __future__ import annotations

import pytest

from rules.policy import kinds as k
from rules.policy.places import places

HEAD = {"apiVersion": "trueup/v1", "metadata": {"name": "x"}}
MAPPING = k.Mapping.model_validate(
    {**HEAD, "kind": "Mapping", "spec": {"system": "erp", "entity": "location", "codes": {"1": "WH1"}}}
)
LENIENT = k.Mapping.model_validate(
    {**HEAD, "kind": "Mapping", "spec": {"system": "tills", "entity": "location", "codes": {}, "strict": False}}
)
SKUS = k.Mapping.model_validate(
    {**HEAD, "kind": "Mapping", "spec": {"system": "erp", "entity": "sku", "codes": {"1": "A"}}}
)
RULE = k.AllocationRule.model_validate(
    {**HEAD, "kind": "AllocationRule", "spec": {"channel": "shop", "locations": ["WH2"]}}
)
SYSTEM = k.System.model_validate(
    {**HEAD, "kind": "System", "spec": {"connector": "c", "owner": "o", "role": "erp", "endpoint": "e",
                                        "options": {"locations": ["ST1"]}}}
)  # fmt: skip


@pytest.mark.parametrize(
    ("location", "known"), [("WH1", True), ("WH2", True), ("ST1", True), ("WH9", False), ("A", False)]
)
def test_what_a_mapping_a_rule_or_a_system_names_is_known(location: str, known: bool) -> None:
    assert places([MAPPING, SKUS, RULE, SYSTEM]).knows(location, "wms") is known


def test_a_system_whose_mapping_lets_codes_pass_may_speak_of_any_place() -> None:
    found = places([MAPPING, LENIENT])
    assert found.knows("ST9", "tills")
    assert not found.knows("ST9", "wms")


def test_policies_that_name_no_place_leave_all_open() -> None:
    assert places([SKUS]).knows("anywhere", "wms")
