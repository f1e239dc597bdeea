"""The partner's profile: who we and they are on the envelope, how their files are written, and what their codes of quantity mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from controlplane.connectors.builtin.edi_x12.reader import Interchange, Separators
from controlplane.connectors.contract import Context, Flaw
from controlplane.connectors.folders import host_key_flaws
from controlplane.errors import SettingsError

VERSIONS = {"004010": "00401", "005010": "00501"}
"""GS08 -> ISA12."""
COUNTS = ("on_hand", "available", "allocated", "in_transit")
USUAL_STOCK: Mapping[str, tuple[str, ...]] = {"on_hand": ("17",), "available": ("33",), "in_transit": ("63",)}
"""QTY01 of an 846 that each count is the sum of, unless the profile says otherwise."""
OPTIONS = (
    "us", "partner", "version", "separators", "usage", "inbox", "outbox", "archive", "acknowledge", "await_997", "location",
    "sku_qualifier", "stock", "time_zone", "first_control", "look_back_days", "host_key",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Party:
    """How somebody is called on the envelope."""

    qualifier: str
    id: str
    group: str
    """GS02 or GS03."""

    def __str__(self) -> str:
        return f"{self.qualifier}/{self.id}"


@dataclass(frozen=True, slots=True)
class Profile:
    """All that a System's options say of a partner."""

    us: Party
    partner: Party
    version: str
    separators: Separators
    newline: bool
    usage: str
    inbox: str
    outbox: str
    archive: str
    acknowledge: bool
    await_997: bool
    location: str
    sku_qualifier: str
    stock: Mapping[str, tuple[str, ...]]
    zone: ZoneInfo
    look_back_days: int
    first_control: int

    def stranger(self, interchange: Interchange) -> str:
        """Say why an interchange is not from this partner to us; empty where it is."""
        isa = interchange.isa
        sender, receiver = (f"{isa.at(5)}/{isa.at(6)}", f"{isa.at(7)}/{isa.at(8)}")
        if (sender, receiver) != (str(self.partner), str(self.us)):
            return f"the interchange is from {sender} to {receiver}, and this System is told of by {self.partner} to {self.us}"
        if isa.at(15) != self.usage:
            return f"ISA15 is '{isa.at(15)}', and this System is told of with '{self.usage}'"
        return ""


def profile_of(context: Context) -> Profile:
    """Return the profile that the options describe. Raises SettingsError with every flaw."""
    options = context.options
    found = list(flaws(context.endpoint, options))
    if found:
        told = "; ".join(f"{'.'.join(path)}: {rule}; {remedy}" for path, rule, remedy in found)
        raise SettingsError(f"System '{context.system}': {told}")
    marks = options.get("separators", {})
    version = str(options.get("version", "004010"))
    return Profile(
        us=_party(options["us"]), partner=_party(options["partner"]), version=version,
        separators=Separators(
            str(marks.get("element", "*")), str(marks.get("component", ">")),
            str(marks.get("repetition", "^")) if version >= "005010" else "", str(marks.get("segment", "~")),
        ),
        newline=bool(marks.get("newline", True)), usage=str(options.get("usage", "P")),
        inbox=str(options.get("inbox", "in")), outbox=str(options.get("outbox", "out")),
        archive=str(options.get("archive", "")), acknowledge=bool(options.get("acknowledge", True)),
        await_997=bool(options.get("await_997", True)), location=str(options.get("location", "")),
        sku_qualifier=str(options.get("sku_qualifier", "VN")), stock=_stock(options.get("stock", {})),
        zone=ZoneInfo(str(options.get("time_zone", "UTC"))), look_back_days=int(options.get("look_back_days", 30)),
        first_control=int(options.get("first_control", 1)),
    )  # fmt: skip


def _party(told: Mapping[str, Any]) -> Party:
    return Party(str(told.get("qualifier", "ZZ")), str(told["id"]), str(told.get("group", told["id"])))


def _stock(told: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {**USUAL_STOCK, **{name: tuple(str(code) for code in codes) for name, codes in told.items()}}


# --- what may be wrong with it ---


def flaws(endpoint: str, options: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield what is wrong with endpoint and options: path within the spec, rule, remedy."""
    for name in ("us", "partner"):
        yield from _party_flaws(name, options.get(name))
    if str(options.get("version", "004010")) not in VERSIONS:
        yield ("options", "version"), "no such version is written", f"write one of {', '.join(VERSIONS)}"
    if options.get("usage", "P") not in ("P", "T"):
        yield ("options", "usage"), "ISA15 is P or T", "write P for production, T for test"
    yield from _separator_flaws(options.get("separators", {}))
    for name in ("inbox", "outbox", "archive"):
        if not re.fullmatch(r"(?!\.)[\w.-]+(/(?!\.)[\w.-]+)*|", str(options.get(name, ""))):
            yield (
                ("options", name),
                "it is no folder within the endpoint",
                "write a relative path of letters, digits, - _ .",
            )
    yield from _stock_flaws(options.get("stock", {}))
    try:
        ZoneInfo(str(options.get("time_zone", "UTC")))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield ("options", "time_zone"), "there is no such time zone", "write for instance America/Chicago"
    for name, usual, most in (("look_back_days", 30, 3650), ("first_control", 1, 999_999_999)):
        told = options.get(name, usual)
        if isinstance(told, bool) or not isinstance(told, int) or not 1 <= told <= most:
            yield ("options", name), f"{told!r} is no such number", f"write a whole number, 1 to {most}"
    for name in ("acknowledge", "await_997"):
        if not isinstance(options.get(name, True), bool):
            yield ("options", name), "it is neither true nor false", "write true or false"
    yield from host_key_flaws(endpoint, options)


def _party_flaws(name: str, told: Any) -> Iterator[Flaw]:
    if not isinstance(told, Mapping) or not re.fullmatch(r"[ -~]{1,15}", str(told.get("id", ""))):
        yield ("options", name), "nobody is named", f"add '{name}: {{qualifier: ZZ, id: 1 to 15 characters}}'"
    elif not re.fullmatch(r"[A-Z0-9]{2}", str(told.get("qualifier", "ZZ"))):
        yield (
            ("options", name, "qualifier"),
            "it is no qualifier",
            "write two characters, ZZ where it is agreed mutually",
        )
    elif not re.fullmatch(r"[ -~]{2,15}", str(told.get("group", told["id"]))):
        yield ("options", name, "group"), "it is no code of an application", "write 2 to 15 characters"


def _separator_flaws(marks: Any) -> Iterator[Flaw]:
    names = ("element", "component", "repetition", "segment")
    if not isinstance(marks, Mapping) or set(marks) - {*names, "newline"}:
        yield ("options", "separators"), "it is no set of separators", f"write {', '.join(names)}, newline"
        return
    used = [str(marks.get(name, default)) for name, default in zip(names, "*>^~", strict=True)]
    if any(len(mark) != 1 or mark.isalnum() or mark in " .-" or not mark.isascii() for mark in used):
        yield (
            ("options", "separators"),
            "a separator is one character that no text holds",
            "write for instance '*', '>', '^', '~'",
        )
    elif len(set(used)) < len(used):
        yield ("options", "separators"), "two separators are the same", "write four different characters"


def _stock_flaws(told: Any) -> Iterator[Flaw]:
    if (
        not isinstance(told, Mapping)
        or set(told) - set(COUNTS)
        or not all(isinstance(v, list | tuple) for v in told.values())
    ):
        yield ("options", "stock"), "it is no table of counts", f"write lists of QTY01 under {', '.join(COUNTS)}"
