"""What a bulk query may ask, and how its pages become lines: each object one, a child with the id of its parent, after it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    GraphQLError,
    IntValueNode,
    NameNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    StringValueNode,
    parse,
)

PAGE = 250
MOST_CONNECTIONS, DEEPEST = 5, 2
ELSEWHERE = "All connection fields in a bulk query must select their contents using 'edges' > 'node', e.g: '{} {{ edges {{ node {{'. Selecting via 'nodes' is not supported. Invalid connection fields: '{}'."  # noqa: E501 the vendor's words
PARENTLESS = "The parent 'node' field for a nested connection must select the 'id' field without an alias and must be of 'ID' return type. Connection fields without 'id': "  # noqa: E501 the vendor's words


def problems(text: str) -> list[str]:
    """What the vendor has against a query, in its words."""
    try:
        document = parse(text)
    except GraphQLError as error:
        told = "unexpected end of file" if not text.strip() else error.message
        return [f"Invalid bulk query: syntax error, {told}"]
    operation = _operation(document)
    if operation is None or operation.operation is not OperationType.QUERY:
        return ["Invalid operation type. Only `query` operations are supported."]
    return list(_against(operation.selection_set))


def _against(roots: SelectionSetNode) -> Iterator[str]:
    found = list(_connections(roots, 0))
    if any(field.name.value == "node" for field in _fields(roots)):
        yield "Bulk queries cannot contain a top level `node` field."
    if not found:
        yield "Bulk queries must contain at least one connection."
    if plain := [field.name.value for field, _ in found if _inner(field, "nodes") is not None]:
        yield ELSEWHERE.format(plain[0], "', '".join(plain))
    if len(found) > MOST_CONNECTIONS:
        yield f"Bulk queries cannot contain more than {MOST_CONNECTIONS} connections."
    if any(depth > DEEPEST for _, depth in found):
        yield f"Bulk queries cannot contain connections with a nesting depth greater than {DEEPEST}."
    if bare := [field.name.value for field, _ in found if _bare(field)]:
        yield f"{PARENTLESS}{', '.join(bare)}."


def _bare(field: FieldNode) -> bool:
    node = _node(field)
    nested = node is not None and any(True for _ in _connections(node, 0))
    return node is not None and nested and not any(one.name.value == "id" and not one.alias for one in _fields(node))


def _operation(document: DocumentNode) -> OperationDefinitionNode | None:
    return next((one for one in document.definitions if isinstance(one, OperationDefinitionNode)), None)


def _fields(chosen: SelectionSetNode) -> list[FieldNode]:
    return [one for one in chosen.selections if isinstance(one, FieldNode)]


def _inner(field: FieldNode, name: str) -> FieldNode | None:
    chosen = _fields(field.selection_set) if field.selection_set else []
    return next((one for one in chosen if one.name.value == name), None)


def _node(field: FieldNode) -> SelectionSetNode | None:
    edges = _inner(field, "edges")
    node = _inner(edges, "node") if edges else None
    return node.selection_set if node else None


def _connections(chosen: SelectionSetNode, depth: int) -> Iterator[tuple[FieldNode, int]]:
    for field in _fields(chosen):
        node = _node(field)
        if node is not None or _inner(field, "nodes") is not None:
            yield field, depth
        inner = node if node is not None else field.selection_set
        if inner:
            yield from _connections(inner, depth + (node is not None))


def page(text: str, after: str | None) -> tuple[DocumentNode, str]:
    """The query for the next page of its first connection, nested ones whole, and that connection's name."""
    document = parse(text)
    operation = _operation(document)
    if operation is None:
        raise ValueError(text)
    root, *_ = [field for field, _ in _connections(operation.selection_set, 0)]
    turned = replace(operation, selection_set=_paged(operation.selection_set, after, outermost=True))
    return replace(document, definitions=(turned,)), root.name.value


def _paged(chosen: SelectionSetNode, after: str | None, *, outermost: bool = False) -> SelectionSetNode:
    return SelectionSetNode(
        selections=tuple(
            _turned(one, after, outermost=outermost) if isinstance(one, FieldNode) else one for one in chosen.selections
        )
    )


def _turned(field: FieldNode, after: str | None, *, outermost: bool) -> FieldNode:
    if field.selection_set is None:
        return field
    inner = _paged(field.selection_set, None)
    if _node(field) is None:
        return replace(field, selection_set=inner)
    given = [_number("first", PAGE)] + ([_text("after", after)] if after and outermost else [])
    kept = (one for one in field.arguments or () if one.name.value not in ("first", "after"))
    info = _named("pageInfo", SelectionSetNode(selections=(_named("hasNextPage"), _named("endCursor"))))
    chosen = SelectionSetNode(selections=(*inner.selections, *([info] if outermost else [])))
    return replace(field, arguments=(*kept, *given), selection_set=chosen)


def _named(name: str, inner: SelectionSetNode | None = None) -> FieldNode:
    return FieldNode(name=NameNode(value=name), arguments=(), directives=(), selection_set=inner)


def _number(name: str, value: int) -> ArgumentNode:
    return ArgumentNode(name=NameNode(value=name), value=IntValueNode(value=str(value)))


def _text(name: str, value: str) -> ArgumentNode:
    return ArgumentNode(name=NameNode(value=name), value=StringValueNode(value=value))


def lines(connection: dict[str, Any]) -> Iterator[str]:
    """The lines of a page: all its objects, then all their children."""
    later: list[tuple[str, dict[str, Any]]] = []
    for edge in connection["edges"]:
        told, children = _told(edge["node"])
        yield json.dumps(told)
        later += [(told["id"], child) for child in children]
    for parent, child in later:
        yield from _below(parent, child)


def _below(parent: str, connection: dict[str, Any]) -> Iterator[str]:
    for edge in connection["edges"]:
        told, children = _told(edge["node"])
        yield json.dumps({**told, "__parentId": parent})
        for child in children:
            yield from _below(told["id"], child)


def _told(node: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    nested = {name for name, value in node.items() if isinstance(value, dict) and "edges" in value}
    return {name: value for name, value in node.items() if name not in nested}, [node[name] for name in nested]
