"""Policies as text: what is begun names all that its kind cannot do without."""

from __future__ import annotations

import pytest

from rules.policy.kinds import KINDS
from rules.policy.reading import read_document
from rules.policy.text import read_text
from rules.policy.writing import begun


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_begun_is_yaml_of_its_kind_and_name_and_lacks_no_key(kind: str) -> None:
    for name in ("its-name", "007"):
        [document], problems = read_text(begun(kind, name), "")
        assert (problems, document.value["kind"], document.value["metadata"]) == ([], kind, {"name": name})
        _, problems = read_document(document)
        assert [one.path for one in problems if "is missing" in one.rule and one.path.count(".") < 2] == []
