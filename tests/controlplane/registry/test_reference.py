"""The documentation of policies says what the code does."""

from __future__ import annotations

from controlplane.access import ROLES
from controlplane.registry.reference import PAGE, filled_in
from rules.policy.kinds import KINDS
from rules.policy.reading import read_policies


def test_the_reference_is_what_the_models_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert filled_in(page) == page, "run `python -m controlplane.registry.reference`"
    assert all(f"### {kind}\n" in page for kind in KINDS)


def test_the_example_is_a_policy() -> None:
    page = PAGE.read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    entries, problems = read_policies([("docs/policies.md", example)])
    assert problems == []
    assert entries[0].document.name == "stock"


def test_every_role_is_explained() -> None:
    page = (PAGE.parent / "governance.md").read_text(encoding="utf-8")
    assert all(f"\n| {role} |" in page for role in ROLES)
