"""What the connectors declare, and the table in the docs that is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from jsonschema import Draft202012Validator

from controlplane.connectors import catalogue
from controlplane.connectors.planned import PLANNED
from controlplane.registry.packs import check, pack_folder
from rules.policy.kinds import System, SystemSpec

PAGE = Path(__file__).parents[3] / "docs/connectors.md"
BEGIN, END = "<!-- connectors: begin -->", "<!-- connectors: end -->"
KINDS = {*get_args(SystemSpec.model_fields["role"].annotation), "broker", "any"}
SHIPPED = catalogue.shipped()


def test_the_table_of_the_docs_is_what_the_connectors_declare() -> None:
    """To renew it: `trueup connector list --markdown`, between the marks."""
    table = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()
    assert table == catalogue.table()


def test_a_connector_that_is_to_come_has_a_row_until_it_is_there() -> None:
    names = [name for name, _, _ in PLANNED]
    assert names == sorted(set(names))
    table = catalogue.table()
    assert all(table.count(f"\n| `{name}` |") == 1 for name in {*names, *SHIPPED})
    assert all(
        f"| `{name}` | {kind} | not yet ({title})" in table for name, title, kind in PLANNED if name not in SHIPPED
    )


def test_every_connector_that_we_ship_says_of_what_kind_it_is_and_what_does_not_work() -> None:
    assert {kind for _, _, kind in PLANNED} <= KINDS
    for name, manifest in SHIPPED.items():
        assert manifest.kind in KINDS, name
        assert all(spec.how for spec in manifest.writes), name


@pytest.mark.parametrize("name", SHIPPED)
def test_the_schemas_of_options_and_credentials_are_json_schemas_of_what_the_connector_takes(name: str) -> None:
    manifest = SHIPPED[name]
    assert set(manifest.option_schemas) <= set(manifest.options)
    for schema in (manifest.config_schema(), manifest.credential_schema()):
        Draft202012Validator.check_schema(schema)


def test_the_systems_of_the_shipped_packs_are_as_the_schemas_say() -> None:
    entries, _ = check([pack_folder("sandbox"), pack_folder("tryton")])
    systems = [entry.document for entry in entries if isinstance(entry.document, System)]
    assert len(systems) > 5
    for system in systems:
        manifest = SHIPPED[system.spec.connector]
        Draft202012Validator(manifest.config_schema()).validate(dict(system.spec.options))
        Draft202012Validator(manifest.credential_schema()).validate(dict(system.spec.secrets))
