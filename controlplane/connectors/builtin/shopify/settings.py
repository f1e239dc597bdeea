"""How the shop is set, held against the System policy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controlplane.connectors import settings
from controlplane.connectors.builtin.shopify import documents
from controlplane.connectors.builtin.shopify.api import DEFAULT_VERSION
from controlplane.connectors.contract import Context, Setting
from controlplane.connectors.graphql import GraphqlClient, relay
from controlplane.connectors.http import Answer

PAGE = 100
ADMIN = "the shop's settings"


def read(context: Context, graphql: GraphqlClient, topics: Iterable[str]) -> list[Setting]:
    """Read currency, time zone, version of the API, locations and webhook subscriptions. Raises ConnectorError."""
    data, answer = graphql.ask(documents.SHOP_SETTINGS)
    try:
        shop = {"currency": str(data["shop"]["currencyCode"]), "time_zone": str(data["shop"]["ianaTimezone"])}
        versions = {str(one["handle"]): bool(one["supported"]) for one in data["publicApiVersions"]}
    except (KeyError, TypeError):
        answer.fail("answered its settings without currency, time zone and versions")
    return [
        *_options(context, shop),
        _version(str(context.options.get("api_version", DEFAULT_VERSION)), versions),
        *settings.locations(context, lambda code: _standing(graphql, code), ADMIN),
        *settings.webhooks(context, topics, _told(graphql, topics), "(mutation webhookSubscriptionCreate)"),
    ]


def _options(context: Context, shop: dict[str, str]) -> list[Setting]:
    remedy = "a shop does not change it lightly: find out who did, and correct the System policy if they were right"
    return [
        Setting(name.replace("_", " "), str(context.options[name]), actual, remedy, option=name)
        for name, actual in shop.items()
        if name in context.options
    ]


def _version(wanted: str, versions: dict[str, bool]) -> Setting:
    actual = "not offered any more" if wanted not in versions else "supported" if versions[wanted] else "not supported"
    newest = max((handle for handle, supported in versions.items() if supported), default="a supported one")
    remedy = f'try `options.api_version: "{newest}"` against a test shop, and change it; the vendor answers with another version'
    return Setting(f"API version {wanted}", "supported", actual, remedy, option="api_version")


def _standing(graphql: GraphqlClient, code: str) -> str:
    data, _ = graphql.ask(documents.LOCATION_STANDING, id=code)
    found = data.get("location")
    return settings.among({code: bool(found.get("isActive"))} if found else {})(code)


def _told(graphql: GraphqlClient, topics: Iterable[str]) -> dict[str, list[str]]:
    def fetch(after: str | None) -> tuple[dict[str, Any], Answer]:
        data, answer = graphql.ask(documents.SUBSCRIPTIONS, first=PAGE, after=after)
        return data["webhookSubscriptions"], answer

    names = {topic.replace("/", "_").upper(): topic for topic in topics}
    told: dict[str, list[str]] = {}
    for nodes, _ in relay(fetch):
        for node in nodes:
            told.setdefault(names.get(node["topic"], node["topic"]), []).append(str(node["uri"]))
    return told
