"""SAP's services, and what policy says of the organisation that documents are booked in."""

from __future__ import annotations

import base64
import hashlib

import httpx

from controlplane.connectors.contract import Context
from controlplane.connectors.http import HttpClient
from controlplane.connectors.odata import Service
from controlplane.connectors.odata4 import Service4
from controlplane.connectors.redaction import Redactor
from controlplane.errors import BadInputError

ODATA = "/sap/opu/odata/sap"
ORDERS = f"{ODATA}/API_SALES_ORDER_SRV"
ORDERS4 = "/sap/opu/odata4/sap/api_salesorder/srvd_a2x/sap/salesorder/0001"
DELIVERIES = f"{ODATA}/API_OUTBOUND_DELIVERY_SRV;v=0002"
DOCUMENTS = f"{ODATA}/API_MATERIAL_DOCUMENT_SRV"
STOCK = f"{ODATA}/API_MATERIAL_STOCK_SRV"
PRODUCTS = f"{ODATA}/API_PRODUCT_SRV"
ENTRIES = f"{ODATA}/API_JOURNALENTRYITEMBASIC_SRV"
LOCKS = frozenset({"M3/682", "M3/897", "MC/601", "V1/042", "VL/046"})
"""Messages by which SAP says that somebody is working on what we would change."""
DEFAULTS = {
    "sales_order_type": "OR",
    "condition_type": "PPR0",
    "unit": "PC",
    "receipt_movement": "501",
    "return_movement": "501",
    "currency": "USD",
    "language": "EN",
}


class Api:
    """One tenant: a service for each kind of document, each with a CSRF token of its own."""

    def __init__(self, context: Context) -> None:
        user, password = context.secret("user"), context.secret("password")
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.context = context
        self.http = HttpClient(context, Redactor([password, basic]))
        self.auth = httpx.BasicAuth(user, password)
        made = [
            Service(self.http, self.auth, root, locks=LOCKS)
            for root in (DELIVERIES, DOCUMENTS, STOCK, PRODUCTS, ENTRIES)
        ]
        self.deliveries, self.documents, self.stock, self.products, self.entries = made
        newer = context.options.get("orders_api") == "v4"
        self.orders: Service = (Service4 if newer else Service)(
            self.http, self.auth, ORDERS4 if newer else ORDERS, locks=LOCKS
        )

    def option(self, name: str) -> str:
        """Return an option. Raises BadInputError where it is needed and not there."""
        found = str(self.context.options.get(name) or DEFAULTS.get(name, ""))
        if not found:
            raise BadInputError(
                f"SAP books nothing without {name}; set `options.{name}` of the System {self.context.system}"
            )
        return found

    def theirs(self, sku: str) -> str:
        """Return the material number of a SKU."""
        return self.context.codes.theirs("sku", sku)

    def ours(self, material: str) -> str:
        """Return the SKU of a material number."""
        return self.context.codes.ours("sku", external(material))

    def place(self, location: str) -> tuple[str, str]:
        """Return plant and storage location. Raises BadInputError for a mapping that does not name both."""
        told = self.context.codes.theirs("location", location)
        plant, slash, storage = told.partition("/")
        if not (slash and plant and storage):
            raise BadInputError(
                f"the location {location} is '{told}' at SAP; map it to plant and storage location, as in '1010/101A'",
                "location",
            )
        return plant, storage


def external(material: str) -> str:
    """Return a material number as people write it: SAP fills numbers up with zeros, to 18 or 40 digits, in some answers only."""
    told = material.strip()
    return told.lstrip("0") or "0" if told.isdigit() else told


def mark(entity: str, ref: str) -> str:
    """Return the 16 characters, in capitals as SAP keeps them, by which a document of ours is known again."""
    digest = base64.b32encode(hashlib.sha256(f"{entity}/{ref}".encode()).digest()).decode()
    return f"TU{digest[:14]}"
