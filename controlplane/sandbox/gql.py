"""What both GraphQL APIs share: reading requests, and naming the operations that a fault may aim at."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from flask import request
from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    parse,
    validate,
)

KEPT = 256
"""Documents that are kept parsed: clients send the same few again and again."""


@dataclass
class Ask:
    """A GraphQL request: its text, variables and, when it parses, its document."""

    text: str
    variables: dict[str, Any]
    operation_name: str | None
    document: DocumentNode | None = None
    syntax_error: GraphQLError | None = None
    fields: list[str] = field(default_factory=list)
    writes: bool = False

    @property
    def operations(self) -> tuple[str, ...]:
        """`read` or `write`, then the root fields asked for."""
        return ("write" if self.writes else "read", *self.fields)


def read_ask() -> Ask | None:
    """The request's GraphQL, or None when the body is no GraphQL request."""
    body = request.get_json(silent=True, force=True)
    if not isinstance(body, dict) or not isinstance(body.get("query"), str):
        return None
    ask = Ask(body["query"], body.get("variables") or {}, body.get("operationName"))
    try:
        ask.document = _parsed(ask.text)
    except GraphQLError as error:
        ask.syntax_error = error
        return ask
    for node in ask.document.definitions:
        if isinstance(node, OperationDefinitionNode):
            ask.writes |= node.operation is OperationType.MUTATION
            ask.fields += [one.name.value for one in node.selection_set.selections if isinstance(one, FieldNode)]
    return ask


_parsed = lru_cache(KEPT)(parse)


def validator(schema: GraphQLSchema) -> Callable[[str], list[GraphQLError]]:
    """What is wrong by this schema with the text of a document that parses; looked for once in each."""
    return lru_cache(KEPT)(lambda text: validate(schema, _parsed(text)))
