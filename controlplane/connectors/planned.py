"""Connectors that are to come: each keeps its row in docs/connectors.md until one of that name is registered."""

from __future__ import annotations

PLANNED: tuple[tuple[str, str, str], ...] = (
    ("acumatica", "Acumatica, contract-based REST", "erp"),
    ("adyen", "Adyen", "payment"),
    ("aftership", "AfterShip", "carrier"),
    ("bigcommerce", "BigCommerce", "shop"),
    ("business_central", "Dynamics 365 Business Central", "erp"),
    ("dynamics365", "Dynamics 365 Finance and Operations", "erp"),
    ("ebay", "eBay", "marketplace"),
    ("extensiv", "Extensiv 3PL Warehouse Manager", "3pl"),
    ("lightspeed", "Lightspeed Retail X-Series", "till"),
    ("manhattan", "Manhattan Active", "wms"),
    ("opsgenie", "Opsgenie, JSM Operations", "incident"),
    ("oracle", "Oracle Fusion Cloud ERP and SCM", "erp"),
    ("pagerduty", "PagerDuty Events v2", "incident"),
    ("paypal", "PayPal", "payment"),
    ("salesforce_commerce", "Salesforce B2C Commerce", "shop"),
    ("servicenow", "ServiceNow event management", "incident"),
    ("shipstation", "ShipStation, ShipEngine", "carrier"),
    ("vertex", "Vertex O Series", "tax"),
    ("walmart", "Walmart Marketplace", "marketplace"),
)
"""Name, title, kind. Take an entry out when its connector is there; until then the connector's own row takes its place."""
