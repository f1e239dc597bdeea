"""Systems whose documents would be called the same: two shops of one retailer both have an order #1001. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rules.policy import kinds as k
from rules.policy.reading import Entry
from rules.policy.sense import EntryFlaw
from rules.references import ORDER_PLACED, OWN

PATH = ("spec", "references", "prefix")


def indistinct(entries: Sequence[Entry]) -> Iterator[EntryFlaw]:
    """Yield each shop, till or marketplace whose references cannot be told from those of one before it, once."""
    systems = {entry.document.name: entry for entry in entries if _gives_references(entry.document)}
    blamed: set[str] = set()
    for kind, names in _told(entries, systems).items():
        for place, name in enumerate(names):
            other = next((one for one in names[:place] if _alike(systems[one], systems[name], kind)), None)
            if other is not None and name not in blamed:
                blamed.add(name)
                yield systems[name], PATH, *_refusal(kind, systems[other], systems[name])


def _gives_references(document: k.Document) -> bool:
    return isinstance(document, k.System) and document.spec.role in k.PLACES_ORDERS


def _told(entries: Sequence[Entry], systems: Mapping[str, Entry]) -> dict[str, list[str]]:
    """Return message type -> the systems that bring it, in their order; by whichever flow: the books are the same for all domains."""
    flows = [entry.document.spec for entry in entries if isinstance(entry.document, k.Flow)]
    brought = {(kind, flow.source) for flow in flows for kind in flow.message_types}
    return {kind: [name for name in systems if (kind, name) in brought] for kind in OWN}


def _prefix(entry: Entry, kind: str) -> str:
    spec = entry.document.spec  # type: ignore[attr-defined]  # a System's, as `_gives_references` says
    return str(spec.naming.orders if kind == ORDER_PLACED else spec.naming.documents)


def _alike(one: Entry, other: Entry, kind: str) -> bool:
    """One without a prefix beside others with one is told apart; so is none of two that begin alike."""
    first, second = _prefix(one, kind), _prefix(other, kind)
    if not first or not second:
        return first == second
    return first.startswith(second) or second.startswith(first)


def _refusal(kind: str, other: Entry, entry: Entry) -> tuple[str, str]:
    first, second = _prefix(other, kind), _prefix(entry, kind)
    what = f"the System '{other.document.name}' tells of {kind}, too, and"
    if not second:
        rule = f"{what} neither has a prefix: two documents of one reference would contradict each other"
        return (
            rule,
            f"give one of the two a prefix of its own, for instance 'references: {{prefix: {_example(entry)}}}'",
        )
    rule = f"{what} its prefix '{first}' and '{second}' begin alike: a reference could be of either"
    return rule, "give one of the two a prefix that does not begin like the other's"


def _example(entry: Entry) -> str:
    return f"{entry.document.name.upper()[:10]}-"
