"""What can be done to a request on its way to a system, or to the answer on its way back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Act = Literal["answer", "cut", "hang", "drip", "truncate", "alter", "swell"]
RUBBISH = b"<!DOCTYPE html><html><body><h1>Please sign in to the guest network</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the connector sent it."""

    method: str
    path: str
    """With the query."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


Aim = Callable[[Asked], bool]


def anything(_asked: Asked) -> bool:
    """Aim at every request."""
    return True


@dataclass(frozen=True, slots=True)
class Canned:
    """An answer that the system did not give."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    @classmethod
    def of(cls, status: int, document: Any, **headers: str) -> Canned:
        """Return an answer in JSON; underscores in the names of headers are dashes."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, json.dumps(document).encode(), {"Content-Type": "application/json", **told})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. It strikes the requests that it aims at, after `skip` of them, `times` times (None: every time)."""

    act: Act
    reached: bool = False
    """Whether the system gets the request and carries it out first."""
    canned: Canned = Canned()
    alter: Callable[[Any], Any] | None = None
    """From the JSON that the system answered to what the connector gets."""
    aim: Aim = anything
    skip: int = 0
    times: int | None = None

    def at(self, aim: Aim) -> Fault:
        """Return the fault aimed at other requests."""
        return replace(self, aim=aim)

    def after(self, skip: int, times: int | None = 1) -> Fault:
        """Return the fault that strikes only after so many requests that it aims at."""
        return replace(self, skip=skip, times=times)


def status(code: int, *, reached: bool = False, **headers: str) -> Fault:
    """Answer with a status and a body that says nothing; `reached`: after the system has carried it out."""
    return Fault("answer", reached, Canned.of(code, {"message": "put in by the conformance suite"}, **headers))


def cut(*, reached: bool) -> Fault:
    """Cut the connection, before or after the system has carried the request out."""
    return Fault("cut", reached)


def hang(*, reached: bool) -> Fault:
    """Never answer."""
    return Fault("hang", reached)


def drip() -> Fault:
    """Give the system's answer byte by byte, so slowly that it never ends."""
    return Fault("drip", True)


def truncated() -> Fault:
    """Give half of the system's answer, as though that were all of it."""
    return Fault("truncate", True)


def rubbish(code: int = 200) -> Fault:
    """Answer with a page that some proxy made up."""
    return Fault("answer", False, Canned(code, RUBBISH, {"Content-Type": "text/html"}))


def redirect() -> Fault:
    """Send the request elsewhere on the same host."""
    return Fault("answer", False, Canned(307, b"", {"Location": REDIRECTED}))


REDIRECTED = "/conformance-redirected"


def swollen() -> Fault:
    """Answer with more bytes than anybody should take."""
    return Fault("swell", True)


def altered(change: Callable[[Any], Any]) -> Fault:
    """Let the system answer, and change its JSON."""
    return Fault("alter", True, alter=change)


def members(change: Callable[[str, Any], Any]) -> Callable[[Any], Any]:
    """Return what changes every member (name, value) of every object of a JSON document, however deep."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: change(name, walk(inner)) for name, inner in value.items()}
        return [walk(inner) for inner in value] if isinstance(value, list) else value

    return walk


def objects(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Any], Any]:
    """Return what changes every object of a JSON document, however deep."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return change({name: walk(inner) for name, inner in value.items()})
        return [walk(inner) for inner in value] if isinstance(value, list) else value

    return walk
