"""Whether a change relaxes what was promised, field by field. What is not known to tighten, or to mean nothing, relaxes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from rules.policy import kinds as k
from rules.policy.difference import changed_fields
from rules.policy.kinds import Document, parse_duration

Rule = Callable[[Any, Any], bool]
"""Whether going from the first value to the second relaxes. Raises ValueError or TypeError for what it cannot compare."""


def _number(value: Any) -> Decimal:
    """Read a number, a duration (in seconds) or money. Raises ValueError for what has no size."""
    if value is None or isinstance(value, bool | dict | list):
        raise ValueError(f"{value!r} has no size")
    if isinstance(value, str) and value and value[-1] in k.UNITS:
        return Decimal(str(parse_duration(value).total_seconds()))
    try:
        return Decimal(str(value))
    except ArithmeticError:
        raise ValueError(f"{value!r} has no size") from None


def more(before: Any, after: Any) -> bool:
    """A larger value relaxes."""
    return _number(after) > _number(before)


def less(before: Any, after: Any) -> bool:
    """A smaller value relaxes."""
    return _number(after) < _number(before)


def more_or_none(before: Any, after: Any) -> bool:
    """A larger value relaxes, and no limit at all is the largest."""
    return before is not None and (after is None or more(before, after))


def on(_: Any, after: Any) -> bool:
    """Switching it on relaxes."""
    return after is True


def off(_: Any, after: Any) -> bool:
    """Switching it off relaxes."""
    return after is False


def fewer(before: Any, after: Any) -> bool:
    """Taking something from the list relaxes."""
    return not set(before) <= set(after)


def further(before: Any, after: Any) -> bool:
    """Adding something to the list relaxes."""
    return not set(after) <= set(before)


def to_ticket(_: Any, after: Any) -> bool:
    """Nobody is woken any more."""
    return bool(after != "page")


OPENNESS: Mapping[str | None, int] = {"mask": 0, None: 0, "hash": 1, "show": 2}
"""How much is seen of a personal field; one of which nothing was said may be one of those that are masked anyhow."""


def hides_less(before: Any, after: Any) -> bool:
    """More of a personal field is shown, or one that was hidden is not named any more."""
    return before in ("mask", "hash") if after is None else OPENNESS[after] > OPENNESS[before]


def nothing(*_: Any) -> bool:
    """Words for people: nothing is promised by them."""
    return False


def leaves_production(_: Any, after: Any) -> bool:
    """What is not called production is let be tried out: drills write made-up documents to it."""
    return bool(after != "production")


WORDS: Mapping[str, Rule] = {
    "metadata.title": nothing, "metadata.description": nothing, "metadata.labels.environment": leaves_production,
    "metadata.labels.*": nothing,
}  # fmt: skip
RULES: Mapping[str, Mapping[str, Rule]] = {
    "System": {
        "spec.timeout": more,
        "spec.internal": further,
        "spec.personal": nothing,
        "spec.personal.*": hides_less,
    },
    "Domain": {
        "spec.latency": more,
        "spec.retention.raw": less,
        "spec.retention.attempts": less,
        "spec.retention.messages": less,
        "spec.correction.protected_fields": fewer,
        "spec.correction.approve_fields": fewer,
        "spec.correction.approve_above": more_or_none,
    },
    "Flow": {"spec.promise": more, "spec.poll_every": more},
    "Mapping": {"spec.strict": off},
    "RetryPolicy": {
        "spec.first": more,
        "spec.factor": more,
        "spec.cap": more,
        "spec.budget": more,
        "spec.max_attempts": more_or_none,
        "spec.jitter": off,
    },
    "ServiceLevel": {
        "spec.target": less,
        "spec.threshold": more,
        "spec.min_coverage": less,
        "spec.min_bad": more,
    },
    "EscalationPath": {"spec.acknowledge_within": more},
    "Comparison": {
        "spec.locations": fewer,
        "spec.every": more,
        "spec.tolerance": more,
        "spec.promise": more,
        "spec.heal.enabled": on,
        "spec.heal.max_keys": more,
        "spec.heal.max_units": more,
        "spec.heal.max_money": more,
        "spec.heal.max_keys_day": more_or_none,
        "spec.heal.max_units_day": more_or_none,
        "spec.heal.max_money_day": more_or_none,
        "spec.window": less,
        "spec.snapshots": less,
    },
    "AllocationRule": {"spec.safety_stock": less, "spec.buffer_share": less},
    "AlertRule": {
        "spec.above": more,
        "spec.clear_at": more,
        "spec.hold": more,
        "spec.severity": to_ticket,
    },
}
"""Kind -> path of a field -> when changing it relaxes. A field that is not listed relaxes whatever is done to it."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """One field that a change changes, and whether that relaxes."""

    path: str
    before: Any
    after: Any
    relaxes: bool
    known: bool
    """Whether a rule says so; what no rule knows counts as relaxing."""


def weigh(before: Document | None, after: Document) -> list[Weighed]:
    """Return every field that changes, in the order of the document. A new document relaxes: nothing is known of it."""
    if before is None:
        return [Weighed("", None, after.model_dump(mode="json"), relaxes=True, known=False)]
    return list(_weighed(after.kind, before.model_dump(mode="json"), after.model_dump(mode="json")))


def relaxes(before: Document | None, after: Document) -> bool:
    """Say whether a change relaxes anything that was promised."""
    return any(one.relaxes for one in weigh(before, after))


def _weighed(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Weighed]:
    for path, old, new in changed_fields(before, after):
        rule = _rule(kind, path)
        try:
            yield Weighed(path, old, new, rule is None or rule(old, new), rule is not None)
        except (ValueError, TypeError):
            yield Weighed(path, old, new, relaxes=True, known=False)


def _rule(kind: str, path: str) -> Rule | None:
    for pattern, rule in {**WORDS, **RULES.get(kind, {})}.items():
        if fnmatchcase(path, pattern):
            return rule
    return None


def data_owners(document: Document, documents: Mapping[tuple[str, str], Document]) -> frozenset[str]:
    """Return the teams that own the data which a policy speaks of; empty where no policy says whose it is.

    That is the owner of the domain, where it has one or is used by the flows of one; otherwise the document's own.
    """
    domains = {named.name: named for named in documents.values() if isinstance(named, k.Domain)}
    if isinstance(document, k.Domain):
        return frozenset({document.spec.owner})
    if isinstance(document, k.Team):
        return frozenset({document.name})
    found = {domains[name].spec.owner for name in domains_of(document, documents) if name in domains}
    own = getattr(getattr(document, "spec", None), "owner", None)
    return frozenset(found or ({own} if own else ()))


def domains_of(document: Document, documents: Mapping[tuple[str, str], Document]) -> Iterator[str]:
    """Yield the domains whose data a policy speaks of: the one it names, or those whose flows use it."""
    flows = [one for one in documents.values() if isinstance(one, k.Flow)]
    if isinstance(document, k.Flow | k.Comparison):
        yield document.spec.domain
    elif isinstance(document, k.RetryPolicy):
        yield from (flow.spec.domain for flow in flows if document.name in _retries(flow))
    elif isinstance(document, k.EscalationPath):
        all_domains = (one for one in documents.values() if isinstance(one, k.Domain))
        yield from (domain.name for domain in all_domains if domain.spec.escalation == document.name)
    elif isinstance(document, k.Mapping | k.AllocationRule):
        system = document.spec.system if isinstance(document, k.Mapping) else document.spec.channel
        yield from (flow.spec.domain for flow in flows if system in _systems(flow))


def _retries(flow: k.Flow) -> set[str | None]:
    return {flow.spec.retry, *(target.retry for target in flow.spec.targets)}


def _systems(flow: k.Flow) -> set[str]:
    return {flow.spec.source, *(target.system for target in flow.spec.targets)}
