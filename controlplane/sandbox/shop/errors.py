"""Top-level GraphQL errors in the shop's own shapes."""

import re
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    VariableDefinitionNode,
    print_ast,
    type_from_ast,
)
from graphql.type import is_input_type
from graphql.utilities import validate_input_value

from controlplane.sandbox.gql import Ask

_CODES = (
    ("Cannot query field", "undefinedField"),
    ("may not be used on", "directiveCannotBeApplied"),
    ("Unknown argument", "argumentNotAccepted"),
    ("Unknown directive", "undefinedDirective"),
    ("argument", "missingRequiredArguments"),
)


def validation_error(error: GraphQLError) -> dict[str, Any]:
    """A query that does not fit the schema."""
    code = next((code for text, code in _CODES if text in error.message), "argumentLiteralsIncompatible")
    return {"message": error.message, "locations": _locations(error), "path": ["query"], "extensions": {"code": code}}


def execution_error(error: GraphQLError) -> dict[str, Any]:
    """A field that failed at run time."""
    shown: dict[str, Any] = {"message": error.message, "locations": _locations(error)}
    shown["extensions"] = dict(error.extensions or {}) or {"code": "INTERNAL_SERVER_ERROR"}
    shown["path"] = list(error.path or [])
    return shown


def _locations(error: GraphQLError) -> list[dict[str, int]]:
    return [{"line": at.line, "column": at.column} for at in error.locations or []]


def variable_errors(schema: GraphQLSchema, ask: Ask) -> list[dict[str, Any]]:
    """Variables that do not fit their types, one error for each, naming every problem in it."""
    definitions = ask.document.definitions if ask.document else ()
    variables = [v for d in definitions if isinstance(d, OperationDefinitionNode) for v in d.variable_definitions or ()]
    return [error for variable in variables if (error := _variable_error(schema, variable, ask.variables))]


def _variable_error(
    schema: GraphQLSchema, node: VariableDefinitionNode, given: dict[str, Any]
) -> dict[str, Any] | None:
    name, wanted = node.variable.name.value, type_from_ast(schema, node.type)
    value = given.get(name, Undefined)
    if value is Undefined and (node.default_value is not None or not print_ast(node.type).endswith("!")):
        return None
    problems: list[dict[str, Any]] = []

    def note(error: GraphQLError, path: list[str | int]) -> None:
        unknown = re.search(r"of type '(\w+)' not to include unknown field '(\w+)'", error.message)
        where = [*map(str, path), *([unknown[2]] if unknown else [])]
        text = f"Field is not defined on {unknown[1]}" if unknown else error.message
        problems.append({"path": where, "explanation": text})

    if is_input_type(wanted):
        validate_input_value(None if value is Undefined else value, wanted, note, hide_suggestions=True)
    if not problems:
        return None
    told = ", ".join(f"{'.'.join(p['path'])} ({p['explanation']})" for p in problems)
    at = node.loc.start_token if node.loc else None
    return {
        "message": f"Variable ${name} of type {print_ast(node.type)} was provided invalid value for {told}",
        "locations": [{"line": at.line, "column": at.column}] if at else [],
        "extensions": {
            "code": "INVALID_VARIABLE",
            "value": None if value is Undefined else value,
            "problems": problems,
        },
    }
