"""What a query costs. The vendor does not publish exact figures: shape and budget are theirs, the sizes ours."""

from math import isqrt
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)

from controlplane.sandbox.gql import Ask

MUTATION = 10
SINGLE_QUERY_MAX = 1000


def requested(ask: Ask) -> int:
    """Cost before running: 1 an object, 2 a connection and its nodes times the root of the page size, 10 a mutation."""
    if ask.document is None:
        return 1
    fragments = {d.name.value: d for d in ask.document.definitions if isinstance(d, FragmentDefinitionNode)}
    operations = [d for d in ask.document.definitions if isinstance(d, OperationDefinitionNode)]
    sizes = [_size(operation.selection_set, ask.variables, fragments) for operation in operations]
    return max(1, sum(sizes) + (MUTATION * len(ask.fields) if ask.writes else 0))


def _size(chosen: SelectionSetNode, variables: dict[str, Any], fragments: dict[str, FragmentDefinitionNode]) -> int:
    total = 0
    for node in chosen.selections:
        if isinstance(node, FragmentSpreadNode):
            fragment = fragments.get(node.name.value)
            total += _size(fragment.selection_set, variables, fragments) if fragment else 0
        elif isinstance(node, InlineFragmentNode):
            total += _size(node.selection_set, variables, fragments)
        elif isinstance(node, FieldNode) and node.selection_set:
            inner = _size(node.selection_set, variables, fragments)
            page = _page(node, variables)
            total += 1 + inner if page is None else 2 + max(1, isqrt(page)) * max(1, inner)
    return total


def _page(node: FieldNode, variables: dict[str, Any]) -> int | None:
    value = next((a.value for a in node.arguments or () if a.name.value == "first"), None)
    if isinstance(value, IntValueNode):
        return int(value.value)
    given = variables.get(value.name.value) if isinstance(value, VariableNode) else None
    return given if isinstance(given, int) else None


def actual(data: Any, writes: bool, asked: int) -> int:
    """The cost after running: the objects that came back, never above what was asked for."""
    return min(asked, max(1, _objects(data) + (MUTATION if writes else 0)))


def _objects(data: Any) -> int:
    if isinstance(data, dict):
        return 1 + sum(_objects(value) for value in data.values())
    return sum(_objects(value) for value in data) if isinstance(data, list) else 0
