"""Who ordered, as the API shows it."""

from typing import Any

from controlplane.sandbox.records import ShopOrder
from controlplane.sandbox.shop.bodies import gid

Shown = dict[str, Any]


def customer(who: dict[str, str]) -> Shown:
    """The customer."""
    return {
        "id": gid("Customer", who["id"]),
        "displayName": f"{who['first_name']} {who['last_name']}",
        "firstName": who["first_name"],
        "lastName": who["last_name"],
        "defaultEmailAddress": {"emailAddress": who["email"]},
    }


def address(row: ShopOrder) -> Shown:
    """Where it is sent."""
    who = row.customer
    return {
        "id": gid("MailingAddress", row.id),
        "name": f"{who['first_name']} {who['last_name']}",
        "firstName": who["first_name"],
        "lastName": who["last_name"],
        "address1": who["address1"],
        "city": who["city"],
        "zip": who["zip"],
        "provinceCode": None,
        "countryCodeV2": "US",
    }
