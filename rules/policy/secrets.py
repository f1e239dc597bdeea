"""Where a secret stands in a policy by value, so that it is refused before it is kept, and shown nowhere. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rules.policy import kinds as k
from rules.policy.problems import Path

_SEGMENT = "[A-Za-z0-9_-][A-Za-z0-9_.-]*"
SECRET = re.compile(rf"^((env|file):[A-Za-z0-9_][A-Za-z0-9_.-]*|vault:{_SEGMENT}(/{_SEGMENT})+#{_SEGMENT})$")
"""A reference to one."""
NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
"""What a secret may be called; what is called otherwise may be the secret itself."""
PASSWORD = re.compile(r"://[^/@:\s]*:(?!\d*(?:[/?#]|$))[^@\s]*@")
"""A password in an address; the colon of a port is followed by nothing but digits."""
LOGIN = re.compile(r"^https?://[^/?#@\s]+@", re.IGNORECASE)
"""Whoever stands before the host of a web address is let in by it."""
IN_QUERY = re.compile(
    r"[?&;#](?:[^=&;#]*(?:token|secret|passw|api_?-?key|credential|signature)[^=&;#]*|key|auth|sig|pwd|code)=(?!&|;|#|$)",
    re.IGNORECASE,
)
"""A parameter of an address that lets somebody in."""
NAMED = re.compile(
    r".*(?:token|secret|password|passwd|passphrase|credentials?|api_?-?key|(?:access|private|secret|signing)[_-]?key|authorization)",
    re.IGNORECASE,
)
"""What an option, a parameter or a header of a system is called that lets somebody in."""
SENT = frozenset({"headers", "more"})
"""Of a manifest that is sent as it stands; elsewhere it says where in an answer a token is read."""
BY_REFERENCE = (
    "a secret is given by reference, never by value", "write env:NAME, file:NAME or vault:MOUNT/PATH#FIELD under spec.secrets"
)  # fmt: skip
HIDDEN = "••• (by value, not shown)"


def secrets_by_value(spec: k.SystemSpec) -> list[Path]:
    """Return where a secret of a system stands by value, as paths. The values are shown nowhere: they may well be the secrets."""
    wrong = [name for name, given in spec.secrets.items() if not (SECRET.match(given) and NAME.fullmatch(name))]
    places = list(dict.fromkeys(place_of(name) for name in wrong))
    return [*places, *([("spec", "endpoint")] if in_address(spec.endpoint) else []), *_held(spec.options)]


def _held(options: Any) -> Iterator[Path]:
    """Yield where options hold a secret by value: under a name that says so, or in an address."""
    for path, value in _texts(options, ("spec", "options")):
        sent = "manifest" not in path or path[-2] in SENT
        named = sent and NAMED.fullmatch(str(path[-1])) is not None
        if value and not SECRET.match(value) and (named or ("://" in value and in_address(value))):
            yield path


def _addressed(document: k.Document) -> Iterator[Path]:
    """Yield where any other text of a policy holds an address with a password in it."""
    dumped = document.model_dump(mode="json", exclude={"spec": {"secrets", "endpoint", "options"}})
    return (path for path, value in _texts(dumped, ()) if PASSWORD.search(value))


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
        return
    inside = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    )
    for name, each in inside:
        yield from _texts(each, (*path, name))


def is_planes_own(reference: str) -> bool:
    """Say whether a reference leads to a setting of the plane, which is lent to no system."""
    return reference.upper().startswith("ENV:TRUEUP_")


def place_of(name: str) -> Path:
    """Return the place of a secret, by its name where that is one."""
    return ("spec", "secrets", name) if NAME.fullmatch(name) else ("spec", "secrets")


def in_address(endpoint: str) -> bool:
    """Say whether an endpoint holds what lets somebody in."""
    return any(pattern.search(endpoint) for pattern in (PASSWORD, LOGIN, IN_QUERY))


def refusal(document: k.Document) -> str:
    """Return why a document may not be kept, where a secret stands in it by value; empty where none does."""
    by_value = [*(secrets_by_value(document.spec) if isinstance(document, k.System) else ()), *_addressed(document)]
    if not by_value:
        return ""
    where, (rule, remedy) = ", ".join(".".join(map(str, path)) for path in by_value), BY_REFERENCE
    return f"{document.kind}/{document.name} {where}: {rule}; {remedy}. If it was one, change it where it is used"


def shown(path: str, value: Any) -> Any:
    """Return a field of a policy as people may see it, by its dotted path: what is no reference to a secret is not shown."""
    if path == "spec.secrets" and isinstance(value, Mapping):
        return {name: shown(f"{path}.{name}", each) for name, each in value.items()}
    if path.startswith("spec.secrets."):
        return value if value is None or (isinstance(value, str) and SECRET.match(value)) else HIDDEN
    if path == "spec.endpoint" and isinstance(value, str) and in_address(value):
        return HIDDEN
    return value
