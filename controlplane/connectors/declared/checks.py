"""Holds a manifest against its form, against itself, and against what can be promised with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from controlplane.connectors.contract import Flaw, Manifest, ReadSpec, WriteSpec
from controlplane.connectors.declared.access import KINDS
from controlplane.connectors.declared.manifest import FORM, Document, FilesDocument, RestRead, SqlDocument, Whole
from controlplane.connectors.declared.request import Request
from controlplane.connectors.declared.sql import strange
from controlplane.connectors.declared.values import Part, Shape, expressions, secrets_in
from controlplane.connectors.folders import host_key_flaws
from controlplane.errors import BadInputError
from rules.canonical import canonical_json
from rules.personal import USUAL

OWN_OPTIONS = ("manifest", "locations")
"""Options of every declared connector: its manifest, and the locations that policies speak of."""
_LITERAL = re.compile(r"'[^']*'|`[^`]*`")
_WORD = re.compile(r"[A-Za-z_][\w-]*(?!\w*\s*\()")
LARGEST = 200_000
"""Characters of the largest manifest that is read."""


class ManifestError(BadInputError):
    """A manifest is refused; `flaws` says where and why."""

    def __init__(self, flaws: list[Flaw]) -> None:
        super().__init__("; ".join(f"{'.'.join(path)}: {rule}; {remedy}" for path, rule, remedy in flaws[:5]))
        self.flaws = flaws


def shipped() -> dict[str, str]:
    """Return the manifests that come with Trueup: name -> YAML."""
    folder = files("controlplane.connectors.declared") / "manifests"
    found = (one for one in folder.iterdir() if one.name.endswith(".yaml"))
    return {
        one.name.removesuffix(".yaml"): one.read_text(encoding="utf-8")
        for one in sorted(found, key=lambda one: one.name)
    }


def document_of(options: Mapping[str, Any]) -> Whole:
    """Return the manifest of a System's options: written there, or shipped under the name that stands there. Raises ManifestError."""
    given = options.get("manifest")
    path = ("options", "manifest")
    if isinstance(given, str):
        known = shipped()
        if given not in known:
            names = ", ".join(known) or "none"
            rule = f"there is no shipped manifest '{given[:60]}'"
            raise ManifestError([(path, rule, f"write the manifest there, or name one of: {names}")])
        given = yaml.safe_load(known[given])
    if not isinstance(given, Mapping):
        raise ManifestError(
            [(path, "a declared connector needs its manifest", "write it there; `trueup connector new` begins one")]
        )
    try:
        text = canonical_json(given)
    except (TypeError, ValueError) as error:
        rule = f"it holds what no document has: {error}"
        raise ManifestError([(path, rule, "write texts, numbers, lists and objects")]) from error
    if len(text) > LARGEST:
        rule = f"it has {len(text)} characters, and {LARGEST} are read"
        raise ManifestError([(path, rule, "make it shorter; write a connector for more")])
    read = _read(text)
    if isinstance(read, list):
        raise ManifestError([((*path, *inner), rule, remedy) for inner, rule, remedy in read])
    return read


@lru_cache(maxsize=64)
def _read(text: str) -> Whole | list[Flaw]:
    try:
        return FORM.validate_python({"kind": "rest", **json.loads(text)})
    except ValidationError as error:
        return _flaws(error)
    except RecursionError:
        return [((), "it is nested deeper than any manifest is", "make it flatter")]


def _flaws(error: ValidationError) -> list[Flaw]:
    """One flaw for each place: where several forms may stand, the one that says most."""
    found: dict[tuple[str, ...], Flaw] = {}
    for one in error.errors(include_url=False):
        path = _place(one["loc"])
        rule, remedy = _said(one)
        if path not in found or _weight(rule) > _weight(found[path][1]):
            found[path] = (path, rule, remedy)
    # what is wrong within a part explains why the part is none
    return [
        flaw for path, flaw in found.items() if not any(other != path and other[: len(path)] == path for other in found)
    ]


DOCUMENTS = frozenset({"rest", "sql", "files"})
FORMS = frozenset({"Shape", "bool", "int", "float", "none", "str"})


def _place(given: tuple[int | str, ...]) -> tuple[str, ...]:
    """Return where something stands, without the forms that were tried on it."""
    parts = [str(part) for part in given]
    parts = parts[1:] if parts and parts[0] in DOCUMENTS else parts
    named = [part for at, part in enumerate(parts) if not (at == 1 and parts[0] == "access" and part in KINDS)]
    return tuple(part for part in named if part not in FORMS and not part.startswith(("function-", "constrained-")))


def _weight(rule: str) -> int:
    return (2 if "JMESPath" in rule or "exactly one" in rule else 0) + (0 if rule.startswith("input should") else 1)


def _said(one: Any) -> tuple[str, str]:
    message = str(one["msg"])
    if one["type"] == "extra_forbidden":
        return (
            f"'{one['loc'][-1]}' is not known here",
            "take it out, or correct its name; `trueup connector schema` prints the form",
        )
    if one["type"] == "missing":
        return f"'{one['loc'][-1]}' is missing", "add it"
    if one["type"] == "value_error":
        rule, found, remedy = message.removeprefix("Value error, ").partition("; ")
        return rule, remedy if found else "correct it"
    return message[:1].lower() + message[1:], "correct it; `trueup connector schema` prints the form"


def check(endpoint: str, options: Mapping[str, Any]) -> Iterator[Flaw]:
    """Find what is wrong with the manifest in a System's options, for the lint."""
    try:
        document = document_of(options)
    except ManifestError as error:
        yield from error.flaws
        return
    yield from flaws_of(document)
    yield from host_key_flaws(endpoint, options) if isinstance(document, FilesDocument) else ()
    if isinstance(document, SqlDocument) and (odd := _strange(endpoint)):
        yield (
            ("endpoint",),
            f"its '{odd}' could lead elsewhere than to a host and port that are checked",
            "write those, and nothing beside",
        )
    for option in document.options:
        if option not in options and option not in document.optional:
            yield (
                ("options",),
                f"the manifest takes '{option}' from the options, and it is not there",
                f"add '{option}' to spec.options",
            )


def _strange(endpoint: str) -> str:
    try:
        return strange(make_url(endpoint))
    except (ArgumentError, ValueError):
        return ""  # what is no URL at all is told elsewhere


def flaws_of(document: Whole) -> Iterator[Flaw]:
    """Find where a manifest that is well formed contradicts itself."""
    base = ("options", "manifest")
    for option in sorted(set(_options_in(document)) - set(document.options) - set(OWN_OPTIONS)):
        yield (
            (*base, "options"),
            f"a value takes the option '{option}', which is not declared",
            f"add {option} to `options`",
        )
    if isinstance(document, Document) and document.soap is None and any(_operations_in(document)):
        yield (
            base,
            f"a request calls the operation '{next(_operations_in(document))}', and there is no WSDL",
            "add `soap` with its `wsdl`",
        )
    for at, read in enumerate(document.reads):
        for which, told in enumerate(read.messages):
            for name, field in _personal_in(told.fields):
                rule = f"it takes '{field}', which by its name tells of a person; messages hold nothing personal"
                yield (
                    (*base, "reads", str(at), "messages", str(which), "fields", name),
                    rule,
                    "take something else, or leave it out",
                )
        if any(secrets_in(read)):
            yield (*base, "reads", str(at)), "a request of data takes a secret", "secrets go in by `access` only"
        for path, rule, remedy in _of_read(read) if isinstance(read, RestRead) else ():
            yield (*base, "reads", str(at), *path), rule, remedy
    for at, write in enumerate(document.writes):
        if any(secrets_in(write)):
            yield (*base, "writes", str(at)), "a request of data takes a secret", "secrets go in by `access` only"


def _of_read(read: RestRead) -> Iterator[tuple[tuple[str, ...], str, str]]:
    asked = " ".join(read.request.expressions())
    if read.since is not None and "since" not in asked:
        yield (
            ("request",),
            "`since` is declared and no request asks by it",
            "use `since` in params or variables, or take it out",
        )
    if read.paging.kind in ("token", "relay", "offset", "numbered", "key") and "page" not in asked:
        yield (
            ("request",),
            f"pages are told by {read.paging.kind} and no request asks by `page`",
            "use `page` in params, body or variables",
        )
    if read.paging.kind in ("link", "next_url") and read.request.graphql is not None:
        yield ("paging",), "a GraphQL request has no next address", "page by token, relay, offset or key"


def _personal_in(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a field of a message is taken from, where that is personal by its name, or stands in something that is."""
    for name, value in fields.items():
        for expression in expressions(value):
            for word in _WORD.findall(_LITERAL.sub(" ", expression)):
                if USUAL.of((word,)) not in (None, "show"):
                    yield name, word


def _operations_in(value: Any) -> Iterator[str]:
    if isinstance(value, Request):
        yield from [value.operation] if value.operation is not None else []
    elif isinstance(value, Part):
        for name in type(value).model_fields:
            yield from _operations_in(getattr(value, name))
    elif isinstance(value, tuple):
        for one in value:
            yield from _operations_in(one)


def _options_in(value: Any) -> Iterator[str]:
    if isinstance(value, Shape) and value.option is not None:
        yield value.option
    if hasattr(type(value), "model_fields"):
        for name in type(value).model_fields:
            yield from _options_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _options_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _options_in(one)


def manifest_of(options: Mapping[str, Any]) -> Manifest | None:
    """Return what the declared connector of these options can do; None where the manifest is refused."""
    try:
        return declared(document_of(options))
    except ManifestError:
        return None


def declared(document: Whole) -> Manifest:
    """Return what a manifest declares, in the form of every connector."""
    return Manifest(
        name="declared",
        title=document.title,
        reads=tuple(
            ReadSpec(one.entity, snapshot=one.levels is not None, changes=bool(one.messages)) for one in document.reads
        ),
        writes=tuple(
            WriteSpec(one.entity, one.message_types, one.guarantee, late_effect=one.late_effect.total_seconds())
            for one in document.writes
        ),
        secrets=document.secrets(),
        optional_secrets=document.optional_secrets(),
        schemes=document.schemes,
        options=tuple(dict.fromkeys((*OWN_OPTIONS, *document.place_options, *document.options))),
        check=check,
        verified_against=document.verified_against,
    )
