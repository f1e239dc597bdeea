"""YAML (and JSON) text into plain values that remember their lines.

The core schema of YAML 1.2: `on`, `no` and `12:30` stay text, numbers with leading zeros too (SKUs look like that), and every key is
text. A key told twice, an anchor, an alias or a tag is refused: a policy says what it says, once.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import yaml

from rules.policy.problems import Origin, Path, Problem, problem

MAX_DEPTH = 40
PLAIN = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
"""Tags of lists and mappings without one of their own."""
CORE = [
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), [*"~nN", ""]),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,30})$"), list("-+0123456789")),
    ("float", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$"), list("-+0123456789")),
]


class _Loader(yaml.SafeLoader):
    """A parser with the core schema's idea of plain scalars."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _name, _pattern, _first in CORE:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _pattern, _first)


@dataclass(frozen=True, slots=True)
class RawDocument:
    """A document before it is known what it is."""

    value: Any
    origin: Origin


class _RefusalError(Exception):
    """A construct that is valid YAML and not taken here."""

    def __init__(self, at: yaml.Node | yaml.Event, path: Path, rule: str, remedy: str) -> None:
        super().__init__(rule)
        self.place, self.path, self.rule, self.remedy = _mark(at), path, rule, remedy

    def told(self, file: str) -> Problem:
        """Return it as a problem of the file."""
        return problem(Origin(file, {(): self.place}), "", "", self.path, self.rule, self.remedy)


def read_text(text: str, file: str) -> tuple[list[RawDocument], list[Problem]]:
    """Return the documents of a text, and what kept others from being read; empty documents are passed over."""
    documents: list[RawDocument] = []
    problems: list[Problem] = []
    try:
        _refuse_what_is_not_taken(text)
        for node in yaml.compose_all(text, Loader=_Loader):
            try:
                documents += _documents(node, file)
            except _RefusalError as refusal:
                problems.append(refusal.told(file))
    except _RefusalError as refusal:
        problems.append(refusal.told(file))
    except yaml.YAMLError as error:
        problems.append(_unreadable(error, file))
    return documents, problems


def _refuse_what_is_not_taken(text: str) -> None:
    """Walk the flat stream of events before anything recurses: no anchors, no bottomless nesting."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _RefusalError(event, (), "anchors and aliases are not taken", "write the value out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _RefusalError(event, (), f"nested deeper than {MAX_DEPTH} levels", "no policy is; flatten it")


def _unreadable(error: yaml.YAMLError, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return problem(Origin(file, {(): place}), "", "", (), str(what), "correct the YAML at this place")


def _documents(node: yaml.Node | None, file: str) -> list[RawDocument]:
    if node is None or (isinstance(node, yaml.ScalarNode) and node.value == ""):
        return []
    marks: dict[Path, tuple[int, int]] = {(): _mark(node)}
    return [RawDocument(_value(node, (), marks), Origin(file, marks))]


def _value(node: yaml.Node, path: Path, marks: dict[Path, tuple[int, int]]) -> Any:
    if isinstance(node, yaml.CollectionNode) and node.tag not in PLAIN:
        rule = f"a list or mapping with the tag '{node.tag[:60]}' is not taken"
        raise _RefusalError(node, path, rule, "take the tag out")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, marks)
    if isinstance(node, yaml.SequenceNode):
        items = []
        for position, item in enumerate(node.value):
            marks[*path, position] = _mark(item)
            items.append(_value(item, (*path, position), marks))
        return items
    return _scalar(node, path)


def _mapping(node: yaml.MappingNode, path: Path, marks: dict[Path, tuple[int, int]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _RefusalError(key, path, "a key is not plain text", "write a name before the colon")
        if key.value in result:
            line = marks[*path, key.value][0]
            rule = f"the key '{key.value}' is told twice (first in line {line})"
            raise _RefusalError(key, (*path, key.value), rule, "keep one of the two")
        marks[*path, key.value] = _mark(key)
        result[key.value] = _value(item, (*path, key.value), marks)
    return result


def _scalar(node: yaml.Node, path: Path) -> Any:
    text, tag = str(node.value), str(node.tag).removeprefix("tag:yaml.org,2002:")
    if tag == "str":
        return text
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        return int(text)
    if tag == "float" and math.isfinite(float(text)):
        return float(text)
    raise _RefusalError(
        node, path, f"'{text}' with the tag '{tag}' is not taken", "write plain text, a number, true or false"
    )


def _mark(at: yaml.Node | yaml.Event) -> tuple[int, int]:
    mark = at.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
