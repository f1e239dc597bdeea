"""Descriptions of vendors whose folders hold no samples of records: each file is read, and what it describes."""

from __future__ import annotations

import json

import pytest
import yaml

from controlplane.connectors.markup import markup
from tests.controlplane.connectors.samples import at_hand, files_of
from tests.controlplane.connectors.simulators import SPECS

METHODS = ("get", "post", "put", "patch", "delete")


def result_of(name: str) -> str:
    content = (SPECS / name).read_bytes()
    if name.endswith(".edmx"):
        document = markup(content, name)
        kinds = [one.tag.rpartition("}")[2] for one in document.iter()]
        return f"described: {kinds.count('EntityType')} types, {kinds.count('FunctionImport')} functions"
    told = json.loads(content) if name.endswith(".json") else yaml.load(content, yaml.CSafeLoader)
    return f"described: {sum(method in item for item in told['paths'].values() for method in METHODS)} operations"


TABLE: dict[str, str] = {
    "avalara/avatax-v2-openapi.yaml": "described: 350 operations",
    "magento/admin-schema-2.4.9.yaml": "described: 614 operations",
    "sap-s4/API_MATERIAL_DOCUMENT_SRV.edmx": "described: 3 types, 2 functions",
    "sap-s4/API_MATERIAL_STOCK_SRV.edmx": "described: 3 types, 0 functions",
    "sap-s4/API_OUTBOUND_DELIVERY_SRV.edmx": "described: 12 types, 16 functions",
    "sap-s4/API_SALES_ORDER_SRV.edmx": "described: 22 types, 2 functions",
    "sap-s4/openapi/API_CUSTOMER_RETURNS_DELIVERY_SRV_0002.json": "described: 28 operations",
    "sap-s4/openapi/API_INBOUND_DELIVERY_SRV_0002.json": "described: 33 operations",
    "sap-s4/openapi/API_MATERIAL_DOCUMENT_SRV.json": "described: 13 operations",
    "sap-s4/openapi/API_MATERIAL_STOCK_SRV.json": "described: 2 operations",
    "sap-s4/openapi/API_OUTBOUND_DELIVERY_SRV_0002.json": "described: 51 operations",
    "sap-s4/openapi/API_PHYSICAL_INVENTORY_DOC_SRV.json": "described: 17 operations",
    "sap-s4/openapi/API_RESERVATION_DOCUMENT_SRV.json": "described: 8 operations",
    "sap-s4/openapi/API_SALES_ORDER_SRV.json": "described: 158 operations",
    "sap-s4/openapi/CE_SALESORDER_0001.json": "described: 62 operations",
}  # fmt: skip


@pytest.mark.parametrize("vendor", [pytest.param(one, marks=at_hand(one)) for one in ("avalara", "magento", "sap-s4")])
def test_every_file_is_in_the_table(vendor: str) -> None:
    assert {f"{vendor}/{name}" for name in files_of(vendor)} == {
        name for name in TABLE if name.startswith(f"{vendor}/")
    }


@pytest.mark.parametrize("name", [pytest.param(one, marks=at_hand(one.partition("/")[0])) for one in TABLE])
def test_every_file_is_read(name: str) -> None:
    assert result_of(name) == TABLE[name]
