"""Webhook subscriptions as the Admin API shows and takes them away, and the versions of the API that there are."""

from typing import Any

from graphql import GraphQLResolveInfo

from controlplane.sandbox.clock import iso_s
from controlplane.sandbox.shop.bodies import API_VERSION, gid, number_of
from controlplane.sandbox.shop.search import connection
from controlplane.sandbox.world import World

Shown = dict[str, Any]
KIND = "WebhookSubscription"


def versions() -> list[Shown]:
    """The one version that is spoken here."""
    return [{"displayName": API_VERSION, "handle": API_VERSION, "supported": True}]


class Subscriptions:
    """The shop's webhook subscriptions. Called with the world locked."""

    def __init__(self, world: World) -> None:
        self.world = world

    def page(
        self,
        first: int | None = None,
        after: str | None = None,
        reverse: bool = False,
        uri: str | None = None,
        topics: list[str] | None = None,
    ) -> Shown:
        """A page of them, the oldest first."""
        rows = [row for row in self._all() if uri in (None, row["uri"]) and (topics is None or row["topic"] in topics)]
        return connection(rows, lambda row: row["number"], first=first, after=after, reverse=reverse)

    def delete(self, _: object, _info: GraphQLResolveInfo[Any], **arguments: Any) -> Shown:
        """`webhookSubscriptionDelete`."""
        number = number_of(arguments["id"], KIND)
        for row in self._all():
            if row["number"] == number:
                self.world.outbox.unsubscribe("shop", row["told"])
                return {"deletedWebhookSubscriptionId": row["id"], "userErrors": []}
        missing = {"field": ["id"], "message": "Webhook subscription does not exist"}
        return {"deletedWebhookSubscriptionId": None, "userErrors": [missing]}

    def _all(self) -> list[Shown]:
        return [
            {
                "__typename": KIND,
                "id": gid(KIND, number),
                "number": number,
                "told": topic,
                "topic": topic.replace("/", "_").upper(),
                "uri": address,
                "format": "JSON",
                "createdAt": iso_s(self.world.meta.started_at),
            }
            for number, topic, address in self.world.outbox.subscriptions("shop")
        ]
