"""XML as it comes in: without DTDs, entities and the network; what is malformed is named with its line and column."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from controlplane.errors import SettingsError, UnreadableError

Element = Any
"""lxml's; it comes without types."""
DEEPEST = 100
"""Elements within each other, at most."""
_HOW: dict[str, Any] = {
    "resolve_entities": False, "no_network": True, "huge_tree": False, "load_dtd": False, "remove_comments": True, "remove_pis": True,
}  # fmt: skip
"""A comment within a text would divide it, and what follows it was lost."""


def markup(content: bytes, what: str) -> Element:
    """Return the root of a document. Raises UnreadableError naming `what`, line and column, SettingsError where lxml is not installed."""
    etree = _etree()
    parser = etree.XMLParser(**_HOW)
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _malformed(error, what) from error
    _refuse_dtd(root, what)
    return root


def records(content: bytes, tag: str, what: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, record) of each element of that name, whatever its namespace: attributes as `@name`, what repeats as a list.

    Memory does not grow with the document. Raises UnreadableError as `markup` does, after the records before the flaw.
    """
    etree = _etree()
    walk = etree.iterparse(
        io.BytesIO(content),
        events=("end",),
        tag=f"{{*}}{tag}",
        **_HOW,
    )
    try:
        for _, element in walk:
            _refuse_dtd(element, what)
            if not _within(element, tag):
                yield element.sourceline, _record(element, 0)
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _malformed(error, what) from error


def texts(element: Element, name: str) -> list[str]:
    """Return the texts of the children of that name, whatever their namespace."""
    return [str(one.text or "") for one in element.iterchildren(f"{{*}}{name}")]


def _within(element: Element, tag: str) -> bool:
    return any(_local(one) == tag for one in element.iterancestors())


def _record(element: Element, depth: int) -> Any:
    if depth > DEEPEST:
        raise ValueError(f"it is nested deeper than {DEEPEST} elements")
    found: dict[str, Any] = {f"@{_local_name(name)}": value for name, value in element.attrib.items()}
    for child in element.iterchildren("{*}*"):
        value = _record(child, depth + 1)
        name = _local(child)
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    text = (element.text or "").strip()
    if not found:
        return text if depth else {"#text": text}
    return found | ({"#text": text} if text else {})


def _local(element: Element) -> str:
    return _local_name(str(element.tag))


def _local_name(name: str) -> str:
    return name.rpartition("}")[2]


def _refuse_dtd(element: Element, what: str) -> None:
    if element.getroottree().docinfo.doctype:
        raise UnreadableError(
            f"{what} has a document type of its own, by which it could draw in anything; have it sent without"
        )


def _malformed(error: Exception, what: str) -> UnreadableError:
    line, column = getattr(error, "position", (None, None))
    place = f" (line {line}, column {column})" if line is not None else ""
    return UnreadableError(f"{what} is no XML that can be read: {error}{place}; have it sent again")


def _etree() -> Any:
    try:
        from lxml import etree
    except ImportError:
        raise SettingsError("XML takes the extra `trueup[files]`; install it") from None
    return etree
