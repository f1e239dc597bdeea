"""What connectors say of settings alike: places that have to be there, webhooks that have to be told to us."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from controlplane.connectors.contract import Context, Setting, UnmappedError

HERE = "there, in use"
GONE = "not there"
IDLE = "there, not in use"


def locations(context: Context, standing: Callable[[str], str | None], where: str) -> list[Setting]:
    """Return a setting for each location of the options; `standing` takes the system's code and says how that stands.

    `where`: where a person looks at the locations.
    """
    return [_location(context, str(name), standing, where) for name in context.options.get("locations", ())]


def _location(context: Context, name: str, standing: Callable[[str], str | None], where: str) -> Setting:
    title, option = f"location {name}", "locations"
    try:
        theirs = context.codes.theirs("location", name)
    except UnmappedError as error:
        return Setting(title, HERE, None, "map the location", note=str(error), option=option)
    remedy = f"open the location {theirs} again in {where}, or correct the Mapping or `options.locations`"
    return Setting(title, HERE, standing(theirs), remedy, option=option)


def among(known: Mapping[str, bool]) -> Callable[[str], str]:
    """Return what says how a code stands that is in use, or not, or not known at all."""
    return lambda code: GONE if code not in known else HERE if known[code] else IDLE


def webhooks(context: Context, topics: Iterable[str], told: Mapping[str, Iterable[str]], where: str) -> list[Setting]:
    """Return a setting for each topic; `told`: topic -> the addresses that it is told to. None where we take no webhooks.

    The address is `options.webhook_url` where policy says one; else any that ends in our path will do, for before the plane
    may stand a proxy under another name.
    """
    if "webhook_secret" not in context.given:
        return []
    promised = str(context.options.get("webhook_url", ""))
    return [_webhook(context.system, topic, promised, sorted(told.get(topic, ())), where) for topic in topics]


def _webhook(system: str, topic: str, promised: str, addresses: list[str], where: str) -> Setting:
    path = f"/hooks/{system}"
    wanted = promised or f"told to an address that ends in {path}"
    ours = [one for one in addresses if (one == promised if promised else urlsplit(one).path.endswith(path))]
    actual = wanted if ours else ", ".join(addresses) or "told to nobody"
    remedy = f"subscribe to {topic} at {promised or f'the plane, {path}'} {where}; polls bring meanwhile what it does not tell"
    return Setting(f"webhook {topic}", wanted, actual, remedy, option="webhook_url" if promised else "")
