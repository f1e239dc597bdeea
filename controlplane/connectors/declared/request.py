"""A request of a manifest: filled in from a scope, sent through the shared client, its answer's own errors told by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import AfterValidator, Field, model_validator

from controlplane.connectors.declared.values import Part, Scope, Value, compiled, evaluate, expressions, found, tree
from controlplane.errors import BadInputError

_HOLE = re.compile(r"\{([^{}]+)\}")


def _below(text: str) -> str:
    if not text.startswith("/") or text.startswith("//") or ".." in text.split("?")[0].split("/"):
        raise ValueError(f"'{text}' is no path below the endpoint; begin it with one / and leave .. out")
    for expression in _HOLE.findall(text):
        compiled(expression)
    return text


PathBelow = Annotated[str, Field(max_length=1000), AfterValidator(_below)]


class Request(Part):
    """What is asked. `path` is below the endpoint, with expressions in braces; null in `params` and `headers` leaves the parameter out."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    path: PathBelow = "/"
    params: dict[str, Value] = Field(default={})
    headers: dict[str, Value] = Field(default={})
    body: Value = None
    form: dict[str, Value] | None = None
    graphql: str | None = Field(default=None, max_length=20_000, description="a GraphQL document; it is sent by POST")
    variables: dict[str, Value] = Field(default={})
    operation: str | None = Field(default=None, max_length=200, description="of the WSDL in `soap`, instead of a path")
    arguments: dict[str, Value] = Field(default={})

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        given = [name for name in ("body", "form", "graphql", "operation") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"a request has one of body, form, graphql and operation, not {' and '.join(given)}")
        if (self.graphql or self.operation) and (self.headers or self.params):
            raise ValueError(
                "graphql and operation take no `headers` and `params` of their own; use variables, or arguments"
            )
        if self.variables and self.graphql is None:
            raise ValueError("`variables` belong to `graphql`")
        if self.arguments and self.operation is None:
            raise ValueError("`arguments` belong to `operation`")
        return self

    def expressions(self) -> Iterator[str]:
        """Yield every expression in it."""
        yield from _HOLE.findall(self.path)
        for part in (self.params, self.headers, self.body, self.form, self.variables, self.arguments):
            yield from expressions(part)

    def filled(self, scope: Scope) -> tuple[str, str, dict[str, Any]]:
        """Return method, path and httpx's content. Raises BadInputError (UnmappedError) before anything is sent."""
        content: dict[str, Any] = {
            "params": _given(tree(self.params, scope)),
            "headers": _given(tree(self.headers, scope)),
        }
        if self.graphql is not None:
            sent = {"query": self.graphql, "variables": tree(self.variables, scope)}
            return "POST", self._path(scope), {**content, "json": sent}
        if self.form is not None:
            content["data"] = _given(tree(self.form, scope))
        elif self.body is not None:
            content["json"] = evaluate(self.body, scope, "body")
        return self.method, self._path(scope), {name: one for name, one in content.items() if one or name == "json"}

    def _path(self, scope: Scope) -> str:
        def fill(match: re.Match[str]) -> str:
            value = found(match[1], scope.data)
            text = "" if value is None else str(value)
            if text in ("", ".", ".."):
                raise BadInputError(
                    f"the path {self.path} needs '{match[1]}', and it is '{text}'; nothing was sent", match[1]
                )
            return quote(text, safe="")

        return _HOLE.sub(fill, self.path)


def _given(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(one) for name, one in values.items() if one is not None}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
