"""The guarded way to an address that policy names: looked up once, every answer checked, and connected to one that was.

Which addresses are refused stands in `rules/addresses.py`. A connection is made to the checked address itself, so that a name which
leads elsewhere a moment later leads nowhere new; the name stays in the Host header, in SNI and on the certificate.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controlplane.errors import BlockedAddressError
from rules.addresses import Pair, literal_of, refusal

Resolve = Callable[[str, int], Sequence[str]]
"""From a name and a port to every address that it leads to. Raises OSError when it leads nowhere."""
MOST_TRIED = 4
"""Of the addresses of a name, so many are tried in turn, within the time that one connection may take."""


def look_up(host: str, port: int) -> Sequence[str]:
    """Ask the machine's own resolver."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # of a label that is empty or too long
        raise OSError(f"'{host}' is no name of a host: {error}") from error
    return list(dict.fromkeys(str(one[4][0]) for one in found))


@dataclass(frozen=True, slots=True)
class Door:
    """The only way to the network for one system."""

    system: str
    internal: frozenset[Pair] = frozenset()
    """What policy states beside the public addresses."""
    resolve: Resolve = look_up

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """Look a host up once, and return the addresses to connect to.

        Raises BlockedAddressError when one of all that it leads to is refused, OSError when it leads nowhere.
        """
        found = [] if (refused := refusal(host, port, (), self.internal)) else self._found(host, port)
        refused = refused or refusal(host, port, found, self.internal)
        if refused:
            raise BlockedAddressError(f"System '{self.system}': no connection was made: {refused}")
        if not found:
            raise OSError(f"'{host}' leads to no address")
        return found[:MOST_TRIED]

    def _found(self, host: str, port: int) -> Sequence[str]:
        literal = literal_of(host)
        return [str(literal)] if literal else self.resolve(host, port)

    def connect(self, host: str, port: int, timeout: float | None) -> socket.socket:
        """Connect to one of the addresses. Raises as `addresses`, and OSError when none of them answers in time."""
        found = self.addresses(host, port)
        failed: OSError = OSError(f"no address of '{host}' answers")
        for address in found:
            try:
                return socket.create_connection((address, port), share_of(timeout, found))
            except OSError as error:
                failed = error
        raise failed


def share_of(timeout: float | None, found: Sequence[str]) -> float | None:
    """What each of several addresses may take of the time for all."""
    return None if timeout is None else timeout / len(found)
