"""What is wrong with an endpoint as it is written, for systems that are spoken to by another client than the shared one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from urllib.parse import SplitResult, urlsplit


def place_flaws(
    endpoint: str, schemes: Collection[str], unknown: str, secrets: str, example: str
) -> Iterator[tuple[str, str]]:
    """Yield the first (rule, remedy) by which an endpoint is no scheme, host and port.

    `unknown`: what a scheme that is not spoken is told to be; `secrets`: what to give instead of a login in the address.
    """
    parts = split(endpoint)
    if parts is None:  # not shown: it may hold a password
        yield "the endpoint is no address", example
    elif parts.username is not None or parts.password is not None:
        yield "the address holds a login, and policies are read by many", f"take it out; give {secrets}"
    elif parts.scheme not in schemes:
        yield f"'{parts.scheme or endpoint}' is {unknown}", example
    elif not parts.hostname or parts.port == 0:
        yield f"'{endpoint}' names no host", example


def more_flaws(endpoint: str, example: str) -> Iterator[tuple[str, str]]:
    """Yield what stands behind host and port of an endpoint that has nothing there."""
    parts = split(endpoint)
    if parts is not None and (parts.path.strip("/") or parts.query or parts.fragment):
        yield f"'{endpoint}' has more than host and port", f"leave it out; {example}"


def split(endpoint: str) -> SplitResult | None:
    """Return the parts of an address, or None for what is none."""
    try:
        parts = urlsplit(endpoint)
        _ = parts.port, parts.hostname
    except ValueError:
        return None
    return parts
