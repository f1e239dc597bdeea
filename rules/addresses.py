"""Which addresses of a network may be spoken to: public ones, and exact pairs of host and port that policy states. Pure.

Nothing here looks up a name. Whoever does hands in every address that it led to, and connects to none unless all may be.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443, "amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379, "sftp": 22,
         "nats": 4222, "tls": 4222, "kafka": 9092, "kafkas": 9093}  # fmt: skip
"""Schemes that the plane speaks, and the port that each means where none is written."""
SANDBOX = "${SANDBOX}"
"""Stands for the sandbox's own host and port, which the settings know."""
LOCALHOST = "localhost"
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
Address = IPv4Address | IPv6Address


class Opens(Enum):
    """What a policy has to write so that a blocked address may be spoken to."""

    NAME = "the pair of the endpoint's host and port, or that of the address"
    ADDRESS = "the pair of the address itself, so that no answer about a name can lead there"
    NOTHING = "nothing opens it"


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the address space that is not public."""

    network: IPv4Network | IPv6Network
    what: str
    opens: Opens = Opens.NOTHING


_TABLE: tuple[tuple[str, str, Opens], ...] = (
    # places where clouds tell a machine its own credentials; some lie in a range that says something else, so they come first
    ("100.100.100.200/32", "a metadata service of a cloud", Opens.NOTHING),
    ("168.63.129.16/32", "a metadata service of a cloud", Opens.NOTHING),
    ("169.254.169.254/32", "a metadata service of a cloud", Opens.NOTHING),
    ("192.0.0.192/32", "a metadata service of a cloud", Opens.NOTHING),
    ("fd00:ec2::/32", "a metadata service of a cloud", Opens.NOTHING),
    ("fd00:c1::a9fe:a9fe/128", "a metadata service of a cloud", Opens.NOTHING),
    ("fd20:ce::254/128", "a metadata service of a cloud", Opens.NOTHING),
    ("0.0.0.0/8", "unspecified", Opens.NOTHING),
    ("10.0.0.0/8", "private", Opens.NAME),
    ("100.64.0.0/10", "shared by the customers of a carrier", Opens.NAME),
    ("127.0.0.0/8", "loopback", Opens.ADDRESS),
    ("169.254.0.0/16", "link-local", Opens.NOTHING),
    ("172.16.0.0/12", "private", Opens.NAME),
    ("192.0.0.0/24", "reserved", Opens.NOTHING),
    ("192.0.2.0/24", "for documentation", Opens.NOTHING),
    ("192.88.99.0/24", "reserved", Opens.NOTHING),
    ("192.168.0.0/16", "private", Opens.NAME),
    ("198.18.0.0/15", "for measurements", Opens.ADDRESS),
    ("198.51.100.0/24", "for documentation", Opens.NOTHING),
    ("203.0.113.0/24", "for documentation", Opens.NOTHING),
    ("224.0.0.0/4", "multicast", Opens.NOTHING),
    ("240.0.0.0/4", "reserved", Opens.NOTHING),
    ("::/128", "unspecified", Opens.NOTHING),
    ("::1/128", "loopback", Opens.ADDRESS),
    ("2001::/23", "reserved", Opens.NOTHING),
    ("2001:db8::/32", "for documentation", Opens.NOTHING),
    ("3fff::/20", "for documentation", Opens.NOTHING),
    ("fc00::/7", "private", Opens.NAME),
    ("fe80::/10", "link-local", Opens.NOTHING),
    ("ff00::/8", "multicast", Opens.NOTHING),
)
BLOCKS = tuple(Block(ip_network(network), what, opens) for network, what, opens in _TABLE)
"""What is blocked, by the registries of special addresses (IANA); the first that holds an address decides."""
GLOBAL_V6 = IPv6Network("2000::/3")
"""All that is given out of IPv6: what lies elsewhere is reserved."""
EMBEDDING = (
    (IPv6Network("::ffff:0:0/96"), 0, "mapped into IPv6"),
    (IPv6Network("64:ff9b::/96"), 0, "behind NAT64"),
    (IPv6Network("2002::/16"), 80, "behind 6to4"),
)
"""Where IPv6 stands for an address of IPv4, and so many bits from the right it is written."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One host, by name or by address, and one port of it."""

    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Read `HOST:PORT` or `[IPv6]:PORT`. Raises ValueError saying what is taken."""
        host, _, port = text.strip().rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        plain = plain_host(bare)
        literal = literal_of(plain)
        spelled = literal is not None or (_NAME.fullmatch(plain) is not None and not is_odd(plain))
        bracketed = bare != host
        if not spelled or bracketed != isinstance(literal, IPv6Address) or not _is_port(port):
            raise ValueError(
                f"'{text}' is no exact pair of host and port; write for instance 10.1.2.3:8443, erp.corp.example:443 or "
                "[fd12::5]:443: no range, no pattern, no path"
            )
        return cls(str(literal) if literal else plain, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535


def plain_host(host: str) -> str:
    """Return a host as it is compared: small, without the dot at the end, other writings of letters and dots made plain."""
    return unicodedata.normalize("NFKC", host).replace("\u3002", ".").lower().removesuffix(".")


def literal_of(host: str) -> Address | None:
    """Return the address that a host is, or None where it is a name."""
    try:
        return ip_address(plain_host(host))
    except ValueError:
        return None


def is_odd(host: str) -> bool:
    """Say whether a host is an address in another spelling (2130706433, 0x7f.1, 0177.0.0.1), by which checks are got round."""
    plain = plain_host(host)
    return _NUMBER.fullmatch(plain.rsplit(".", 1)[-1]) is not None and literal_of(plain) is None


def block_of(address: Address) -> Block | None:
    """Return what blocks an address, or None for a public one. What embeds an address of IPv4 is judged by that one."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return Block(IPv6Network((int(address), 128)), "of one link only")
    found = next((one for one in BLOCKS if address.version == one.network.version and address in one.network), None)
    if found is not None or isinstance(address, IPv4Address):
        return found
    for network, shift, how in EMBEDDING:
        if address in network:
            inner = block_of(IPv4Address((int(address) >> shift) & 0xFFFFFFFF))
            return Block(network, f"{inner.what}, {how}") if inner else None
    return None if address in GLOBAL_V6 else Block(IPv6Network("::/0"), "reserved")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an address may not be spoken to, and what would mend it."""

    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.rule}; {self.remedy}"


ELSEWHERE = "correct the endpoint in the System policy"


def refusal(host: str, port: int, addresses: Iterable[str], internal: Collection[Pair] = ()) -> Refusal | None:
    """Return why a host may not be connected to, given every address that it leads to; None when all of them may be."""
    if is_odd(host):
        return Refusal(f"'{host}' is an address in an odd spelling", f"write it in its plain form; {ELSEWHERE}")
    asked = plain_host(host)
    for text in addresses:
        address = ip_address(text)
        block = block_of(address)
        if block is not None and not _opened(block, Pair(asked, port), Pair(str(address), port), internal):
            return _refused(Pair(asked, port), Pair(str(address), port), block)
    return None


def _opened(block: Block, asked: Pair, led: Pair, internal: Collection[Pair]) -> bool:
    by_name = block.opens is Opens.NAME or (block.opens is Opens.ADDRESS and asked.host == LOCALHOST)
    return (block.opens is not Opens.NOTHING and led in internal) or (by_name and asked in internal)


def _refused(asked: Pair, led: Pair, block: Block) -> Refusal:
    rule = f"{asked} is {block.what}" if asked == led else f"{asked} leads to {led.host}, which is {block.what}"
    if block.opens is Opens.NOTHING:
        return Refusal(rule, f"no policy can allow that; {ELSEWHERE}")
    meant = asked if block.opens is Opens.NAME or asked.host == LOCALHOST else led
    return Refusal(rule, f"if that is meant, add '{meant}' to spec.internal of the System policy; else {ELSEWHERE}")


def place_of(endpoint: str) -> tuple[str, Pair] | None:
    """Return scheme and place of an endpoint, or None for a folder and for what is no address. The port may be 0: unknown."""
    if "://" not in endpoint:
        return None
    try:
        parts = urlsplit(endpoint)
        port = parts.port if parts.port is not None else PORTS.get(parts.scheme, 0)
        return (parts.scheme, Pair(plain_host(parts.hostname), port)) if parts.hostname else None
    except ValueError:
        return None


def literal_refusal(endpoint: str, internal: Collection[Pair] = ()) -> Refusal | None:
    """Return why an endpoint may not be connected to, as far as it can be told without looking up its name."""
    place = place_of(endpoint)
    if place is None:
        return None
    pair = place[1]
    literal = literal_of(pair.host)
    if pair.host == LOCALHOST or pair.host.endswith(f".{LOCALHOST}"):
        literal = IPv4Address("127.0.0.1")
    return refusal(pair.host, pair.port, [str(literal)] if literal else [], internal)
