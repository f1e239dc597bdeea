"""What is the plane's own and is lent to no system, whatever a policy says: its settings, its secrets, the files that it lives by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from controlplane.errors import SettingsError
from controlplane.settings import Settings
from rules.policy.secrets import is_planes_own

LONGEST = 300
"""Characters of an option that may name a folder."""
MACHINES = (Path("/proc"), Path("/sys"))
"""What the machine tells of itself, and of this process: its environment holds the plane's settings."""


def refuse_reference(what: str, reference: str, settings: Settings) -> None:
    """Raise SettingsError for a reference by which the plane itself is let in somewhere, or opens what is sealed."""
    if is_planes_own(reference) or reference in {settings.oidc_client_secret, settings.vault_token, settings.seal_keys}:
        raise SettingsError(
            f"{what} ({reference}) is the plane's own, and is given to no system; give the system one of its own"
        )


def refuse_place(system: str, endpoint: str, options: Mapping[str, Any], settings: Settings) -> None:
    """Raise SettingsError for an endpoint, or a folder below it, that holds the plane's database, keys or secrets."""
    place = _local(endpoint)
    if place is None:
        return
    for one in (place, *(place / text for text in _texts(options))):
        if _is_own(one, settings):
            raise SettingsError(
                f"System '{system}': {one} is where the plane keeps what is its own; hand files over in a folder of their own"
            )


def _local(endpoint: str) -> Path | None:
    """Return the file or folder that an endpoint names; None for an address of a network."""
    scheme, separator, rest = endpoint.partition("://")
    if not separator:
        return Path(endpoint)
    if scheme == "file":
        return Path(rest or "/")
    return Path(rest.partition("?")[0].removeprefix("/")) if scheme.startswith("sqlite") else None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) <= LONGEST and value.isprintable():
            yield value
        return
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for each in inside:
        yield from _texts(each)


def _is_own(path: Path, settings: Settings) -> bool:
    try:
        found, home, secrets = path.resolve(), settings.home.resolve(), settings.secrets.resolve()
        inside = {found, *found.parents}
        if secrets in inside or not inside.isdisjoint(MACHINES):
            return True
        return found == home or (found.parent == home and found.is_file())
    except (OSError, RuntimeError, ValueError):  # no such path can be opened either
        return False
