"""Exchanges with a simulator held against the vendor's own description (OpenAPI 3.0, Swagger 2.0): what was asked, what was answered."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import yaml
from jsonschema import Draft4Validator, validators

PLAIN = {"type", "enum", "minimum", "maximum", "items", "maxItems", "minItems", "pattern"}
FORM = "application/x-www-form-urlencoded"
METHODS = {"get", "post", "put", "patch", "delete"}


def _type(validator: Any, types: Any, instance: Any, schema: Mapping[str, Any]) -> Iterable[Any]:
    """What may be null in OpenAPI 3.0 says so beside its type."""
    if instance is None and schema.get("nullable"):
        return
    yield from Draft4Validator.VALIDATORS["type"](validator, types, instance, schema)


def _enum(validator: Any, enums: Any, instance: Any, schema: Mapping[str, Any]) -> Iterable[Any]:
    if instance is None and schema.get("nullable"):
        return
    yield from Draft4Validator.VALIDATORS["enum"](validator, enums, instance, schema)


def _any_of(validator: Any, schemas: Any, instance: Any, schema: Mapping[str, Any]) -> Iterable[Any]:
    if instance is None and schema.get("nullable"):
        return
    yield from Draft4Validator.VALIDATORS["anyOf"](validator, schemas, instance, schema)


_Validator: Any = validators.extend(Draft4Validator, {"type": _type, "enum": _enum, "anyOf": _any_of})


@dataclass
class Operation:
    """One operation of a description."""

    path: re.Pattern[str]
    told: Mapping[str, Any]
    parameters: list[Mapping[str, Any]]
    whole: Mapping[str, Any]

    def complaints(self, query: str, body: bytes, status: int, answer: bytes) -> Iterable[str]:
        """Say what of an exchange breaks the description."""
        yield from self._asked(dict(parse_qsl(query, keep_blank_values=True)), body)
        responses = {str(code): one for code, one in self.told["responses"].items()}  # of YAML they are numbers
        response = responses.get(str(status), responses.get(f"{status // 100}XX"))
        if response is None and status >= 400:
            response = responses.get("default")
        if response is None:
            if status != 429 and any(code[0] == str(status)[0] for code in responses):
                yield f"it answers {status}, which is not described"
            return  # a description that knows no such answers says nothing of them
        schema = _schema(_resolved(self.whole, response))
        if schema is not None:
            yield from self._against(schema, answer, f"the answer {status}")
        elif answer and status < 400:  # what an error looks like is often told in prose only
            yield f"it answers {status} with a body, and none is described"

    def _asked(self, query: Mapping[str, str], body: bytes) -> Iterable[str]:
        known = {one["name"]: one for one in self.parameters if one["in"] == "query"}
        deep = {name for name, one in known.items() if one.get("style") == "deepObject"}
        query = {name: value for name, value in query.items() if name.partition("[")[0] not in deep}
        query = {
            re.sub(r"\[\d+\]", "[0]", name): value for name, value in query.items()
        }  # the first stands for all of a kind
        yield from (f"it asks with '{name}', which is not described" for name in query if name not in known)
        for name, one in known.items():
            if one.get("required") and name not in query:
                yield f"it asks without '{name}'"
            if name in query:
                told = one.get("schema", one)
                schema = {key: value for key, value in told.items() if key in PLAIN}
                found = _Validator(schema).iter_errors(_typed(told, query[name]))
                yield from (f"it asks with {name}={query[name]!r}: {error.message}" for error in found)
        for one in self.parameters:
            if one["in"] == "body":
                yield from self._against(one["schema"], body, "the request")
        if "requestBody" in self.told:
            told_body = _resolved(self.whole, self.told["requestBody"])
            if body or told_body.get("required"):
                form = list(told_body.get("content", ())) == [FORM]
                yield from self._against(_schema(told_body) or {}, body, "the request", form=form)

    def _against(self, schema: Mapping[str, Any], body: bytes, what: str, *, form: bool = False) -> Iterable[str]:
        try:
            value = _form(schema, body) if form else json.loads(body)
        except ValueError:
            yield f"{what} is no JSON"
            return
        rooted = {**schema, **{name: self.whole.get(name, {}) for name in ("definitions", "components")}}
        for error in _Validator(rooted).iter_errors(value):  # references begin at the root
            yield f"{what}: {error.json_path}: {error.message[:200]}"


def _schema(told: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the schema of a body: of Swagger beside its description, of OpenAPI by its media type."""
    if "content" not in told:
        return told.get("schema")
    found: Mapping[str, Any] | None = next(iter(told["content"].values()), {}).get("schema")
    return found


def _form(schema: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """Return the fields of a form by their schemas; `metadata[key]` is a member of metadata."""
    found: dict[str, Any] = {}
    for name, text in parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True):
        outer, _, inner = name.partition("[")
        value = _typed(schema.get("properties", {}).get(outer, {}), text)
        if inner:
            found.setdefault(outer, {})[inner.removesuffix("]")] = value
        else:
            found[outer] = value
    return found


def _typed(parameter: Mapping[str, Any], text: str) -> Any:
    kind = parameter.get("type")
    if kind == "array":
        return text.split(",")
    if kind in ("integer", "number", "boolean"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


@dataclass
class Contract:
    """WSGI middleware that notes what breaks the descriptions. `used`: the operations that were seen."""

    files: Iterable[Path]
    below: str = ""
    """What stands before the paths of the descriptions."""
    broken: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._operations: list[tuple[str, Operation]] = []
        for file in self.files:
            whole = _read(file)
            for path, item in whole["paths"].items():
                for method in item.keys() & METHODS:
                    shared = [*item.get("parameters", []), *item[method].get("parameters", [])]
                    told = [_resolved(whole, one) for one in shared]
                    self._operations.append((method.upper(), Operation(_pattern(path), item[method], told, whole)))
        self._operations.sort(key=lambda one: one[1].path.pattern.count("[^/]+"))  # what is written out goes before

    def around(self, app: Callable[..., Iterable[bytes]], free: Iterable[str] = ()) -> Callable[..., Iterable[bytes]]:
        """Wrap an application; paths that are `free` belong to no description."""
        exempt = set(free)

        def wrapped(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            seen: list[int] = []

            def started(status: str, headers: Any, *rest: Any) -> Any:
                seen.append(int(status.split()[0]))
                return start(status, headers, *rest)

            answer = b"".join(app(environ, started))
            cut = (seen[-1], answer) == (502, b"")  # the sandbox hung up: nobody reads an answer
            if environ["PATH_INFO"] not in exempt and not cut:
                self._check(environ, body, seen[-1], answer)
            return [answer]

        return wrapped

    def _check(self, environ: Mapping[str, Any], body: bytes, status: int, answer: bytes) -> None:
        method, path = environ["REQUEST_METHOD"], unquote(environ["PATH_INFO"]).removeprefix(self.below)
        found = [one for verb, one in self._operations if verb == method and one.path.match(path)]
        if not found:
            self.broken.append(f"{method} {path} is not described")
            return
        self.used.add(str(found[0].told.get("operationId")))
        told = found[0].complaints(environ.get("QUERY_STRING", ""), body, status, answer)
        self.broken += [f"{method} {path}: {one}" for one in told]


@cache
def _read(file: Path) -> Mapping[str, Any]:
    text = file.read_text(encoding="utf-8")
    found: Mapping[str, Any] = json.loads(text) if file.suffix == ".json" else yaml.load(text, yaml.CSafeLoader)
    return found


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("^" + re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(path)) + "$")


def _resolved(whole: Mapping[str, Any], one: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in one:
        return one
    found: Any = whole
    for part in one["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


def broken(file: Path, definition: str, value: Any) -> list[str]:
    """Return what of a value breaks a definition of a description: where, and why."""
    whole = _read(file)
    of = "definitions" if "definitions" in whole else "components/schemas"
    rooted = {"$ref": f"#/{of}/{definition}", **{name: whole.get(name, {}) for name in ("definitions", "components")}}
    return [f"{error.json_path}: {error.message[:100]}" for error in _Validator(rooted).iter_errors(value)]
