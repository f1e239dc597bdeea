"""Plain values into policy documents; what does not fit its kind is refused with path, rule and remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from rules.policy.kinds import API_VERSION, KINDS, Document
from rules.policy.problems import NOWHERE, Origin, Path, Problem, problem
from rules.policy.secrets import BY_REFERENCE, place_of
from rules.policy.text import RawDocument, read_text

OUTER = ("apiVersion", "kind", "metadata", "spec")
NUMBER_WORDS = {"int_type", "int_parsing", "int_from_float", "float_type", "float_parsing", "decimal_parsing"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A policy document and where it was read from."""

    document: Document
    origin: Origin = NOWHERE


def read_policies(texts: Iterable[tuple[str, str]]) -> tuple[list[Entry], list[Problem]]:
    """Read (file, text) pairs; return every document that is well formed, and every problem of the others."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    for file, text in texts:
        raw, unreadable = read_text(text, file)
        problems += unreadable
        for document in raw:
            entry, refused = read_document(document)
            problems += refused
            if entry is not None:
                entries.append(entry)
    return entries, problems


def read_document(raw: RawDocument) -> tuple[Entry | None, list[Problem]]:
    """Return the document, or every reason why it is none."""
    value, origin = raw.value, raw.origin
    if not isinstance(value, dict):
        rule = f"a policy is a mapping of {', '.join(OUTER)}, and this is {_word(value)}"
        return None, [problem(origin, "", "", (), rule, "see docs/policies.md for an example of each kind")]
    kind, name = str(value.get("kind", "")), _name(value)
    wrong = _wrong_head(value, origin, kind, name)
    if wrong:
        return None, wrong
    try:
        return Entry(KINDS[kind].model_validate(value), origin), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, [_explain(detail, KINDS[kind], origin, kind, name) for detail in details]


def _name(value: dict[str, Any]) -> str:
    metadata = value.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""


def _wrong_head(value: dict[str, Any], origin: Origin, kind: str, name: str) -> list[Problem]:
    problems = []
    version = value.get("apiVersion")
    if version != API_VERSION:
        rule = f"unknown apiVersion '{version}'" if version is not None else "the key 'apiVersion' is missing"
        problems.append(problem(origin, kind, name, ("apiVersion",), rule, f"write apiVersion: {API_VERSION}"))
    if kind not in KINDS:
        rule = f"unknown kind '{kind}'" if kind else "the key 'kind' is missing"
        problems.append(problem(origin, kind, name, ("kind",), rule, nearest(kind, KINDS, "kinds")))
    return problems


def nearest(given: str, known: Iterable[str], plural: str) -> str:
    """Return the remedy for a wrong name: the one that was probably meant, or all there are."""
    names = list(known)
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(given.lower(), list(lowered), n=1)
    if close:
        return f"did you mean '{lowered[close[0]]}'?"
    if not names:
        return f"there are no {plural} yet; add one"
    shown = ", ".join(sorted(names)[:20]) + (" …" if len(names) > 20 else "")
    return f"{plural} there are: {shown}"


def _explain(detail: ErrorDetails, model: type[BaseModel], origin: Origin, kind: str, name: str) -> Problem:
    path: Path = tuple(part for part in detail["loc"] if part != "[key]")
    if path[:2] == ("spec", "secrets") and len(path) > 2:  # what stands there may be the secret
        return problem(origin, kind, name, place_of(str(path[2])), *BY_REFERENCE)
    rule, remedy = _rule_and_remedy(detail, path, model)
    return problem(origin, kind, name, path, rule, remedy)


def _rule_and_remedy(detail: ErrorDetails, path: Path, model: type[BaseModel]) -> tuple[str, str]:
    kind, given = detail["type"], detail["input"]
    last = str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        return f"unknown key '{last}'", nearest(last, keys_at(model, path[:-1]), "keys")
    if kind == "missing":
        return f"the key '{last}' is missing", _how_to_fill(model, path)
    if kind == "literal_error":
        allowed = [word.strip("'") for word in re.split(r", | or ", str(detail.get("ctx", {}).get("expected", "")))]
        return f"'{given}' is none of the words taken here", nearest(str(given), allowed, "words")
    if kind == "string_type":
        return f"text is wanted, and {_word(given)} was given", _as_text(given)
    if kind == "string_pattern_mismatch":
        return f"'{given}' is not written as it must be", _pattern(str(detail.get("ctx", {}).get("pattern", "")))
    if kind == "bool_type":
        return f"true or false is wanted, and {_word(given)} was given", "write true or false, without quotes"
    if kind in NUMBER_WORDS:
        return f"a number is wanted, and {_word(given)} was given", "write digits without quotes"
    if kind == "finite_number":
        return f"a finite number is wanted, and {_word(given)} was given", "write digits without quotes"
    if kind == "too_short":
        return "nothing is listed, and at least one is needed", _how_to_fill(model, path)
    message = detail["msg"].removeprefix("Value error, ")
    rule, _, remedy = message.partition("; ")
    return rule, remedy or _how_to_fill(model, path)


def _as_text(given: Any) -> str:
    return f'put it in quotes: "{given}"' if isinstance(given, (int, float, bool)) else "write plain text"


def _pattern(pattern: str) -> str:
    if "a-z0-9" in pattern:
        return "write lower-case letters, digits and hyphens, at most 63"
    known = {r"^[A-Z]{3}$": "write three capital letters, for instance USD", r"^\d{2}:\d{2}$": "write HH:MM"}
    return known.get(pattern, f"it must match {pattern}")


def _word(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return f"'{value}'"


def _how_to_fill(model: type[BaseModel], path: Path) -> str:
    """Say what a key is for, from the model itself."""
    parents = model_at(model, path[:-1])
    field = parents.model_fields.get(str(path[-1])) if parents and path else None
    where = f"write '{path[-1]}: …'" if path and isinstance(path[-1], str) else "write it"
    if field is None:
        return f"{where} as docs/policies.md describes"
    return f"{where} ({field.description})" if field.description else f"{where} as docs/policies.md describes"


def keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """Return the keys that are known at a place of a document."""
    found = model_at(model, path)
    return list(found.model_fields) if found else []


def model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """Return the model that governs the mapping at a place of a document, if one does."""
    here: Any = model
    for part in path:
        here = _plain(here)
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = field.annotation if field else None
        else:
            arguments = get_args(here)
            here = arguments[-1 if get_origin(here) is dict else 0] if arguments else None
    here = _plain(here)
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _plain(annotation: Any) -> Any:
    """Take off Annotated and `| None`."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = get_args(annotation)[0]
    return annotation
